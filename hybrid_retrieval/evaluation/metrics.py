"""Retrieval metrics from the ranks of the relevant candidates alone; relevance is binary.

R is the number of relevant candidates of a query, r_1 < r_2 < ... < r_R their ranks from 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True)
class RelevantRanks:
    """The ranks of the relevant candidates of each of a number of rankings.

    Attributes:
        ranking: int64 (pairs,), which ranking a rank belongs to, ascending.
        rank: int64 (pairs,), from 1, ascending within a ranking.
        nth: int64 (pairs,), 1 for the first relevant candidate of its ranking, 2 for the second.
        relevant: int64 (rankings,), R of each ranking; every metric of a ranking with R = 0 is NaN.
    """

    ranking: np.ndarray
    rank: np.ndarray
    nth: np.ndarray
    relevant: np.ndarray

    @classmethod
    def of(cls, ranking: np.ndarray, rank: np.ndarray, rankings: int) -> "RelevantRanks":
        """Group ranks, given in any order, by the ranking (an int in [0, rankings)) they belong to."""
        order = np.lexsort((rank, ranking))
        ranking, rank = ranking[order], rank[order]
        relevant = np.bincount(ranking, minlength=rankings)
        first = np.cumsum(relevant) - relevant
        return cls(ranking, rank, np.arange(len(rank)) - first[ranking] + 1, relevant)

    def total(self, weight: np.ndarray) -> np.ndarray:
        """Sum a weight per pair over each ranking; float64 (rankings,), NaN where R = 0."""
        sums = np.bincount(self.ranking, weights=weight, minlength=len(self.relevant))
        return np.where(self.relevant > 0, sums, np.nan)


def average_precision(ranks: RelevantRanks) -> np.ndarray:
    """AP = 1/R sum_i i / r_i; float64 (rankings,).

    Source: trec_eval `map`; Buckley and Voorhees, TREC, MIT Press 2005.
    """
    values: np.ndarray = ranks.total(ranks.nth / ranks.rank) / np.maximum(ranks.relevant, 1)
    return values


def average_precision_at(ranks: RelevantRanks, k: int) -> np.ndarray:
    """AP@k = 1/min(R, k) sum_{r_i <= k} i / r_i; float64 (rankings,).

    Source: LAReQA's mAP@20 (arXiv 2004.05484), XTREME-R (arXiv 2104.07412). trec_eval's `map_cut` divides
    by R and is the same only where R <= k.
    """
    weight = (ranks.rank <= k) * ranks.nth / ranks.rank
    values: np.ndarray = ranks.total(weight) / np.clip(ranks.relevant, 1, k)
    return values


def recall_at(ranks: RelevantRanks, k: int) -> np.ndarray:
    """Recall@k = |{i: r_i <= k}| / R; float64 (rankings,).

    With eleven relevant candidates in the pool, recall@1 is at most 1/11. Source: trec_eval `recall`.
    """
    values: np.ndarray = ranks.total(ranks.rank <= k) / np.maximum(ranks.relevant, 1)
    return values


def ndcg_at(ranks: RelevantRanks, k: int) -> np.ndarray:
    """nDCG@k = sum_{r_i <= k} 1/log2(1 + r_i) / sum_{i <= min(R, k)} 1/log2(1 + i); float64 (rankings,).

    Source: Jaervelin and Kekaelaeinen, ACM TOIS 20(4), 2002; trec_eval `ndcg_cut`.
    """
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, k + 1)))
    gain = (ranks.rank <= k) / np.log2(1 + ranks.rank)
    values: np.ndarray = ranks.total(gain) / ideal[np.clip(ranks.relevant, 1, k) - 1]
    return values


def reciprocal_rank_at(ranks: RelevantRanks, k: int) -> np.ndarray:
    """RR@k = 1/r_1 if r_1 <= k, else 0; float64 (rankings,).

    Source: Voorhees, TREC-8 question answering track, 1999; trec_eval `recip_rank` on a run of depth k.
    """
    values: np.ndarray = ranks.total(((ranks.nth == 1) & (ranks.rank <= k)) / ranks.rank)
    return values


METRICS: Mapping[str, Callable[[RelevantRanks], np.ndarray]] = MappingProxyType(
    {
        "map": average_precision,
        "map@20": partial(average_precision_at, k=20),
        "recall@1": partial(recall_at, k=1),
        "recall@10": partial(recall_at, k=10),
        "ndcg@10": partial(ndcg_at, k=10),
        "mrr@10": partial(reciprocal_rank_at, k=10),
    }
)
"""The metrics of metrics.json by key; each maps ranks to float64 (rankings,)."""
