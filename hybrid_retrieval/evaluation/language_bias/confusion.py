"""Confusion of languages: in which languages the first candidates are, by the language of the query."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.top import language_share_of_top
from hybrid_retrieval.evaluation.ranking import Ranking

CUTOFFS = (1, 10)


def confusion(ranking: Ranking, benchmark: Benchmark, *, k: int) -> np.ndarray:
    """Share of each document language among the first k candidates of the pool's ranking.

    Mean over the queries of a language. Rows sum to 1; a retriever without preference gives in every row the
    languages' shares of the pool, one that sees only the language the identity.

    Args:
        ranking: with at least the first k candidates, or with the whole pool if it is smaller.
        benchmark: what was ranked.
        k: how many candidates of each ranking count.

    Returns:
        float64 (query languages, document languages); NaN in the row of a language without queries.

    Raises:
        ValueError: the ranking was made with a smaller `top`.
    """
    shares, languages = language_share_of_top(ranking, benchmark, k), len(benchmark.languages)
    queries = np.bincount(benchmark.query_language, minlength=languages)[:, None]
    of_document_language = [
        np.bincount(benchmark.query_language, weights=share, minlength=languages) for share in shares.T
    ]
    sums = np.stack(of_document_language, axis=1)
    return np.where(queries > 0, sums / np.maximum(queries, 1), np.nan)
