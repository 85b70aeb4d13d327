from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index import exact
from hybrid_retrieval.index.exact import ExactSearch


class Chunked:
    """Embeddings in memory that come in chunks of a size of their own."""

    def __init__(self, embeddings: np.ndarray, chunk: int | None = None) -> None:
        self.embeddings, self.chunk = embeddings, chunk

    @property
    def dimension(self) -> int:
        return int(self.embeddings.shape[1])

    def __len__(self) -> int:
        return len(self.embeddings)

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        size = min(rows, self.chunk or rows)
        for start in range(0, len(self), size):
            yield self.embeddings[start : start + size]


def full_sort(queries: np.ndarray, corpus: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All scores, then a stable sort: equal scores stay in order of position."""
    scores = queries.astype(np.float64) @ corpus.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "ROW_TILE", 5)
    monkeypatch.setattr(exact, "QUERY_TILE", 3)


@pytest.mark.usefixtures("small_tiles")
def test_equals_a_full_sort_under_many_ties() -> None:
    @settings(max_examples=150, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        rows=st.integers(1, 90),
        queries=st.integers(1, 8),
        k=st.integers(1, 100),
        levels=st.integers(0, 2),
        blocks=st.integers(1, 8),
        chunk=st.integers(1, 40),
    )
    def check(  # noqa: PLR0917
        seed: int, rows: int, queries: int, k: int, levels: int, blocks: int, chunk: int
    ) -> None:
        generator = np.random.default_rng(seed)
        corpus, wanted = (
            generator.integers(-levels, levels + 1, size=(count, 3)).astype(np.float32)
            for count in (rows, queries)
        )
        search = ExactSearch(Chunked(corpus, chunk), block_bytes=blocks * 4 * 3 * 5)
        assert search.rows == blocks * 5
        scores, positions = search.search(wanted, k)
        expected_scores, expected_positions = full_sort(wanted, corpus, k)

        assert scores.dtype == np.float32
        assert positions.dtype == np.int64
        np.testing.assert_array_equal(scores, expected_scores)
        np.testing.assert_array_equal(positions, expected_positions)

    check()


def test_no_bit_depends_on_chunks_or_on_the_size_of_a_block() -> None:
    generator = np.random.default_rng(0)
    corpus = generator.standard_normal((30_011, 64), dtype=np.float32)
    corpus[20_000:20_050] = corpus[:50]
    queries = generator.standard_normal((150, 64), dtype=np.float32)

    first = ExactSearch(Chunked(corpus)).search(queries, 100)
    for block_bytes, chunk in ((1, 777), (9 << 20, None), (64 << 20, 8000), (1 << 20, 8192)):
        scores, positions = ExactSearch(Chunked(corpus, chunk), block_bytes=block_bytes).search(queries, 100)
        np.testing.assert_array_equal(scores, first[0])
        np.testing.assert_array_equal(positions, first[1])

    expected_scores, expected_positions = full_sort(queries, corpus, 100)
    np.testing.assert_allclose(first[0], expected_scores, rtol=0, atol=1e-4)
    assert (first[1] == expected_positions).mean() > 0.999  # but for scores that float32 cannot tell apart


def test_a_constant_corpus_gives_the_first_positions() -> None:
    corpus = np.ones((20_000, 4), dtype=np.float32)
    scores, positions = ExactSearch(Chunked(corpus), block_bytes=1).search(corpus[:2], 100)
    assert (scores == 4).all()
    np.testing.assert_array_equal(positions, np.tile(np.arange(100), (2, 1)))


def test_negative_zero_is_a_tie_with_zero() -> None:
    corpus = np.array([[-1.0, 0.0], [0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    queries = np.array([[0.0, -0.0], [0.0, 0.0]], dtype=np.float32)
    scores, positions = ExactSearch(Chunked(corpus)).search(queries, 4)
    assert positions.tolist() == [[0, 1, 2, 3]] * 2
    assert not np.signbit(scores).any()


def test_a_corpus_smaller_than_k_is_given_whole() -> None:
    corpus = np.eye(3, dtype=np.float32)
    scores, positions = ExactSearch(Chunked(corpus)).search(np.array([[1, 3, 2]], dtype=np.float32), 10)
    assert positions.tolist() == [[1, 2, 0]]
    assert scores.tolist() == [[3, 2, 1]]


@pytest.mark.parametrize(("queries", "rows"), [(0, 3), (2, 0)])
def test_nothing_to_search_or_to_find(queries: int, rows: int) -> None:
    corpus = np.empty((rows, 2), dtype=np.float32)
    scores, positions = ExactSearch(Chunked(corpus)).search(np.zeros((queries, 2), dtype=np.float32), 5)
    assert scores.shape == positions.shape == (queries, rows)


def test_another_dimension_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(1, 3\).* 2 dimensions\. Embed both with one model"):
        ExactSearch(Chunked(np.ones((4, 2), dtype=np.float32))).search(np.ones((1, 3), dtype=np.float32), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_embeddings_are_named(bad: float) -> None:
    corpus = np.ones((20_000, 2), dtype=np.float32)
    corpus[12_345, 1] = bad
    with pytest.raises(UserError, match="first at position 12345"):
        ExactSearch(Chunked(corpus)).search(np.ones((1, 2), dtype=np.float32), 1)
    with pytest.raises(UserError, match="query embeddings"):
        ExactSearch(Chunked(corpus[:5])).search(np.full((1, 2), bad, dtype=np.float32), 1)
