"""Which passages of a batch answer which query, against a set of pairs."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.losses.pair_ids import Answers
from tests.properties.profiles import EXAMPLES, on

IDS = st.integers(0, 6) | st.integers(2**40, 2**40 + 2) | st.integers(0, 2**62)


@EXAMPLES
def test_answers_are_the_pairs_of_the_global_batch(examples: int) -> None:
    @on(examples)
    @given(
        pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=20),
        rows=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        more=st.lists(IDS | st.just(-1), max_size=20),
    )
    def holds(pairs: list[tuple[int, int]], rows: tuple[float, float], more: list[int]) -> None:
        queries, positives = (torch.tensor(column) for column in zip(*pairs, strict=True))
        first = min(int(min(rows) * len(pairs)), len(pairs) - 1)
        own = queries[first : max(first + 1, int(max(rows) * len(pairs)))]  # those of a rank
        passages = torch.cat([positives, torch.tensor(more, dtype=torch.int64)])
        found = Answers(own, queries, positives).among(passages)
        known = set(pairs)
        assert found.tolist() == [[(q, p) in known for p in passages.tolist()] for q in own.tolist()]

    holds()
