"""A collection in BEIR's format: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`.

Format: BEIR (arXiv 2104.08663), https://github.com/beir-cellar/beir.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.readers.beir_files import (
    LANGUAGE,
    beir_file,
    beir_judgements,
    beir_language,
    beir_passage,
    beir_query,
)
from hybrid_retrieval.data.readers.fields import id_field, parse_object
from hybrid_retrieval.data.readers.language_files import read_lines
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class _Line:
    """A document or a query: `language` and `group` are None where the file does not say."""

    where: str
    text: str
    language: str | None
    group: str | None


def beir(path: Path, *, split: str = "test", language: str = "en") -> Benchmark:
    """Read a folder in BEIR's format; every file may be compressed (`.gz`).

    - `corpus.jsonl`: one object a line with `_id`, `title` (optional) and `text`. The passage is title and
      text joined by a space, as in BEIR. All documents are candidates.
    - `queries.jsonl`: one object a line with `_id` and `text`. Only queries that the qrels name count.
    - `qrels/SPLIT.tsv`: the header `query-id corpus-id score`, then one judgement a line, separated by tabs.
      A score above 0 is a grade of relevance, which nDCG weighs; 0 or less is judged not relevant.

    A field `language` (ISO 639-1), in every line of corpus and queries, turns on the monolingual, the
    cross-lingual and the multilingual setting; without it, everything is one language and the monolingual
    setting is all there is. A query may have a `group`: an id that its translations share, so that
    paired tests treat them as one; without it, each query is a group. Nothing but the qrels says what is
    relevant, also between translations. Other fields are ignored, blank lines too.

    The benchmark is called "beir_FOLDER", or "beir_FOLDER_SPLIT" for another split than test.

    Args:
        path: the folder.
        split: which of the folder's qrels.
        language: ISO 639-1 code of a collection without `language` fields.

    Raises:
        UserError: a file is missing; a line is malformed or empty; an id repeats; the qrels name unknown
            documents or queries; or a query has no relevant document.
    """
    corpus_file, queries_file, qrels_file = (
        beir_file(path, name, "benchmark") for name in ("corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv")
    )
    corpus, queries = _read_lines(corpus_file, beir_passage), _read_lines(queries_file, beir_query)
    _check_languages([*corpus.values(), *queries.values()], language)
    judged = _read_qrels(qrels_file, queries, corpus)
    asked = [query for query in queries if query in judged]

    def code(line: _Line) -> str:
        return line.language or language

    languages = tuple(sorted({code(line) for line in (*corpus.values(), *(queries[q] for q in asked))}))
    index_of = {code: index for index, code in enumerate(languages)}
    position_of = {document: position for position, document in enumerate(corpus)}
    relevant = [sorted((position_of[d], grade) for d, grade in judged[q].items() if grade > 0) for q in asked]
    pairs = np.array([pair for of_query in relevant for pair in of_query], dtype=np.int64)
    name = f"beir_{path.resolve().name}"
    return Benchmark(
        name=name if split == "test" else f"{name}_{split}",
        languages=languages,
        query_ids=asked,
        query_texts=[queries[query].text for query in asked],
        query_group=[queries[query].group or query for query in asked],
        query_language=np.array([index_of[code(queries[query])] for query in asked], dtype=np.int16),
        candidate_ids=list(corpus),
        candidate_texts=[line.text for line in corpus.values()],
        candidate_language=np.array([index_of[code(line)] for line in corpus.values()], dtype=np.int16),
        relevant_offsets=np.concatenate([[0], np.cumsum([len(of) for of in relevant])]).astype(np.int64),
        relevant=pairs[:, 0],
        grades=pairs[:, 1],
    )


def _read_lines(file: Path, text_of: Callable[[dict[str, object], str], str]) -> dict[str, _Line]:
    lines: dict[str, _Line] = {}
    for number, line in read_lines(file):
        where = f"{file}:{number}"
        record = parse_object(line, where)
        identifier = id_field(record, "_id", where)
        if identifier in lines:
            first = lines[identifier].where.rpartition(":")[2]
            raise UserError(
                f"{where}: the _id {identifier!r} is also in line {first}. Give every line its own _id, or "
                "remove the repeated one."
            )
        lines[identifier] = _Line(
            where, text_of(record, where), beir_language(record, where), _group(record, where)
        )
    if not lines:
        raise UserError(f"{file}:1: the file is empty. Get it again.")
    return lines


def _group(record: dict[str, object], where: str) -> str | None:
    return None if record.get("group") is None else id_field(record, "group", where)


def _check_languages(lines: list[_Line], default: str) -> None:
    """Raise where some lines have a language and others do not: a default would be a guess."""
    named = [line for line in lines if line.language is not None]
    unnamed = [line for line in lines if line.language is None]
    if named and unnamed:
        raise UserError(
            f"{unnamed[0].where}: no 'language', and {len(named):,} other lines of corpus and queries have "
            f"one (the first is {named[0].where}). Give every line its language, or none."
        )
    if unnamed and not LANGUAGE.fullmatch(default):
        raise UserError(f"benchmark.language={default} is not a language code such as en or zh.")


def _read_qrels(
    file: Path, queries: Mapping[str, _Line], corpus: Mapping[str, _Line]
) -> dict[str, dict[str, int]]:
    """Grade by document by query, in the order of the file."""
    judged: dict[str, dict[str, int]] = {}
    unknown: list[str] = []
    for number, (query, document, grade) in beir_judgements(file):
        missing = []
        if query not in queries:
            missing.append(f"the query {query!r}")
        if document not in corpus:
            missing.append(f"the document {document!r}")
        if missing:
            unknown.append(
                f"{file}:{number}: no line of the queries or the corpus has {' or '.join(missing)}"
            )
            continue
        if judged.setdefault(query, {}).setdefault(document, grade) != grade:
            raise UserError(
                f"{file}:{number}: {query!r} and {document!r} have two scores, {judged[query][document]} and "
                f"{grade}. Remove one of the lines."
            )
    if unknown:
        raise UserError(
            f"{unknown[0]} ({len(unknown):,} such lines). Remove them, or add what they name; were corpus "
            "and queries cut off?"
        )
    without = [query for query, grades in judged.items() if max(grades.values()) <= 0]
    if without:
        named = ", ".join([*map(repr, without[:3]), *(["..."] if len(without) > 3 else [])])
        raise UserError(
            f"{file}: {len(without):,} of {len(judged):,} queries have no relevant document (a score above "
            f"0): {named}. Remove their lines."
        )
    if not judged:
        raise UserError(f"{file}: holds no judgement. Choose another benchmark.split, or get the file again.")
    return judged
