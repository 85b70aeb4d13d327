import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.document_language import mean_rank, top_share
from hybrid_retrieval.evaluation.language_bias.top import language_share_of_pool

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, ranking_of


def test_mean_rank_by_hand() -> None:
    """German answers: 1 for the German queries; 2 and 1 for the English. English: 3 and 2; 5 and 2."""
    found = mean_rank(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert found == pytest.approx([(1 + 1.5) / 2, (2.5 + 3.5) / 2])


def test_top_share_by_hand() -> None:
    """Of three: German queries see 2 of 3 German and 2 of 3 German; English queries 1 of 3 and 1 of 3."""
    found = top_share(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE, k=3)
    assert found == pytest.approx([1 / 2, 1 / 2])


def test_each_query_language_counts_the_same() -> None:
    benchmark = benchmark_of(
        [("de", "a", [0]), ("de", "b", [0]), ("de", "c", [0]), ("en", "a", [0])], "de en"
    )
    ranking = ranking_of(benchmark, [[0, 1], [0, 1], [0, 1], [1, 0]])
    assert top_share(ranking, benchmark, k=1) == pytest.approx([0.5, 0.5])
    assert mean_rank(ranking, benchmark) == pytest.approx([1.5, np.nan], nan_ok=True)


def test_the_share_of_the_whole_pool() -> None:
    assert language_share_of_pool(EXAMPLE) == pytest.approx([3 / 7, 4 / 7])
    whole = top_share(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE, k=10)
    assert whole == pytest.approx(language_share_of_pool(EXAMPLE))
