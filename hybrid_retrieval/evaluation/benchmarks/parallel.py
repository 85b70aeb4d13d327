"""A benchmark from the rows of a parallel question-passage source, such as a split of `world_facts`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark


def benchmark_from_rows(name: str, rows_by_language: Mapping[str, Sequence[Row]]) -> Benchmark:
    """Make a benchmark of parallel rows.

    Queries are the rows ("LANG:row id", grouped by row id). Candidates are the distinct passage ids of each
    language ("LANG:passage id"); so the passages of hard negatives, which other rows define, are candidates
    when those rows are given. Relevant is a row's passage id in every language that has it. Rows need not
    exist in every language.

    Args:
        name: the benchmark's name.
        rows_by_language: rows by ISO 639-1 code.

    Raises:
        UserError: there are no rows, a row id repeats within a language, or a passage id has two texts in
        one.
    """
    languages = tuple(code for code in sorted(rows_by_language) if rows_by_language[code])
    if not languages:
        raise UserError(f"{name}: no rows to evaluate on. Choose a split and languages that hold some.")
    candidate_ids: list[str] = []
    candidate_texts: list[str] = []
    candidate_language: list[int] = []
    positions: dict[str, list[int]] = defaultdict(list)
    queries: list[tuple[int, Row]] = []
    for index, code in enumerate(languages):
        text_of = _passages(name, code, rows_by_language[code])
        for passage_id, text in text_of.items():
            positions[passage_id].append(len(candidate_ids))
            candidate_ids.append(f"{code}:{passage_id}")
            candidate_texts.append(text)
            candidate_language.append(index)
        queries.extend((index, row) for row in rows_by_language[code])
    relevant = [positions[row.passage_id] for _, row in queries]
    return Benchmark(
        name=name,
        languages=languages,
        query_ids=[f"{languages[index]}:{row.id}" for index, row in queries],
        query_texts=[row.question for _, row in queries],
        query_group=[row.id for _, row in queries],
        query_language=np.array([index for index, _ in queries], dtype=np.int16),
        candidate_ids=candidate_ids,
        candidate_texts=candidate_texts,
        candidate_language=np.array(candidate_language, dtype=np.int16),
        relevant_offsets=np.concatenate([[0], np.cumsum([len(of) for of in relevant])]).astype(np.int64),
        relevant=np.concatenate(relevant).astype(np.int64),
    )


def _passages(name: str, language: str, rows: Sequence[Row]) -> dict[str, str]:
    """Text by passage id, in order of appearance."""
    texts, seen = dict[str, str](), set[str]()
    for row in rows:
        if row.id in seen:
            raise UserError(
                f"{name} ({language}): row id {row.id!r} occurs twice. Give every row its own id."
            )
        seen.add(row.id)
        if texts.setdefault(row.passage_id, row.passage) != row.passage:
            raise UserError(
                f"{name} ({language}): passage id {row.passage_id!r} has two texts, one in row {row.id!r}. "
                "One passage id stands for one passage: give the other its own id."
            )
    return texts
