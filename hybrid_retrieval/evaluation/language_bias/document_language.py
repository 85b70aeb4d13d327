"""Tables by the language of the document: which languages a retriever ranks high."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.confusion import confusion
from hybrid_retrieval.evaluation.ranking import Ranking


def mean_rank(ranking: Ranking, benchmark: Benchmark) -> np.ndarray:
    """Mean rank in the pool of the relevant candidates of each language; float64 (languages,).

    Mean over the queries of a language, then over the query languages. Equal values over the languages are
    what an unbiased retriever gives on parallel answers; NaN for a language without a relevant candidate.
    """
    languages = len(benchmark.languages)
    cell = benchmark.query_language[ranking.query].astype(np.int64) * languages + ranking.language
    answers = np.bincount(cell, minlength=languages**2)
    ranks = np.bincount(cell, weights=ranking.rank_in_pool, minlength=languages**2)
    means = np.where(answers > 0, ranks / np.maximum(answers, 1), np.nan)
    return _mean_of_known(means.reshape(languages, languages))


def top_share(ranking: Ranking, benchmark: Benchmark, *, k: int = 10) -> np.ndarray:
    """Share of each language among the first k candidates; float64 (languages,), sums to 1.

    Mean over the queries of a language, then over the query languages. To be set against the language's
    share of the pool.
    """
    return _mean_of_known(confusion(ranking, benchmark, k=k))


def _mean_of_known(by_query_language: np.ndarray) -> np.ndarray:
    """Mean over the rows of the values that are not NaN; NaN where there are none."""
    known = (~np.isnan(by_query_language)).sum(axis=0)
    return np.where(known > 0, np.nansum(by_query_language, axis=0) / np.maximum(known, 1), np.nan)
