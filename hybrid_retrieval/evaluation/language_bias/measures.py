"""All measures of language bias of one evaluation."""

from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.rank_distance import rank_distance
from hybrid_retrieval.evaluation.metrics import RelevantRanks
from hybrid_retrieval.evaluation.ranking import Ranking

TOP = 100
"""How many candidates of each query's ranking of the pool the measures may look at."""


@dataclass(frozen=True)
class LanguageBias:
    """What the measures found.

    Attributes:
        per_query: for each key of `language_bias` in metrics.json float64 (queries,), NaN where the measure
            is not defined for the query; the value in metrics.json is the mean over the queries of a
            language, then over languages.
        per_document_language: for each key float64 (languages,).
    """

    per_query: dict[str, np.ndarray]
    per_document_language: dict[str, np.ndarray]


def measure_language_bias(ranking: Ranking, benchmark: Benchmark) -> LanguageBias:
    """Compute every measure.

    Args:
        ranking: of the relevant candidates, with the first TOP candidates of each query.
        benchmark: what was ranked.
    """
    in_pool = RelevantRanks.of(ranking.query, ranking.rank_in_pool, ranking.queries)
    return LanguageBias({"rank_distance": rank_distance(in_pool)}, {})
