"""The monolingual, the cross-lingual and the multilingual setting, all from one ranking.

Monolingual: queries of language X against the candidates of X. Cross-lingual: queries of X against the
candidates of Y, every ordered pair X != Y. Multilingual: queries of X against the pool of all languages,
every parallel answer relevant. A query counts in a pair (X, Y) only when it has a relevant candidate in Y.

Source: arXiv 2408.10536; LAReQA, arXiv 2004.05484.
"""

from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.evaluation.metrics import METRICS, RelevantRanks
from hybrid_retrieval.evaluation.ranking import Ranking


@dataclass(frozen=True)
class QueryScores:
    """Every metric of every query in every setting.

    Attributes:
        query_language: int (queries,).
        by_language: for each key of METRICS float64 (queries, languages): the query against the candidates of
            one language, its own (monolingual) or another (cross-lingual); NaN without a relevant one.
        pool: for each key of METRICS float64 (queries,): the query against all candidates.
        best_rank_in_language: int32 (queries, languages), rank of the best relevant candidate of a language
            among the candidates of that language; 0 where there is none.
        best_rank_in_pool: the same among all candidates.
    """

    query_language: np.ndarray
    by_language: dict[str, np.ndarray]
    pool: dict[str, np.ndarray]
    best_rank_in_language: np.ndarray
    best_rank_in_pool: np.ndarray

    @classmethod
    def of(
        cls, ranking: Ranking, query_language: np.ndarray, grades: np.ndarray | None = None
    ) -> "QueryScores":
        """Score each query.

        Args:
            ranking: of the relevant candidates.
            query_language: int (queries,).
            grades: int (pairs,) as in `Benchmark`.
        """
        shape = (ranking.queries, ranking.ahead.shape[1])
        cell = ranking.query * shape[1] + ranking.language
        in_language = RelevantRanks.of(cell, ranking.rank_in_language, shape[0] * shape[1], grades)
        in_pool = RelevantRanks.of(ranking.query, ranking.rank_in_pool, shape[0], grades)
        in_pool_by_language = RelevantRanks.of(cell, ranking.rank_in_pool, shape[0] * shape[1])
        return cls(
            query_language=query_language,
            by_language={key: metric(in_language).reshape(shape) for key, metric in METRICS.items()},
            pool={key: metric(in_pool) for key, metric in METRICS.items()},
            best_rank_in_language=_best(in_language).reshape(shape),
            best_rank_in_pool=_best(in_pool_by_language).reshape(shape),
        )

    def monolingual(self, key: str) -> np.ndarray:
        """One metric of each query against the candidates of its own language; float64 (queries,)."""
        return np.take_along_axis(self.by_language[key], self.query_language[:, None].astype(np.int64), 1)[
            :, 0
        ]

    def cross_lingual(self, key: str) -> np.ndarray:
        """One metric of each query, averaged over the other languages with answers; float64 (queries,)."""
        others = self.by_language[key].copy()
        np.put_along_axis(others, self.query_language[:, None].astype(np.int64), np.nan, axis=1)
        known = (~np.isnan(others)).sum(axis=1)
        return np.where(known > 0, np.nansum(others, axis=1) / np.maximum(known, 1), np.nan)

    def pairs(self, key: str) -> np.ndarray:
        """Mean of one metric over the queries of X against the candidates of Y; float64 (X, Y)."""
        values = self.by_language[key]
        return np.array(
            [
                [mean(values[self.query_language == x, y]) for y in range(values.shape[1])]
                for x in range(values.shape[1])
            ]
        )

    def by_query_language(self, values: np.ndarray) -> np.ndarray:
        """Mean of a value per query over the queries of each language; float64 (languages,)."""
        languages = self.best_rank_in_pool.shape[1]
        return np.array([mean(values[self.query_language == language]) for language in range(languages)])


def mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN when there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def macro_monolingual(pairs: np.ndarray) -> float:
    """Macro average over languages; `pairs` as `QueryScores.pairs` gives them."""
    return mean(np.diagonal(pairs))


def macro_cross_lingual(pairs: np.ndarray) -> float:
    """Macro average over the ordered pairs of two different languages."""
    return mean(pairs[~np.eye(len(pairs), dtype=bool)])


def _best(ranks: RelevantRanks) -> np.ndarray:
    first: np.ndarray = np.nan_to_num(ranks.total(ranks.rank * (ranks.nth == 1)), nan=0).astype(np.int32)
    return first
