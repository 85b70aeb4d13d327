import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.rank_distance import rank_distance
from hybrid_retrieval.evaluation.metrics import RelevantRanks

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, ranking_of


def test_by_hand() -> None:
    ranking = ranking_of(EXAMPLE, EXAMPLE_ORDERS)
    in_pool = RelevantRanks.of(ranking.query, ranking.rank_in_pool, ranking.queries)
    assert rank_distance(in_pool) == pytest.approx([2, 3, 1, np.nan], nan_ok=True)
