"""LAReQA's JSON: SQuAD with `sentences` and `sentence_breaks` in each paragraph (XQuAD-R, MLQA-R).

Format: https://github.com/google-research-datasets/lareqa (arXiv 2004.05484).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hybrid_retrieval.data.readers.language_files import read_json
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark

T = TypeVar("T")
LANGUAGE_FILE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?\.json")
CANDIDATE_FORMS = ("sentence", "sentence+context", "context")
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


def read_lareqa(
    name: str, folder: Path, *, languages: Sequence[str] | None, candidate: str, source: str
) -> Benchmark:
    """Read the benchmark in a folder of files `LANG.json`.

    Args:
        name: the benchmark's name.
        folder: where the files are.
        languages: codes to keep; None keeps every language that has a file.
        candidate: one of `CANDIDATE_FORMS`, as `lareqa_benchmark` describes them.
        source: where a user gets the files, for messages.

    Raises:
        UserError: a file is missing or malformed, or `candidate` is unknown.
    """
    if candidate not in CANDIDATE_FORMS:
        raise UserError(
            f"benchmark.candidate={candidate}: unknown form. Use one of: {', '.join(CANDIDATE_FORMS)}."
        )
    files = language_files(folder, languages, source)
    return lareqa_benchmark(name, {code: read_paragraphs(file) for code, file in files.items()}, candidate)


def lareqa_benchmark(name: str, paragraphs: Mapping[str, Sequence[Paragraph]], candidate: str) -> Benchmark:
    """Make a benchmark of paragraphs by language; a question need not exist in every language.

    Relevant to a question, in whichever language it is asked, are its answers in every language that has
    the question, joined by question id. The forms of candidate:

    - "sentence": one candidate for each sentence, whose text is the sentence alone. No sentence is dropped
      and equal ones stay several candidates, which gives the published counts. Ids are
      "LANG:paragraph:sentence", counted from 0 through the file.
    - "sentence+context": the same candidates; the text is the sentence, a space and its whole paragraph.
      LAReQA's own encoder reads sentence and paragraph as two segments, and XTREME-R's code for encoders
      of one segment writes one after the other (without the space). The sentence stands first, so that
      truncation shortens the paragraph and never the sentence; it occurs a second time inside the paragraph.
    - "context": one candidate for each distinct paragraph of a language (its sentences would all have one
      text, and tie), relevant to every question that it answers. Ids are "LANG:paragraph".

    Args:
        name: the benchmark's name.
        paragraphs: by language code.
        candidate: one of `CANDIDATE_FORMS`.
    """
    languages = tuple(paragraphs)
    ids: list[str] = []
    texts: list[str] = []
    candidate_language: list[int] = []
    queries: list[tuple[int, Question]] = []
    answers: dict[str, list[int]] = defaultdict(list)
    for index, code in enumerate(languages):
        position_of: dict[str, int] = {}
        for number, paragraph in enumerate(paragraphs[code]):
            if candidate == "context":
                position = position_of.setdefault(paragraph.context, len(ids))
                added = {f"{code}:{number}": paragraph.context} if position == len(ids) else {}
                positions = [position] * len(paragraph.sentences)
            else:
                context = f" {paragraph.context}" if candidate == "sentence+context" else ""
                added = {f"{code}:{number}:{i}": f"{s}{context}" for i, s in enumerate(paragraph.sentences)}
                positions = list(range(len(ids), len(ids) + len(added)))
            ids.extend(added)
            texts.extend(added.values())
            candidate_language.extend([index] * len(added))
            for question in paragraph.questions:
                queries.append((index, question))
                answers[question.id].extend(sorted({positions[i] for i in question.answers}))
    relevant = [answers[question.id] for _, question in queries]
    return Benchmark(
        name=name,
        languages=languages,
        query_ids=[f"{languages[index]}:{question.id}" for index, question in queries],
        query_texts=[question.text for _, question in queries],
        query_group=[question.id for _, question in queries],
        query_language=np.array([index for index, _ in queries], dtype=np.int16),
        candidate_ids=ids,
        candidate_texts=texts,
        candidate_language=np.array(candidate_language, dtype=np.int16),
        relevant_offsets=np.concatenate([[0], np.cumsum([len(of) for of in relevant])]).astype(np.int64),
        relevant=np.concatenate(relevant).astype(np.int64),
    )


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
    found = {
        path.stem: path
        for path in sorted(folder.iterdir())
        if LANGUAGE_FILE.fullmatch(path.name) and path.is_file()
    }
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

    An answer belongs to the sentence with start <= answer_start < end. Between two sentences, the breaks
    leave out white space: an answer that starts there belongs to the sentence that follows (LAReQA's code
    leaves its question out). No answer of XQuAD-R does.

    Raises:
        UserError: the file is not UTF-8, not JSON, lacks a field, has an empty sentence, repeats a question
            id, or has questions that no sentence answers; the message names the file and the place in it.
    """
    document = read_json(path)
    paragraphs, places, unanswered = [], dict[str, str](), list[str]()
    for article, at in _items(document, "data", path, ""):
        for paragraph, place in _items(article, "paragraphs", path, at):
            read = _paragraph(paragraph, path, place, unanswered)
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
    if unanswered:
        more = ", ..." if len(unanswered) > 3 else ""
        raise UserError(
            f"{path}: {len(unanswered)} of {len(places)} questions have an answer in no sentence: "
            f"{', '.join(unanswered[:3])}{more}. Every answer must start in a sentence: correct the file, "
            "remove these questions, or get the file again."
        )
    return paragraphs


def _paragraph(paragraph: Any, path: Path, place: str, unanswered: list[str]) -> Paragraph:
    """Read a paragraph; adds what is wrong with each question that no sentence answers to `unanswered`."""
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
        identifier = _field(question, "id", str, path, at)
        answers, wrong = set[int](), list[str]()
        for answer, answer_at in _items(question, "answers", path, at):
            start = _field(answer, "answer_start", int, path, answer_at)
            sentence = _sentence_at(start, breaks, context)
            if sentence is None:
                wrong.append(f"{answer_at}.answer_start is {start}, in no entry of {place}.sentence_breaks")
            else:
                answers.add(sentence)
        if wrong or not answers:
            unanswered.append(f"{identifier!r} ({wrong[0] if wrong else f'{at}.answers is empty'})")
        text = _field(question, "question", str, path, at)
        questions.append(Question(identifier, text, tuple(sorted(answers))))
    return Paragraph(context, sentences, tuple(questions))


def _sentence_at(start: int, breaks: Sequence[tuple[int, int]], context: str) -> int | None:
    """Position of the sentence that holds a character, or that only white space separates from it."""
    for i, (begin, end) in enumerate(breaks):
        if begin <= start < end or (0 <= start < begin < end and context[start:begin].isspace()):
            return i
    return None


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
        if not item.strip():
            raise UserError(f"{path}: {at} is empty. A candidate needs a text: correct the file.")
        yield item


def _span(span: Any, path: Path, place: str) -> tuple[int, int]:
    if not (isinstance(span, list) and len(span) == 2 and all(type(edge) is int for edge in span)):
        raise UserError(f"{path}: {place} is not [start, end] in whole numbers. {_NOT_LAREQA}")
    return span[0], span[1]


_NOT_LAREQA = (
    "LAReQA's format is SQuAD's with `sentences` and `sentence_breaks` in each paragraph: is this a file of "
    "XQuAD-R or MLQA-R, and not of XQuAD or MLQA?"
)
