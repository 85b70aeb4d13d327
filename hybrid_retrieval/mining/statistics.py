"""What mining found, in numbers and in examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from hybrid_retrieval.mining.embeddings import ParallelEmbeddings
from hybrid_retrieval.mining.nearest import Nearest, pair_scores
from hybrid_retrieval.mining.select import Selection
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.sampling.triples import IntArray
from hybrid_retrieval.security.terminal import plain

TRIPLES_AT_A_TIME = 64
LONGEST_SAMPLE = 160


def found_in(
    queries: ParallelEmbeddings, passages: ParallelEmbeddings, chosen: IntArray, settings: MiningSettings
) -> tuple[IntArray, IntArray]:
    """The pair of languages of the setting in which each negative scores best.

    Args:
        queries: of the triples.
        passages: of the candidates.
        chosen: int64 (triples, k), positions among the candidates, -1 for none.
        settings: `setting` counts.

    Returns:
        Language of the query and of the passage, int64 (triples, k); -1 for none.
    """
    languages = len(queries.exists)
    inside = np.zeros((languages, languages), dtype=np.bool_)
    for x, others in settings.pairs(languages):
        inside[x, others] = True
    best = np.full(chosen.shape, -1, dtype=np.int64)
    for start in range(0, len(chosen), TRIPLES_AT_A_TIME):
        rows = np.arange(start, min(start + TRIPLES_AT_A_TIME, len(chosen)))
        cells = pair_scores(queries, passages, rows, chosen[rows])
        cells[..., ~inside] = -np.inf
        best[rows] = cells.reshape(*cells.shape[:2], -1).argmax(axis=2)
    best[chosen < 0] = -1
    return np.where(best < 0, -1, best // languages), np.where(best < 0, -1, best % languages)


def statistics_of(
    nearest: Nearest,
    selection: Selection,
    *,
    excluded: Mapping[str, int],
    found: tuple[IntArray, IntArray],
    passages: ParallelEmbeddings,
    languages: Sequence[str],
    k: int,
) -> dict[str, Any]:
    """The numbers of `mining.json`.

    Returns:
        `questions` and `candidates`; `negatives`: their number, mean a question, `by_count` (how many
        questions have 0, 1, ... k), `share_with_k` and `in_every_language` (share of negatives whose passage
        exists in every language); `score`: mean of the positives, of the negatives and of the negatives by
        place; `found`: share of the negatives that score best in the language of the query, and by language
        of the passage; `excluded`: pairs that may not be negatives, by rule; `filtered`: candidates of the
        range that were dropped, by rule. A mean or share of nothing is None.
    """
    exists = np.asarray(selection.candidates >= 0)
    counts, total = selection.counts(), int(exists.sum())
    everywhere = np.asarray(passages.exists.all(axis=0))[selection.candidates[exists]]
    of_query, of_passage = (each[exists] for each in found)
    scores = [selection.scores[exists[:, place], place] for place in range(exists.shape[1])]
    return {
        "questions": len(counts),
        "candidates": len(passages),
        "negatives": {
            "total": total,
            "mean": _mean(counts),
            "by_count": np.bincount(counts, minlength=k + 1).tolist(),
            "share_with_k": _mean(counts == k),
            "in_every_language": _mean(everywhere),
        },
        "score": {
            "positive": _mean(nearest.positive_scores),
            "negative": _mean(selection.scores[exists]),
            "by_place": [_mean(of_place) for of_place in scores],
        },
        "found": {
            "monolingual": _mean(of_query == of_passage),
            "by_passage_language": {code: _mean(of_passage == y) for y, code in enumerate(languages)},
        },
        "excluded": dict(excluded),
        "filtered": dict(selection.filtered),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values, dtype=np.float64)) if len(values) else None


def statistics_table(name: str, statistics: dict[str, Any]) -> Table:
    """The numbers for a terminal."""
    negatives, score, found = statistics["negatives"], statistics["score"], statistics["found"]
    k = len(negatives["by_count"]) - 1
    table = Table(title=escape(f"{name}: hard negatives"), show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right", overflow="fold")
    table.add_row("questions", f"{statistics['questions']:,}")
    table.add_row("candidate passages", f"{statistics['candidates']:,}")
    table.add_row("negatives a question", _number(negatives["mean"], 2))
    table.add_row(f"questions with all {k}", _share(negatives["share_with_k"]))
    table.add_row("questions with none", f"{negatives['by_count'][0]:,}")
    table.add_row("negatives that exist in every language", _share(negatives["in_every_language"]))
    table.add_row("mean score of the positives", _number(score["positive"], 4))
    table.add_row("mean score of the negatives", _number(score["negative"], 4))
    table.add_row("found in the query's language", _share(found["monolingual"]))
    by_language = found["by_passage_language"]
    table.add_row(
        "found in passages of", ", ".join(f"{code} {_share(by_language[code])}" for code in by_language)
    )
    for kind in ("excluded", "filtered"):
        for rule, count in statistics[kind].items():
            table.add_row(f"{kind}: {rule}", f"{count:,}")
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def sample_table(question: str, rows: Sequence[tuple[str, str, float | None, str]]) -> Table:
    """A question, its positive and its negatives below each other.

    Args:
        question: with its language.
        rows: what it is, language, score and text of each passage; a score of None is not shown.
    """
    table = Table(title=escape(_short(question)), title_justify="left")
    for name, justify in (("", "left"), ("language", "left"), ("score", "right"), ("passage", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for what, language, score, text in rows:
        table.add_row(what, language, _number(score, 3), escape(_short(text)))
    return table


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…")
