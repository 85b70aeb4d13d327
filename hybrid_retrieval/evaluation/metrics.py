"""Retrieval metrics from the ranks of the relevant candidates alone.

R is the number of relevant candidates of a query, r_1 < r_2 < ... < r_R their ranks from 1, and g_i the gain
of the i-th. Relevance is binary to every metric but nDCG.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

NOT_RETRIEVED = 1 << 40
"""Rank of a relevant candidate that a search of limited depth did not find: beyond every cutoff."""


@dataclass(frozen=True)
class RelevantRanks:
    """The ranks of the relevant candidates of each of a number of rankings.

    Attributes:
        ranking: int64 (pairs,), which ranking a rank belongs to, ascending.
        rank: int64 (pairs,), from 1, ascending within a ranking.
        nth: int64 (pairs,), 1 for the first relevant candidate of its ranking, 2 for the second.
        relevant: int64 (rankings,), R of each ranking; every metric of a ranking with R = 0 is NaN.
        gain: float64 (pairs,), positive: what finding the candidate is worth to nDCG.
    """

    ranking: np.ndarray
    rank: np.ndarray
    nth: np.ndarray
    relevant: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(
        cls, ranking: np.ndarray, rank: np.ndarray, rankings: int, gain: np.ndarray | None = None
    ) -> "RelevantRanks":
        """Group ranks, given in any order, by the ranking (an int in [0, rankings)) they belong to.

        `gain` has one positive value a rank; None is 1 for each.
        """
        order = np.lexsort((rank, ranking))
        ranking, rank = ranking[order], rank[order]
        gain = np.ones(len(rank)) if gain is None else gain[order].astype(np.float64)
        relevant = np.bincount(ranking, minlength=rankings)
        first = np.cumsum(relevant) - relevant
        return cls(ranking, rank, np.arange(len(rank)) - first[ranking] + 1, relevant, gain)

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
    """nDCG@k = sum_{r_i <= k} g_i / log2(1 + r_i), over the same sum for the best order; float64 (rankings,).

    The gain is linear in the grade, as in trec_eval `ndcg_cut`; the best order is by descending gain.

    Source: Jaervelin and Kekaelaeinen, ACM TOIS 20(4), 2002.
    """
    found = ranks.total((ranks.rank <= k) * ranks.gain / np.log2(1 + ranks.rank))
    best_first = ranks.gain[np.lexsort((-ranks.gain, ranks.ranking))]
    ideal = ranks.total((ranks.nth <= k) * best_first / np.log2(1 + ranks.nth))
    values: np.ndarray = found / np.where(ranks.relevant > 0, ideal, 1)
    return values


def reciprocal_rank_at(ranks: RelevantRanks, k: int) -> np.ndarray:
    """RR@k = 1/r_1 if r_1 <= k, else 0; float64 (rankings,).

    Source: Voorhees, TREC-8 question answering track, 1999; trec_eval `recip_rank` on a run of depth k.
    """
    values: np.ndarray = ranks.total(((ranks.nth == 1) & (ranks.rank <= k)) / ranks.rank)
    return values


Metric = Callable[[RelevantRanks], np.ndarray]
_AT_CUTOFF = {"map": average_precision_at, "recall": recall_at, "ndcg": ndcg_at, "mrr": reciprocal_rank_at}


def metric(name: str) -> Metric:
    """The metric of a key of metrics.json: "map", or one of map, recall, ndcg and mrr @k, as in "ndcg@10"."""
    if name == "map":
        return average_precision
    parts = re.fullmatch(r"(map|recall|ndcg|mrr)@([1-9][0-9]*)", name)
    if parts is None:
        raise ValueError(f"no metric is named {name!r}")
    return partial(_AT_CUTOFF[parts[1]], k=int(parts[2]))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {name: metric(name) for name in ("map", "map@20", "recall@1", "recall@10", "ndcg@10", "mrr@10")}
)
"""The metrics of the three settings by key of metrics.json; each maps ranks to float64 (rankings,)."""
