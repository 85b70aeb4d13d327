"""Rank distance: how far apart the parallel answers of a query lie."""

import numpy as np

from hybrid_retrieval.evaluation.metrics import RelevantRanks


def rank_distance(ranks: RelevantRanks) -> np.ndarray:
    """Largest minus smallest rank of a query's relevant candidates; float64 (rankings,), lower is better.

    The relevant candidates are the parallel answers in several languages, ranked in the pool of all
    languages. An unbiased retriever ranks them side by side. A query with fewer than two relevant
    candidates has no distance: NaN.

    Source: Huang et al., SIGIR 2023 (arXiv 2305.09025); the column "bias" of
    arXiv 2408.10536.
    """
    largest = ranks.total(ranks.rank * (ranks.nth == ranks.relevant[ranks.ranking]))
    smallest = ranks.total(ranks.rank * (ranks.nth == 1))
    return np.where(ranks.relevant > 1, largest - smallest, np.nan)
