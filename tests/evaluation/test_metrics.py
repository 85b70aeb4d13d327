import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.evaluation.language_bias.rank_distance import rank_distance
from hybrid_retrieval.evaluation.metrics import METRICS, RelevantRanks, average_precision_at, metric

# Ranking 0: relevant at 1, 3, 12 of 3.  Ranking 1: relevant at 25.  Ranking 2: nothing relevant.
BY_HAND = {
    "map": [(1 / 1 + 2 / 3 + 3 / 12) / 3, 1 / 25],
    "map@20": [(1 / 1 + 2 / 3 + 3 / 12) / 3, 0],
    "recall@1": [1 / 3, 0],
    "recall@10": [2 / 3, 0],
    "ndcg@10": [(1 + 1 / 2) / (1 + 1 / np.log2(3) + 1 / 2), 0],
    "mrr@10": [1, 0],
}


def ranks_by_hand() -> RelevantRanks:
    return RelevantRanks.of(np.array([1, 0, 0, 0]), np.array([25, 12, 1, 3]), 3)


@pytest.mark.parametrize("key", list(METRICS))
def test_by_hand(key: str) -> None:
    assert METRICS[key](ranks_by_hand()) == pytest.approx([*BY_HAND[key], np.nan], nan_ok=True)


def test_the_keys_are_those_of_metrics_json() -> None:
    assert list(METRICS) == ["map", "map@20", "recall@1", "recall@10", "ndcg@10", "mrr@10"]


def test_average_precision_at_divides_by_the_depth_where_more_are_relevant() -> None:
    ranks = RelevantRanks.of(np.zeros(30, dtype=np.int64), np.arange(1, 31), 1)
    assert average_precision_at(ranks, 20) == pytest.approx([1.0])
    assert METRICS["recall@10"](ranks) == pytest.approx([10 / 30])


def test_ndcg_takes_the_grades_as_linear_gains() -> None:
    ranks = RelevantRanks.of(np.zeros(3, dtype=np.int64), np.array([4, 1, 20]), 1, np.array([3, 1, 2]))
    found = 1 + 3 / np.log2(5)
    ideal = 3 + 2 / np.log2(3) + 1 / np.log2(4)
    assert metric("ndcg@10")(ranks) == pytest.approx([found / ideal])
    assert metric("recall@10")(ranks) == pytest.approx([2 / 3])
    with pytest.raises(ValueError, match="no metric is named 'ndcg@0'"):
        metric("ndcg@0")


def test_rank_distance_by_hand() -> None:
    assert rank_distance(ranks_by_hand()) == pytest.approx([11, np.nan, np.nan], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(1, 40), max_size=25), min_size=1, max_size=6), st.randoms())
def test_bounds_and_independence_of_order(relevant: list[set[int]], random: object) -> None:
    pairs = [(ranking, rank) for ranking, of in enumerate(relevant) for rank in of]
    shuffled = sorted(pairs, key=lambda _: random.random())  # type: ignore[attr-defined]

    def of(pairs: list[tuple[int, int]]) -> RelevantRanks:
        array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return RelevantRanks.of(array[:, 0], array[:, 1], len(relevant))

    perfect = of([(ranking, i + 1) for ranking, of_one in enumerate(relevant) for i in range(len(of_one))])
    for key, of_key in METRICS.items():
        values = of_key(of(pairs))
        np.testing.assert_array_equal(values, of_key(of(shuffled)))
        assert [np.isnan(v) for v in values] == [not of_one for of_one in relevant]
        known = values[~np.isnan(values)]
        assert ((known >= 0) & (known <= of_key(perfect)[~np.isnan(values)] + 1e-12)).all()
        if not key.startswith("recall"):
            assert of_key(perfect)[~np.isnan(values)] == pytest.approx(1.0)
