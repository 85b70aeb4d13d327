"""PEER: whether documents of all languages have the same expected rank."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import gammaincc

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.top import first_candidates
from hybrid_retrieval.evaluation.ranking import Ranking

CUTOFF = 100
WEIGHTS: Mapping[int, float] = MappingProxyType({0: 0.5, 1: 0.5})


def peer(
    ranking: Ranking,
    benchmark: Benchmark,
    *,
    cutoff: int = CUTOFF,
    weights: Mapping[int, float] | None = None,
) -> np.ndarray:
    """Probability of equal expected rank; float64 (queries,) in [0, 1], higher is fairer.

    PEER = sum over relevance levels l of w_l p_l. p_l is the p-value of the Kruskal-Wallis test that the
    documents of level l in the first `cutoff` have the same expected rank whatever their language:

        H = (N - 1) sum_g n_g (mean_g - mean)^2 / sum_i (r_i - mean)^2,   p = P(chi^2 with G - 1 d.f. > H)

    for N documents at the places r_i of the list, in G languages g with n_g documents each. A relevant
    document beyond the cutoff takes part with the rank (2 N + m + 1) / 2, m being their number at this
    level, as in the authors' code. p is 1 where fewer than two languages, or only unretrieved documents,
    are left; a relevant level of which a query has no document adds nothing.

    With one answer per language every n_g is 1 and H = N - 1 whatever the ranks: the relevant level alone
    says nothing on a parallel benchmark such as XQuAD-R. That is why the weights are by default divided
    evenly between the relevant and the other documents, and why the value there moves with the other
    documents only. Compare values of one benchmark and cutoff, not across benchmarks.

    Where all ranks of a level are equal, the authors' code divides 0 by 0 and gives NaN; here p is 1.

    Args:
        ranking: with at least the first `cutoff` candidates.
        benchmark: what was ranked.
        cutoff: how many candidates of the ranking take part.
        weights: of each relevance level (0: not relevant), adding up to 1; None is a half for the
            candidates that are not relevant and a half for those that are, whatever their grade.

    Raises:
        ValueError: the weights do not add up to 1, or the ranking does not go as deep as the cutoff.

    Source: Yang et al., SIGIR 2024 (arXiv 2405.00978); equal to the package peer_measure 0.0.1.
    """
    binary = weights is None or benchmark.grades is None
    weights = WEIGHTS if weights is None else weights
    if not np.isclose(sum(weights.values()), 1.0):
        raise ValueError(f"the weights of PEER must add up to 1, not {sum(weights.values())}")
    top = first_candidates(ranking, cutoff, benchmark)
    shape = ranking.queries, len(benchmark.languages)
    rank = ranking.rank_in_pool
    found = rank <= top.shape[1]
    level_of_pair = np.ones(len(rank), dtype=np.int64) if binary else benchmark.grades

    value = np.zeros(ranking.queries)
    for level, weight in weights.items():
        if level == 0:
            other = np.ones(top.shape, dtype=bool)
            other[ranking.query[found], rank[found] - 1] = False
            query, place = np.nonzero(other)
            p = _kruskal_wallis(query, benchmark.candidate_language[top[other]], place + 1.0, shape)
        else:
            of_level = level_of_pair == level
            query, is_found = ranking.query[of_level], found[of_level]
            documents = np.bincount(query, minlength=shape[0])
            unretrieved = documents - np.bincount(query[is_found], minlength=shape[0])
            rank_if_not_found = (2 * documents + unretrieved + 1) / 2
            ranks = np.where(is_found, rank[of_level], rank_if_not_found[query])
            p = _kruskal_wallis(query, ranking.language[of_level], ranks, shape) * (documents > 0)
        value += weight * p
    return value


def _kruskal_wallis(
    query: np.ndarray, language: np.ndarray, rank: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """p-value of each query over its documents grouped by language; float64 (queries,)."""
    queries, languages = shape
    documents = np.bincount(query, minlength=queries)
    mean = np.bincount(query, weights=rank, minlength=queries) / np.maximum(documents, 1)
    deviation = rank - mean[query]
    group = query * languages + language
    members = np.bincount(group, minlength=queries * languages).reshape(shape)
    of_group = np.bincount(group, weights=deviation, minlength=queries * languages).reshape(shape)
    between = (of_group**2 / np.maximum(members, 1)).sum(axis=1)
    total = np.bincount(query, weights=deviation**2, minlength=queries)
    h = (documents - 1) * between / np.where(total > 0, total, 1)
    groups = (members > 0).sum(axis=1)
    p: np.ndarray = gammaincc(np.maximum(groups - 1, 1) / 2, np.maximum(h, 0) / 2)
    return np.where(groups > 1, p, 1.0)
