import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.language_preference_rate import language_preference_rate

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, random_orders, ranking_of


def test_by_hand() -> None:
    found = language_preference_rate(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert found.tolist() == pytest.approx([1, 0, 0, np.nan], nan_ok=True)


def test_undefined_without_a_choice() -> None:
    """Answers in the query's language only, however many; in two others only."""
    benchmark = benchmark_of([("de", "a", [0, 1]), ("de", "b", [2, 3])], "de de en fr")
    ranking = ranking_of(benchmark, [[0, 1, 2, 3]] * 2)
    assert np.isnan(language_preference_rate(ranking, benchmark)).all()


def test_random_order_gives_one_over_the_number_of_languages() -> None:
    benchmark = benchmark_of([("en", str(q), [0, 1, 2, 3]) for q in range(4000)], "de en fr zh" + " de" * 9)
    orders = random_orders(np.random.default_rng(0), benchmark)
    found = language_preference_rate(ranking_of(benchmark, orders), benchmark)
    assert found.mean() == pytest.approx(1 / 4, abs=0.03)
