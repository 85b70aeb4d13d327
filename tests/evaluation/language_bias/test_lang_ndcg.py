from math import log2

import pytest

from hybrid_retrieval.evaluation.language_bias.lang_ndcg import lang_ndcg

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, ranking_of


def test_by_hand() -> None:
    ideal = 1 + 0.5 / log2(3)
    found = lang_ndcg(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert found == pytest.approx(
        [
            (1 + 0.5 / log2(4)) / ideal,
            (0.5 / log2(3) + 1 / log2(6)) / ideal,
            (0.5 + 1 / log2(3)) / ideal,
            1 / log2(3),  # the only answer has gain 1/2 in the list and in the best order
        ]
    )
    at_1 = lang_ndcg(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE, k=1)
    assert at_1.tolist() == [1, 0, 0.5, 0]


def test_grades_multiply_the_gain() -> None:
    benchmark = benchmark_of([("de", "a", [0, 1])], "de en en", grades=[1, 3])
    found = lang_ndcg(ranking_of(benchmark, [[0, 1, 2]]), benchmark)
    assert found == pytest.approx([(1 + 1.5 / log2(3)) / (1.5 + 1 / log2(3))])


def test_swapping_two_answers_towards_the_query_language_is_better() -> None:
    benchmark = benchmark_of([("de", "a", [0, 1])], "de en de en de en en")
    own_first, other_first = [0, 4, 1, 2, 3, 5, 6], [1, 4, 0, 2, 3, 5, 6]
    better, worse = (
        lang_ndcg(ranking_of(benchmark, [order]), benchmark)[0] for order in (own_first, other_first)
    )
    assert better > worse
