"""LAReQA's JSON: SQuAD with `sentences` and `sentence_breaks` in each paragraph (XQuAD-R, MLQA-R).

Format: https://github.com/google-research-datasets/lareqa (arXiv 2004.05484).
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hybrid_retrieval.errors import UserError

T = TypeVar("T")
LANGUAGE_FILE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?\.json")
_KIND_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Question:
    """A question and the sentences that answer it.

    Attributes:
        id: shared by the question's translations.
        text: the question.
        answers: positions in the paragraph's `sentences` of those in which an answer starts, ascending.
    """

    id: str
    text: str
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, its sentences as the file gives them, and its questions."""

    context: str
    sentences: tuple[str, ...]
    questions: tuple[Question, ...]


def language_files(folder: Path, languages: Sequence[str] | None, source: str) -> dict[str, Path]:
    """Find the files `LANG.json` of a folder.

    Args:
        folder: where to look.
        languages: codes to keep; None keeps every language that has a file.
        source: where a user gets the files, for the message.

    Returns:
        Paths by language code, sorted by code.

    Raises:
        UserError: the folder, or the file of a language asked for, is missing.
    """
    fix = f"Set benchmark.path to a folder that holds such files. {source}"
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}. Looked for files such as {folder / 'en.json'}. {fix}")
    found = {path.stem: path for path in sorted(folder.iterdir()) if LANGUAGE_FILE.fullmatch(path.name)}
    if not found:
        raise UserError(f"{folder}: no file named LANG.json (en.json, ar.json, ...) in this folder. {fix}")
    if languages is not None and not languages:
        raise UserError(f"{folder}: no language asked for. Choose some of: {', '.join(found)}.")
    absent = sorted(set(languages or ()) - set(found))
    if absent:
        raise UserError(
            f"{folder / (absent[0] + '.json')}: no such file. Languages asked for without a file: "
            f"{', '.join(absent)}; with one: {', '.join(found)}. Ask for those, or add the files. {source}"
        )
    return {code: path for code, path in found.items() if languages is None or code in languages}


def read_paragraphs(path: Path) -> list[Paragraph]:
    """Read one language's file, strictly.

    Raises:
        UserError: the file is not UTF-8, not JSON, lacks a field, repeats a question id or has an answer
            outside every sentence; the message names the file and the place in it.
    """
    document = _load(path)
    paragraphs, places = [], dict[str, str]()
    for article, at in _items(document, "data", path, ""):
        for paragraph, place in _items(article, "paragraphs", path, at):
            read = _paragraph(paragraph, path, place)
            for question in read.questions:
                if question.id in places:
                    raise UserError(
                        f"{path}: question id {question.id!r} in {place} is also in {places[question.id]}. "
                        "Every question needs an id of its own within a language."
                    )
                places[question.id] = place
            paragraphs.append(read)
    if not places:
        raise UserError(f"{path}: holds no question. Get the file again.")
    return paragraphs


def _load(path: Path) -> Any:
    raw = path.read_bytes()
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte {error.start} is not UTF-8 ({error.reason}). "
            "Save the file as UTF-8, or get it again."
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}). "
            "The file is probably cut off: get it again."
        ) from error


def _paragraph(paragraph: Any, path: Path, place: str) -> Paragraph:
    context = _field(paragraph, "context", str, path, place)
    sentences = tuple(_strings(paragraph, "sentences", path, place))
    breaks = [_span(span, path, at) for span, at in _items(paragraph, "sentence_breaks", path, place)]
    if len(breaks) != len(sentences):
        raise UserError(
            f"{path}: {place} has {len(sentences)} sentences and {len(breaks)} sentence_breaks. "
            "Each sentence needs one [start, end]."
        )
    questions = []
    for question, at in _items(paragraph, "qas", path, place):
        answers = set()
        for answer, answer_at in _items(question, "answers", path, at):
            start = _field(answer, "answer_start", int, path, answer_at)
            sentence = next((i for i, (begin, end) in enumerate(breaks) if begin <= start < end), None)
            if sentence is None:
                raise UserError(
                    f"{path}: {answer_at}.answer_start is {start}, in no entry of {place}.sentence_breaks. "
                    "Every answer must start in a sentence: correct the file, or get it again."
                )
            answers.add(sentence)
        if not answers:
            raise UserError(f"{path}: {at}.answers is empty. Every question needs an answer.")
        text = _field(question, "question", str, path, at)
        questions.append(Question(_field(question, "id", str, path, at), text, tuple(sorted(answers))))
    return Paragraph(context, sentences, tuple(questions))


def _field(of: Any, name: str, kind: type[T], path: Path, place: str) -> T:
    if not isinstance(of, dict) or name not in of:
        raise UserError(f"{path}: {place or 'the document'} has no field {name!r}. {_NOT_LAREQA}")
    value = of[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        where = f"{place}.{name}" if place else name
        raise UserError(f"{path}: {where} is not {_KIND_NAMES[kind]}. {_NOT_LAREQA}")
    return value


def _items(of: Any, name: str, path: Path, place: str) -> Iterator[tuple[Any, str]]:
    """Yield the items of a list with the place of each, such as data[3].paragraphs[0]."""
    where = f"{place}.{name}" if place else name
    items: list[Any] = _field(of, name, list, path, place)
    for i, item in enumerate(items):
        yield item, f"{where}[{i}]"


def _strings(of: Any, name: str, path: Path, place: str) -> Iterator[str]:
    for item, at in _items(of, name, path, place):
        if not isinstance(item, str):
            raise UserError(f"{path}: {at} is not a string. {_NOT_LAREQA}")
        yield item


def _span(span: Any, path: Path, place: str) -> tuple[int, int]:
    if not (isinstance(span, list) and len(span) == 2 and all(type(edge) is int for edge in span)):
        raise UserError(f"{path}: {place} is not [start, end] in whole numbers. {_NOT_LAREQA}")
    return span[0], span[1]


_NOT_LAREQA = (
    "LAReQA's format is SQuAD's with `sentences` and `sentence_breaks` in each paragraph: is this a file of "
    "XQuAD-R or MLQA-R, and not of XQuAD or MLQA?"
)
