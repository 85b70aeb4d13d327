"""The splits of a joined corpus, and the arrays of one split."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.join import Joined
from hybrid_retrieval.data.parallel import SPLITS
from hybrid_retrieval.sampling.triples import Availability, BoolArray, IntArray


def assign_splits(joined: Joined, validation_fraction: float) -> npt.NDArray[np.int8]:
    """Position in `SPLITS` of each query's split: the one its rows state, else one drawn by passage id.

    Args:
        joined: the rows.
        validation_fraction: expected share of passages drawn into validation; the rest is train.
    """
    stated: dict[str, int] = {split: number for number, split in enumerate(SPLITS)}
    validation = stated["validation"]
    numbers = np.empty(len(joined.row_ids), dtype=np.int8)
    for query, split in enumerate(joined.split):
        if split is not None:
            numbers[query] = stated[split]
        else:
            passage_id = joined.passage_ids[joined.positive[query]]
            numbers[query] = validation if _uniform(passage_id) < validation_fraction else stated["train"]
    return numbers


def _uniform(passage_id: str) -> float:
    """A number in [0, 1) that depends on the id alone."""
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:8]) / 2**64


def write_split(joined: Joined, chosen: BoolArray, folder: Path) -> dict[str, int]:
    """Write the arrays of one split, its triples sorted by the languages they have.

    Args:
        joined: the rows.
        chosen: bool (queries,), the queries of the split.
        folder: a new folder to write to.

    Returns:
        Numbers of `triples` and of `distinct_positives`.
    """
    queries, availability = sort_by_availability(joined, np.flatnonzero(chosen))
    positives = joined.positive[queries]
    negatives = [joined.negatives[query] for query in queries]
    offsets = np.zeros(len(queries) + 1, dtype=np.int64)
    np.cumsum([len(of) for of in negatives], out=offsets[1:])
    arrays = {
        "query": queries,
        "positive": positives,
        "negative_offsets": offsets,
        "negatives": np.fromiter((n for of in negatives for n in of), dtype=np.int64, count=offsets[-1]),
        "run_starts": availability.starts,
        "run_query": availability.query,
        "run_passage": availability.passage,
    }
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    return {"triples": len(queries), "distinct_positives": len(np.unique(positives))}


def sort_by_availability(joined: Joined, queries: IntArray) -> tuple[IntArray, Availability]:
    """Sort queries stably by the languages that query and positive have, the complete ones first.

    Args:
        joined: the rows.
        queries: int64 (n,).

    Returns:
        The sorted queries, and the runs of equal languages among them.
    """
    has = np.concatenate([joined.has_query[:, queries], joined.has_passage[:, joined.positive[queries]]])
    bits = np.packbits(has.T, axis=1)  # (n, ceil(2 * languages / 8))
    order = np.lexsort([~column for column in bits.T[::-1]])
    queries, bits = queries[order], bits[order]
    new_run = np.flatnonzero((bits[1:] != bits[:-1]).any(1)) + 1
    firsts = np.concatenate([[0], new_run]).astype(np.int64)[: len(queries)]
    heads = queries[firsts]
    return queries, Availability(
        starts=np.append(firsts, len(queries)),
        query=np.ascontiguousarray(joined.has_query[:, heads].T),
        passage=np.ascontiguousarray(joined.has_passage[:, joined.positive[heads]].T),
    )
