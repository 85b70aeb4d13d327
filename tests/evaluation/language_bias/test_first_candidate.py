import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.first_candidate import first_candidate

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, random_orders, ranking_of


def test_by_hand() -> None:
    found = first_candidate(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert {key: values.tolist() for key, values in found.items()} == {
        "top1_relevant_same_language": [1, 0, 0, 0],
        "top1_relevant_other_language": [0, 0, 1, 0],
        "top1_nonrelevant_same_language": [0, 1, 0, 1],
        "top1_nonrelevant_other_language": [0, 0, 0, 0],
    }


def test_exactly_one_case_holds() -> None:
    queries = [("de" if q % 2 else "en", str(q), [0, 1]) for q in range(2000)]
    benchmark = benchmark_of(queries, "de en de en fr")
    orders = random_orders(np.random.default_rng(0), benchmark)
    found = first_candidate(ranking_of(benchmark, orders), benchmark)
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    assert [values.mean() for values in found.values()] == pytest.approx([0.2, 0.2, 0.2, 0.4], abs=0.03)
