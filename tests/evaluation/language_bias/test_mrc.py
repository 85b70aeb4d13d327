import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.mrc import mrc_at

from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, random_orders, ranking_of


def two_queries(pool: int) -> Benchmark:
    return benchmark_of([("de", "a", [0]), ("en", "a", [0])], "de " * pool)


@pytest.mark.parametrize(
    ("first", "second", "k", "expected"),
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 4, 3], 3, 1.0),  # equal lists, whatever follows
        ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4], 2, -1.0),
        ([0, 1, 2, 3, 4], [2, 1, 0, 3, 4], 3, -1.0),
        # Union 0 1 2: ranks 1 2 3 and 1 3 2.
        ([0, 1, 2, 3, 4], [0, 2, 1, 3, 4], 2, 0.5),
        # No common document: ranks 1 2 3.5 3.5 and 3.5 3.5 1 2; the sum of products is 21.
        ([0, 1, 2, 3, 4], [2, 3, 0, 1, 4], 2, (21 - 25) / (29.5 - 25)),
        ([0, 1, 2, 3, 4], [0, 4, 3, 2, 1], 1, 1.0),
        ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4], 1, -1.0),
        ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], 99, -1.0),  # the whole pool
    ],
)
def test_two_lists_by_hand(first: list[int], second: list[int], k: int, expected: float) -> None:
    benchmark = two_queries(5)
    assert mrc_at(ranking_of(benchmark, [first, second]), benchmark, k=k) == pytest.approx([expected] * 2)


def test_ten_candidates_without_a_common_one() -> None:
    benchmark = two_queries(20)
    orders = [list(range(20)), [*range(10, 20), *range(10)]]
    assert mrc_at(ranking_of(benchmark, orders), benchmark) == pytest.approx([-500 / 582.5] * 2)


def test_undefined_without_translations() -> None:
    found = mrc_at(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert np.isnan(found).tolist() == [False, False, True, True]


def by_scipy(top_a: list[int], top_b: list[int]) -> float:
    union = sorted({*top_a, *top_b})
    missing = len(union) - len(top_a)
    last = np.mean(np.arange(missing) + len(top_a) + 1) if missing else 0
    ranks = [[top.index(i) + 1 if i in top else last for i in union] for top in (top_a, top_b)]
    return float(spearmanr(*ranks).statistic)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 12))
def test_equals_scipy_over_the_pairs_of_languages(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    # Groups in any order, some incomplete, some with two queries in one language, which are no translations.
    pairs = zip(generator.choice(["de", "en", "fr"], 12), generator.integers(4, size=12), strict=True)
    queries = [(str(language), str(group), [0]) for language, group in pairs]
    benchmark = benchmark_of(queries, "de " * 14)
    orders = random_orders(generator, benchmark)
    found = mrc_at(ranking_of(benchmark, orders), benchmark, k=k)
    tops = orders[:, :k].tolist()
    for q, (language, group, _) in enumerate(queries):
        others = [
            by_scipy(tops[q], tops[other])
            for other, (of_other, of_group, _) in enumerate(queries)
            if of_group == group and of_other != language
        ]
        assert found[q] == pytest.approx(np.mean(others) if others else np.nan, abs=1e-12, nan_ok=True)
