"""How much of exact search an approximate index finds."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid_retrieval.index.base import Searcher, Vectors
from hybrid_retrieval.index.chunks import checked_chunks
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.faiss_index import FaissIndex

CUTOFFS = (10, 100)
TOLERANCE = 1e-6
_PAIRS_AT_ONCE = 8_192


def recall_at(found: np.ndarray, exact: np.ndarray, k: int) -> np.ndarray:
    """Share of the exact first k of each query that an approximate search found; float64 (queries,).

    Compared by score, so that ties are no misses: of the first k found, those count whose exact inner product
    is at least the k-th exact one, less 1e-6 (of its size, if that is above 1).

    Args:
        found: float32 (queries, at least k), exact inner products of what the approximate search returned, in
            its order; -inf where it returned nothing.
        exact: float32 (queries, at least k), the greatest inner products, descending.
        k: from 1; the whole corpus if it is smaller.
    """
    k = min(k, exact.shape[1])
    least = exact[:, k - 1 : k].astype(np.float64)
    hits = found[:, :k] >= least - TOLERANCE * np.maximum(1, np.abs(least))
    share: np.ndarray = hits.sum(axis=1) / k
    return share


def inner_products(vectors: Vectors, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Exact inner products of queries with some embeddings of a corpus, which is read once.

    Args:
        vectors: the corpus.
        queries: float32 (queries, dimension).
        positions: int64 (queries, k), each query's embeddings; -1 is none.

    Returns:
        float32 (queries, k); -inf for none.
    """
    scores = np.full(positions.size, -np.inf, dtype=np.float32)
    order = np.argsort(positions, axis=None, kind="stable")
    in_order = positions.ravel()[order]
    start = 0
    for chunk in checked_chunks(vectors):
        first, last = np.searchsorted(in_order, [start, start + len(chunk)])
        for block in range(first, last, _PAIRS_AT_ONCE):
            pairs = slice(block, min(block + _PAIRS_AT_ONCE, last))
            rows = queries[order[pairs] // positions.shape[1]]
            scores[order[pairs]] = np.einsum("ij,ij->i", rows, chunk[in_order[pairs] - start])
        start += len(chunk)
    return scores.reshape(positions.shape)


def measure_recall(
    searcher: Searcher,
    vectors: Vectors,
    queries: np.ndarray,
    *,
    exact: Searcher | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
    limit: int = 1_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean recall of an index against exact search, on a sample of the queries.

    The index is asked for as many as the greatest cutoff, which all cutoffs are then taken from.

    Args:
        searcher: the index.
        vectors: the corpus; read twice.
        queries: float32 (queries, dimension).
        exact: exact search over the same corpus; None makes one.
        cutoffs: k of each recall@k.
        limit: how many queries, drawn without replacement; all if there are fewer.
        seed: of the draw.

    Returns:
        `recall@<k>` for each cutoff, `recall_queries`: how many queries they are means over, and `seconds`:
        wall time of `search` (the index) and `exact_search` for these queries.

    Raises:
        ValueError: there are no queries.
    """
    if not len(queries):
        raise ValueError("recall needs queries")
    drawn = np.random.default_rng(seed).choice(len(queries), min(limit, len(queries)), replace=False)
    sample = np.ascontiguousarray(queries[np.sort(drawn)], dtype=np.float32)
    depth = max(cutoffs)
    started = time.perf_counter()
    _, positions = searcher.search(sample, depth)
    searched = time.perf_counter()
    best, _ = (exact or ExactSearch(vectors)).search(sample, depth)
    seconds = {"search": searched - started, "exact_search": time.perf_counter() - searched}
    found = inner_products(vectors, sample, positions)
    recalls = {f"recall@{k}": float(recall_at(found, best, k).mean()) for k in cutoffs}
    return {**recalls, "recall_queries": len(sample), "seconds": seconds}


def index_report(
    kind: str, searcher: Searcher, vectors: Vectors, queries: np.ndarray, *, limit: int = 1_000
) -> dict[str, Any]:
    """What metrics.json says of an index under `index`.

    Args:
        kind: the name that `index=` takes.
        searcher: the index.
        vectors: the corpus.
        queries: float32 (queries, dimension).
        limit: how many queries recall is measured on; 0 measures none, which saves an exact search.

    Returns:
        `type`; for a FAISS index also `factory`, `bytes`, `recall@10`, `recall@100`, `recall_queries`, and
        `seconds` of each step (train, add, load, search, exact_search).
    """
    if not isinstance(searcher, FaissIndex):
        return {"type": kind}
    report = {"type": kind, "factory": searcher.spec.factory, "bytes": searcher.bytes()}
    if not limit or not len(queries):
        return {**report, "seconds": searcher.seconds}
    measured = measure_recall(searcher, vectors, queries, limit=limit)
    return {**report, **measured, "seconds": {**searcher.seconds, **measured["seconds"]}}
