"""All measures of language bias of one evaluation."""

from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.confusion import CUTOFFS, confusion
from hybrid_retrieval.evaluation.language_bias.document_language import mean_rank, top_share
from hybrid_retrieval.evaluation.language_bias.first_candidate import first_candidate
from hybrid_retrieval.evaluation.language_bias.lang_ndcg import lang_ndcg
from hybrid_retrieval.evaluation.language_bias.language_preference_rate import language_preference_rate
from hybrid_retrieval.evaluation.language_bias.mrc import mrc_at
from hybrid_retrieval.evaluation.language_bias.peer import peer
from hybrid_retrieval.evaluation.language_bias.rank_distance import rank_distance
from hybrid_retrieval.evaluation.language_bias.same_language_preference import same_language_preference
from hybrid_retrieval.evaluation.language_bias.top import language_share_of_pool
from hybrid_retrieval.evaluation.metrics import RelevantRanks
from hybrid_retrieval.evaluation.ranking import Ranking

TOP = 100
"""How many candidates of each query's ranking of the pool the measures may look at."""

OF_ONE_DOCUMENT_LANGUAGE = ("mrc@10",)
"""The measures that are defined, too, where all candidates are in one language."""


@dataclass(frozen=True)
class LanguageBias:
    """What the measures found; `catalogue` says how to read each key.

    Attributes:
        per_query: for each key of `language_bias` in metrics.json float64 (queries,), NaN where the measure
            is not defined for the query; the value in metrics.json is the mean over the queries of a
            language, then over languages.
        per_document_language: for each key float64 (languages,).
        confusion: for each key, such as "top@10", float64 (query languages, document languages).
    """

    per_query: dict[str, np.ndarray]
    per_document_language: dict[str, np.ndarray]
    confusion: dict[str, np.ndarray]


def measure_language_bias(ranking: Ranking, benchmark: Benchmark) -> LanguageBias:
    """Compute every measure.

    Where all candidates are in one language there is no bias to measure: every value is NaN, but for those
    that compare translations of a query.

    Args:
        ranking: of the relevant candidates, with the first TOP candidates of each query.
        benchmark: what was ranked.

    Raises:
        ValueError: the ranking has fewer than the first TOP candidates.
    """
    in_pool = RelevantRanks.of(ranking.query, ranking.rank_in_pool, ranking.queries)
    per_query = {
        "rank_distance": rank_distance(in_pool),
        "peer": peer(ranking, benchmark, cutoff=TOP),
        "lpr": language_preference_rate(ranking, benchmark),
        "lang_ndcg@10": lang_ndcg(ranking, benchmark, k=10),
        "mrc@10": mrc_at(ranking, benchmark, k=10),
        "same_language_preference": same_language_preference(ranking, benchmark, k=10),
        **first_candidate(ranking, benchmark),
    }
    per_document_language = {
        "mean_rank": mean_rank(ranking, benchmark),
        "top_share@10": top_share(ranking, benchmark, k=10),
        "pool_share": language_share_of_pool(benchmark),
    }
    confused = {f"top@{k}": confusion(ranking, benchmark, k=k) for k in CUTOFFS}
    if len(np.unique(benchmark.candidate_language)) < 2:
        undefined = [key for key in per_query if key not in OF_ONE_DOCUMENT_LANGUAGE]
        per_query |= {key: np.full(ranking.queries, np.nan) for key in undefined}
        per_document_language = {
            key: np.full(len(benchmark.languages), np.nan) for key in per_document_language
        }
        confused = {key: np.full_like(shares, np.nan) for key, shares in confused.items()}
    return LanguageBias(per_query, per_document_language, confused)
