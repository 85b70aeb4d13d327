"""MIRACL: questions in 18 languages, answered by passages of the Wikipedia of the same language.

Layout, by its source:

- topics and qrels as https://huggingface.co/datasets/miracl/miracl has them,
  `miracl-v1.0-LANG/topics/topics.miracl-v1.0-LANG-SPLIT.tsv` and
  `miracl-v1.0-LANG/qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv`, or the files themselves in the folder;
- passages as https://huggingface.co/datasets/miracl/miracl-corpus has them,
  `miracl-corpus-v1.0-LANG/docs-0.jsonl.gz`, `docs-1.jsonl.gz`, ... with `docid`, `title` and `text`. They may
  lie in `miracl-v1.0-LANG/` too, beside `topics` and `qrels`, and in the folder itself if it has the topics
  of one language. `.jsonl` without compression is read as well.

Both repositories may be the folder itself or folders `miracl` and `miracl-corpus` in it. Apache 2.0; the
passages are Wikipedia's, CC BY-SA.

Source: Zhang et al., TACL 2023 (arXiv 2210.09984).
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from hybrid_retrieval.data.readers.fields import id_field, text_field
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark, CorpusQuery, Passage
from hybrid_retrieval.evaluation.corpus.files import json_lines, read_qrels, read_topics

METRICS = ("ndcg@10", "recall@100")
SOURCE = "https://huggingface.co/datasets/miracl/miracl"
CORPUS_SOURCE = "https://huggingface.co/datasets/miracl/miracl-corpus"
_DOCS = re.compile(r"docs-(\d+)\.jsonl(\.gz)?")


def miracl(path: Path, *, languages: Sequence[str] | None = None, split: str = "dev") -> CorpusBenchmark:
    """Find and read MIRACL's topics and qrels, and find its passages, which are read later, as a stream.

    A passage's text is its title, a space and its text. Judged passages of grade 0 are not relevant, and
    need not be in the collection.

    Args:
        path: the folder; see the module for what it holds.
        languages: codes to evaluate; None is every language that has topics of the split.
        split: "dev" in the released files.

    Raises:
        UserError: files are missing or malformed, or queries have no relevant passage.
    """
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder. Set benchmark.path to a folder with MIRACL's topics and qrels "
            f"({SOURCE}) and passages ({CORPUS_SOURCE})."
        )
    found = find_topics(path, split)
    if languages is not None:
        absent = sorted(set(languages) - set(found))
        if absent or not languages:
            raise UserError(
                f"{path}: no topics of {', '.join(absent) or 'no language'} for the split '{split}'; there "
                f"are those of {', '.join(found) or 'no language'}. Choose benchmark.languages among them, "
                f"or get the files from {SOURCE}."
            )
        found = {code: file for code, file in found.items() if code in languages}
    if not found:
        raise UserError(
            f"{path}: no topics of the split '{split}'. Looked for topics.miracl-v1.0-LANG-{split}.tsv here "
            f"and in miracl-v1.0-LANG/topics. Get them from {SOURCE}."
        )
    documents = {code: find_documents(path, code, alone=len(found) == 1) for code in found}
    _check_documents(path, documents)
    return CorpusBenchmark(
        name="miracl",
        collections=tuple(
            Collection(code, partial(read_passages, documents[code], code), _queries(file, code, split), path)
            for code, file in found.items()
        ),
        metrics=METRICS,
        setting="monolingual",
    )


def _queries(topics_file: Path, language: str, split: str) -> tuple[CorpusQuery, ...]:
    """The queries of a topics file and the qrels that belong to it."""
    topics = read_topics(topics_file)
    qrels = read_qrels(find_qrels(topics_file, language, split), topics)
    return tuple(
        CorpusQuery(
            query_id,
            text,
            language,
            {passage_id: grade for passage_id, grade in qrels.get(query_id, {}).items() if grade > 0},
        )
        for query_id, text in topics.items()
    )


def find_qrels(topics_file: Path, language: str, split: str) -> Path:
    """The qrels that belong to a topics file.

    Raises:
        UserError: they are missing.
    """
    name = f"qrels.miracl-v1.0-{language}-{split}.tsv"
    places = [topics_file.with_name(name), topics_file.parent.parent / "qrels" / name]
    found = next((file for file in places if file.is_file()), None)
    if found is None:
        raise UserError(f"{places[0]}: no such file, nor {places[1]}. Get it from {SOURCE}.")
    return found


def find_topics(path: Path, split: str) -> dict[str, Path]:
    """The topics files of a split by language, sorted."""
    name = re.compile(rf"topics\.miracl-v1\.0-([a-z]{{2,3}})-{re.escape(split)}\.tsv")
    found: dict[str, Path] = {}
    for root in (path, path / "miracl"):
        for folder in (root, root / "topics", *sorted(root.glob("miracl-v1.0-*/topics"))):
            for file in sorted(folder.glob("topics.*.tsv")):
                if (match := name.fullmatch(file.name)) and file.is_file():
                    found.setdefault(match[1], file)
    return dict(sorted(found.items()))


def find_documents(path: Path, language: str, *, alone: bool) -> list[Path]:
    """The passage files of a language, by number: docs-2 before docs-10."""
    names = (f"miracl-corpus-v1.0-{language}", f"miracl-v1.0-{language}")
    folders = [root / name for root in (path, path / "miracl-corpus", path / "miracl") for name in names]
    for folder in [*folders, *([path] if alone else [])]:
        numbered: dict[int, Path] = {}
        for file in sorted(folder.glob("docs-*.jsonl*")):
            if (match := _DOCS.fullmatch(file.name)) and file.is_file():
                number = int(match[1])
                if number in numbered:
                    raise UserError(
                        f"{file} and {numbered[number].name} are the same part of the corpus. Remove one."
                    )
                numbered[number] = file
        if not numbered:
            continue
        missing = sorted(set(range(max(numbered) + 1)) - set(numbered))
        if missing:
            raise UserError(
                f"{folder / f'docs-{missing[0]}.jsonl.gz'}: no such file, but there is docs-{max(numbered)}. "
                f"The corpus is incomplete: get the file from {CORPUS_SOURCE}."
            )
        return [numbered[number] for number in sorted(numbered)]
    return []


def _check_documents(path: Path, documents: dict[str, list[Path]]) -> None:
    without = [code for code, files in documents.items() if not files]
    if not without:
        return
    having = [code for code, files in documents.items() if files]
    choice = (
        f"or evaluate the others with benchmark.languages=[{','.join(having)}]"
        if having
        else "topics and qrels alone cannot be evaluated"
    )
    raise UserError(
        f"{path}: the passages of {', '.join(without)} are missing. Looked for "
        f"{path / f'miracl-corpus-v1.0-{without[0]}' / 'docs-0.jsonl.gz'} and in miracl-v1.0-{without[0]}. "
        f"Get them from {CORPUS_SOURCE}; {choice}."
    )


def read_passages(files: list[Path], language: str) -> Iterator[Passage]:
    """Yield the passages of a language's files."""
    for file in files:
        for where, record in json_lines(file):
            title, text = (
                text_field(record, field, where) if record.get(field, "absent") not in ("", None) else ""
                for field in ("title", "text")
            )
            yield Passage(id_field(record, "docid", where), f"{title} {text}".strip(), language, where)
