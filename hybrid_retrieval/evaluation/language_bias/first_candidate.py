"""The candidate ranked first: relevant or not, in the query's language or not."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.top import first_candidates
from hybrid_retrieval.evaluation.ranking import Ranking


def first_candidate(ranking: Ranking, benchmark: Benchmark) -> dict[str, np.ndarray]:
    """Which of four cases the first candidate of the pool's ranking is; four float64 (queries,) of 0 and 1.

    - `top1_relevant_same_language`: an answer in the query's language.
    - `top1_relevant_other_language`: an answer in another language: right, but perhaps of no use to the user.
    - `top1_nonrelevant_same_language`: no answer, though in the query's language: what a retriever that
      prefers a language to relevance gives.
    - `top1_nonrelevant_other_language`: wrong in both.

    Exactly one of the four is 1, so that their means add up to 1.

    Source: the four-way decomposition of MLAIRE (arXiv 2605.07249).
    """
    first = first_candidates(ranking, 1, benchmark)[:, 0]
    same = benchmark.candidate_language[first] == benchmark.query_language
    relevant = np.zeros(ranking.queries, dtype=bool)
    relevant[ranking.query[ranking.rank_in_pool == 1]] = True
    return {
        "top1_relevant_same_language": (relevant & same).astype(np.float64),
        "top1_relevant_other_language": (relevant & ~same).astype(np.float64),
        "top1_nonrelevant_same_language": (~relevant & same).astype(np.float64),
        "top1_nonrelevant_other_language": (~relevant & ~same).astype(np.float64),
    }
