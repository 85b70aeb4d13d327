import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.same_language_preference import same_language_preference

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, random_orders, ranking_of


def test_by_hand() -> None:
    """The pool has three German and four English candidates."""
    found = same_language_preference(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE, k=3)
    assert found == pytest.approx([2 / 3 - 3 / 7, 2 / 3 - 4 / 7, 2 / 3 - 4 / 7, 2 / 3 - 3 / 7])


def test_the_whole_pool_shows_no_preference() -> None:
    found = same_language_preference(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE, k=10)
    assert found == pytest.approx(np.zeros(4))


def test_random_order_shows_no_preference() -> None:
    benchmark = benchmark_of([("en", str(q), [0]) for q in range(2000)], "de en fr zh en " * 12)
    orders = random_orders(np.random.default_rng(0), benchmark)
    ranking = ranking_of(benchmark, orders)
    assert same_language_preference(ranking, benchmark).mean() == pytest.approx(0, abs=0.01)


def test_undefined_in_a_language_without_candidates() -> None:
    benchmark = benchmark_of([("fr", "a", [0]), ("de", "a", [0])], "de en")
    found = same_language_preference(ranking_of(benchmark, [[0, 1], [1, 0]]), benchmark, k=1)
    assert found == pytest.approx([np.nan, -0.5], nan_ok=True)
