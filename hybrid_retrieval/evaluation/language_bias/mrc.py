"""MRC@k: whether translations of one query get the same list."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.top import first_candidates
from hybrid_retrieval.evaluation.ranking import Ranking


def mrc_at(ranking: Ranking, benchmark: Benchmark, *, k: int = 10) -> np.ndarray:
    """Mean rank correlation of a query's top k with those of its translations; float64 (queries,) in [-1, 1].

    All translations search one pool. For two of them Spearman's correlation is taken over the union of the
    two lists of k, in which the m documents that a list lacks share the mean of the ranks k + 1 ... k + m:
    1 for equal lists, below 0 for lists without a common document. The value of a query is the mean over
    its translations (the queries of its group in other languages), so that the mean over a complete group
    is the mean over its pairs of languages. NaN for a query without translations.

    Source: Yang et al., MRL 2024 (arXiv 2509.06195). Spearman's coefficient, the union, the ranks of missing
    documents and the averages are the reading taken here of its rank correlation between the lists.
    """
    a, b = _translations(benchmark)
    top = first_candidates(ranking, k, benchmark)
    correlation = _spearman_of_lists(top, a, b)
    both, twice = np.concatenate([a, b]), np.concatenate([correlation, correlation])
    translations = np.bincount(both, minlength=ranking.queries)
    total = np.bincount(both, weights=twice, minlength=ranking.queries)
    return np.where(translations > 0, total / np.maximum(translations, 1), np.nan)


def _translations(benchmark: Benchmark) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of queries of one group in two languages, once; two int64 (pairs,)."""
    code = {group: i for i, group in enumerate(dict.fromkeys(benchmark.query_group))}
    group = np.fromiter((code[name] for name in benchmark.query_group), np.int64, len(benchmark.query_group))
    order = np.argsort(group, kind="stable")
    largest = int(np.bincount(group).max(initial=0))
    firsts, seconds = [order[:0]], [order[:0]]
    for distance in range(1, largest):
        a, b = order[:-distance], order[distance:]
        pairs = (group[a] == group[b]) & (benchmark.query_language[a] != benchmark.query_language[b])
        firsts.append(a[pairs])
        seconds.append(b[pairs])
    return np.concatenate(firsts), np.concatenate(seconds)


def _spearman_of_lists(top: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation over the union of the lists top[a] and top[b]; float64 (pairs,)."""
    k = top.shape[1]
    rank = np.arange(1.0, k + 1)
    rank_in_b = np.zeros((len(a), k))  # of each document of list a; 0 where list b lacks it
    list_a, list_b = top[a], top[b]
    for place in range(k):
        rank_in_b += (list_a == list_b[:, place, None]) * (place + 1.0)
    in_both = rank_in_b > 0
    missing = k - in_both.sum(axis=1)
    rank_if_missing = k + (missing + 1) / 2
    # Ranks with ties shared keep the sum and so the mean of 1 ... k + missing.
    mean = (k + missing + 1) / 2
    sum_only_a, sum_only_b = rank.sum() - in_both @ rank, rank.sum() - rank_in_b.sum(axis=1)
    centre = (k + missing) * mean**2
    products = rank_in_b @ rank + rank_if_missing * (sum_only_a + sum_only_b)
    squares = (rank**2).sum() + missing * rank_if_missing**2
    # k = 1 with equal lists: one document, no variance, and yet the lists agree.
    varies = squares > centre
    return np.where(varies, (products - centre) / np.where(varies, squares - centre, 1), 1.0)
