"""Lang-nDCG: nDCG that prefers the answer in the query's language."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.metrics import RelevantRanks, ndcg_at
from hybrid_retrieval.evaluation.ranking import Ranking

OTHER_LANGUAGE_GAIN = 0.5


def lang_ndcg(ranking: Ranking, benchmark: Benchmark, *, k: int = 10) -> np.ndarray:
    """nDCG@k in the pool with a smaller gain for answers in other languages; float64 (queries,).

    An answer in the query's language has gain 1, a parallel answer in another language gain 1/2, both times
    the grade where the benchmark has grades. 1 is an answer in the query's language first, then the others.

    Source: MLAIRE (arXiv 2605.07249). The paper's gains were not available when this was written: 1 and 1/2
    are the reading taken here, and values are not to be set beside the paper's.
    """
    own = ranking.language == benchmark.query_language[ranking.query]
    grades = 1 if benchmark.grades is None else benchmark.grades
    gain = np.where(own, 1.0, OTHER_LANGUAGE_GAIN) * grades
    return ndcg_at(RelevantRanks.of(ranking.query, ranking.rank_in_pool, ranking.queries, gain), k)
