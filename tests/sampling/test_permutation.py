import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from hybrid_retrieval.sampling.permutation import Permutation


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**63))
def test_is_a_bijection(n: int, seed: int) -> None:
    assert np.array_equal(np.sort(Permutation(n, seed)(np.arange(n))), np.arange(n))


def test_seeds_and_names_give_different_permutations() -> None:
    at = np.arange(1000)
    orders = [Permutation(1000, 1, "a", 0), Permutation(1000, 2, "a", 0), Permutation(1000, 1, "a", 1)]
    assert len({tuple(order(at)) for order in orders}) == 3


def test_every_element_is_equally_likely_at_every_place() -> None:
    n = 10
    counts = np.zeros((n, n), dtype=int)
    for seed in range(4000):
        counts[np.arange(n), Permutation(n, seed)(np.arange(n))] += 1
    assert min(chisquare(row).pvalue for row in counts) > 1e-4


def test_neighbours_are_not_kept_together() -> None:
    order = Permutation(100_000, 3)(np.arange(100_000))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02


def test_positions_outside_are_refused() -> None:
    with pytest.raises(IndexError):
        Permutation(5, 0)([5])
