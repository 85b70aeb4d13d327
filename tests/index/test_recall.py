import json

import numpy as np
import pytest

from hybrid_retrieval.index import chunks
from hybrid_retrieval.index.chunks import ArrayVectors
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.faiss_index import FaissIndex, IndexSpec
from hybrid_retrieval.index.recall import index_report, inner_products, measure_recall, recall_at
from tests.index.clustered import clustered, unit

CORPUS, QUERIES = clustered(1_500), clustered(60, seed=1)


def test_recall_by_hand() -> None:
    exact = np.array([[0.9, 0.8, 0.8, 0.5], [1.0, 0.9, 0.8, 0.7]], dtype=np.float32)
    found = np.array([[0.8, 0.9, 0.3, 0.8], [1.0, 0.7, -np.inf, -np.inf]], dtype=np.float32)
    np.testing.assert_allclose(recall_at(found, exact, 1), [0, 1])
    np.testing.assert_allclose(recall_at(found, exact, 2), [1, 1 / 2])  # a tie with the second is a hit
    np.testing.assert_allclose(recall_at(found, exact, 4), [3 / 4, 2 / 4])
    np.testing.assert_allclose(recall_at(found, exact, 100), [3 / 4, 2 / 4])
    np.testing.assert_allclose(recall_at(exact - 2e-6, exact, 4), [3 / 4, 3 / 4])
    np.testing.assert_allclose(recall_at(exact - 5e-7, exact, 4), [1, 1])


def test_inner_products_of_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = np.random.default_rng(0).integers(-1, len(CORPUS), size=(len(QUERIES), 30))
    expected = np.where(
        positions >= 0, np.take_along_axis(QUERIES @ CORPUS.T, np.maximum(positions, 0), axis=1), -np.inf
    )
    np.testing.assert_allclose(inner_products(ArrayVectors(CORPUS), QUERIES, positions), expected, atol=1e-6)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr("hybrid_retrieval.index.recall._PAIRS_AT_ONCE", 7)
    np.testing.assert_allclose(inner_products(ArrayVectors(CORPUS), QUERIES, positions), expected, atol=1e-6)


class Fixed:
    """Answers that are given."""

    def __init__(self, positions: np.ndarray) -> None:
        self.positions = positions

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        positions = self.positions[: len(queries), :k]
        return np.full(positions.shape, np.nan, dtype=np.float32), positions


def test_recall_does_not_trust_the_scores_of_the_index() -> None:
    """Neither does it count as a miss which of many equal embeddings was found."""
    corpus = np.repeat(unit(5), 40, axis=0)
    best = np.argmax(QUERIES @ corpus.T, axis=1) // 40
    any_copy = best[:, None] * 40 + np.random.default_rng(0).permuted(
        np.tile(np.arange(40), (len(QUERIES), 1)), axis=1
    )
    vectors = ArrayVectors(corpus)
    assert measure_recall(Fixed(any_copy), vectors, QUERIES, cutoffs=(1, 10))["recall@10"] == 1.0
    others = (any_copy + 40) % 200
    assert measure_recall(Fixed(others), vectors, QUERIES, cutoffs=(1, 10))["recall@10"] == 0.0


def test_report() -> None:
    pytest.importorskip("faiss", reason="needs FAISS: pip install 'hybrid-retrieval[cpu]'")
    vectors = ArrayVectors(CORPUS)
    index = FaissIndex.build(vectors, IndexSpec("IVF8,Flat"))
    report = index_report("ivf", index, vectors, QUERIES, limit=25)
    assert report.keys() == {
        "type", "factory", "bytes", "recall@10", "recall@100", "recall_queries", "seconds"
    }  # fmt: skip
    assert (report["type"], report["factory"], report["recall_queries"]) == ("ivf", "IVF8,Flat", 25)
    assert report["seconds"].keys() == {"train", "add", "search", "exact_search"}
    assert CORPUS.nbytes < report["bytes"] < 1.3 * CORPUS.nbytes
    assert 0 < report["recall@100"] < 1
    json.dumps(report)
    assert "recall@10" not in index_report("ivf", index, vectors, QUERIES, limit=0)
    assert index_report("exact", ExactSearch(vectors), vectors, QUERIES) == {"type": "exact"}
