"""The permutation of an epoch: every element once, whatever is asked for, in whatever order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.sampling.permutation import Permutation
from tests.properties.profiles import EXAMPLES, on

SEEDS = st.integers(0, 2**64 - 1)
NAMES = st.lists(st.integers(0, 9) | st.text(max_size=4), max_size=3)


@EXAMPLES
def test_has_every_element_once_however_it_is_read(examples: int) -> None:
    @on(examples)
    @given(n=st.integers(1, 5000), seed=SEEDS, names=NAMES, cut=st.floats(0, 1), data=st.data())
    def holds(n: int, seed: int, names: list[int | str], cut: float, data: st.DataObject) -> None:
        whole = Permutation(n, seed, *names)(np.arange(n))
        assert sorted(whole.tolist()) == list(range(n))
        at = int(cut * n)
        again = Permutation(n, seed, *names)
        parts = [again(np.arange(at, n)), again(np.arange(at))]
        assert np.array_equal(np.concatenate([parts[1], parts[0]]), whole)
        place = data.draw(st.integers(0, n - 1))
        assert again(place) == whole[place]

    holds()


@EXAMPLES
def test_is_one_to_one_on_sets_too_large_to_list(examples: int) -> None:
    @on(examples)
    @given(n=st.integers(2**31, 2**62), seed=SEEDS, data=st.data())
    def holds(n: int, seed: int, data: st.DataObject) -> None:
        places = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=60))
        elements = Permutation(n, seed)(places)
        assert len(set(elements.tolist())) == len(places)
        assert ((elements >= 0) & (elements < n)).all()

    holds()
