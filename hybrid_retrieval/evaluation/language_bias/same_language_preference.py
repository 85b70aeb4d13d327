"""Same-language preference: how over-represented the query's own language is at the top."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.top import language_share_of_pool, language_share_of_top
from hybrid_retrieval.evaluation.ranking import Ranking


def same_language_preference(ranking: Ranking, benchmark: Benchmark, *, k: int = 10) -> np.ndarray:
    """Share of the query's language in its top k less that language's share of the pool; float64 (queries,).

    0 is a retriever blind to language; above 0 it prefers the query's language, below 0 it avoids it. Unlike
    the Language Preference Rate it counts every candidate, relevant or not. NaN for a query in a language
    without candidates.

    Source: the languages found among the first ranks show the bias, as in Multi-EuP (arXiv 2311.01870); the
    difference from the pool is ours.
    """
    own = benchmark.query_language.astype(np.int64)
    in_pool = language_share_of_pool(benchmark)[own]
    in_top = np.take_along_axis(language_share_of_top(ranking, benchmark, k), own[:, None], axis=1)[:, 0]
    return np.where(in_pool > 0, in_top - in_pool, np.nan)
