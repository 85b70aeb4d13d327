"""Language Preference Rate: how often the first parallel answer is the one in the query's language."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.ranking import Ranking


def language_preference_rate(ranking: Ranking, benchmark: Benchmark) -> np.ndarray:
    """Whether the answer ranked first among the answers is in the query's language; float64 (queries,).

    LPR = mean over queries of [the smallest rank among the query's answers in its own language is smaller
    than the smallest among its answers in other languages], in the ranking of the pool. It looks at the
    answers only, wherever they are ranked, and so measures preference for a language apart from relevance.
    A retriever blind to language has 1 / (number of languages) with one answer per language; 1 prefers the
    query's language always. NaN for a query without an answer in its own language, or in no other.

    Source: MLAIRE (arXiv 2605.07249).
    """
    own = ranking.language == benchmark.query_language[ranking.query]
    best = np.full((2, ranking.queries), np.inf)
    np.minimum.at(best, (own.astype(np.int64), ranking.query), ranking.rank_in_pool)
    in_other, in_own = best
    return np.where(np.isfinite(in_own) & np.isfinite(in_other), in_own < in_other, np.nan)
