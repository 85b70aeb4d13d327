"""The first candidates of each ranking of the pool, and the languages they are in."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.ranking import Ranking


def first_candidates(ranking: Ranking, k: int, benchmark: Benchmark) -> np.ndarray:
    """Positions of the first k candidates, or of the whole pool if it is smaller; int32 (queries, k).

    Raises:
        ValueError: the ranking was made with a smaller `top`.
    """
    k = min(k, len(benchmark.candidate_ids))
    if ranking.top.shape[1] < k:
        raise ValueError(f"the ranking has the first {ranking.top.shape[1]} candidates; {k} are needed")
    return ranking.top[:, :k]


def language_share_of_top(ranking: Ranking, benchmark: Benchmark, k: int) -> np.ndarray:
    """Share of each language among the first k candidates; float64 (queries, languages), rows sum to 1."""
    top, languages = first_candidates(ranking, k, benchmark), len(benchmark.languages)
    cell = np.arange(len(top))[:, None] * languages + benchmark.candidate_language[top]
    counts = np.bincount(cell.ravel(), minlength=len(top) * languages).reshape(-1, languages)
    shares: np.ndarray = counts / top.shape[1]
    return shares


def language_share_of_pool(benchmark: Benchmark) -> np.ndarray:
    """Share of each language among all candidates; float64 (languages,), sums to 1."""
    counts = np.bincount(benchmark.candidate_language, minlength=len(benchmark.languages))
    return counts / len(benchmark.candidate_ids)
