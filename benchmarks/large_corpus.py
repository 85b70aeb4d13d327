"""Exact search in five million embeddings on disk: time, and the peak memory of the process.

    python -m benchmarks.large_corpus [--passages 5000000] [--queries 1000] [--folder <keep the shards here>]

The shards (3.84 GB for 5,000,000 x 384 in float16) are written by `encode_shards`, as an evaluation writes
them, with random unit vectors in the place of a model's, then searched by `ExactSearch`. Then the first ten
queries are searched again by NumPy, all scores sorted, and must give the same positions. Peak memory is VmHWM
of /proc/self/status: all of the process, with PyTorch itself, from its start to the end of the search.

What the numbers mean for 33 million passages is worked out in LARGE_CORPORA.md.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.shard_plan import SHARD_ROWS, ShardPlan, passage_bytes
from hybrid_retrieval.index.shards import ShardedVectors, encode_shards

CHECKED = 10


def peak_megabytes() -> float:
    """Greatest resident memory of this process so far, in 10^6 bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no VmHWM")


def unit_vectors(seed: int, rows: int, dimension: int) -> np.ndarray:
    """float32 (rows, dimension)."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def passages(count: int) -> Iterator[tuple[str, str]]:
    """Ids with empty texts."""
    return ((str(number), "") for number in range(count))


def plan_of(count: int) -> ShardPlan:
    """The plan of the synthetic corpus."""
    texts = []
    for start in range(0, count, SHARD_ROWS):
        digest = hashlib.sha256()
        for number in range(start, min(start + SHARD_ROWS, count)):
            digest.update(passage_bytes(str(number), ""))
        texts.append(digest.hexdigest())
    return ShardPlan("synthetic", count, tuple(texts))


def reference(vectors: ShardedVectors, queries: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k best by sorting all scores; equal scores in order of position."""
    scores = np.concatenate([queries @ chunk.T for chunk in vectors.chunks(SHARD_ROWS)], axis=1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def measure(folder: Path, count: int, dimension: int, number: int, k: int) -> None:
    """Write, search, print."""
    started = time.perf_counter()
    encode_shards(
        folder,
        plan_of(count),
        passages(count),
        lambda ids, _: unit_vectors(int(ids[0]), len(ids), dimension),
    )
    vectors = ShardedVectors(folder)
    size = sum(path.stat().st_size for path in folder.glob("*/embeddings.npy"))
    print(
        f"{count:,} x {dimension} in float16, {size / 1e9:.2f} GB in {len(vectors.plan.texts)} shards, "
        f"ready after {time.perf_counter() - started:.0f} s; peak so far {peak_megabytes():,.0f} MB"
    )
    queries = unit_vectors(2**32, number, dimension)
    started, cpu = time.perf_counter(), time.process_time()
    _, positions = ExactSearch(vectors).search(queries, k)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = peak_megabytes()
    operations = 2 * number * count * dimension
    where = "a GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    print(
        f"exact top {k} of {number:,} queries: {seconds:.1f} s on {where}, {cpu:.1f} s of CPU time "
        f"({operations / cpu / 1e9:.0f} GFLOP/s a core); peak memory {peak:,.0f} MB"
    )
    expected = reference(vectors, queries[:CHECKED], k)
    agree = float((positions[:CHECKED] == expected).mean())
    print(f"same positions as sorting all scores of {CHECKED} queries: {agree:.2%}")
    assert agree > 0.99, agree
    assert peak < 4000, peak


def main() -> None:
    """Measure in a folder that is removed afterwards, or in the one given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passages", type=int, default=5_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    needed = options.passages * options.dimension * 2
    parent = options.folder or Path(tempfile.gettempdir())
    os.makedirs(parent, exist_ok=True)
    free = shutil.disk_usage(parent).free
    if free < 1.2 * needed:
        raise SystemExit(f"{parent} has {free / 1e9:.1f} GB free, {1.2 * needed / 1e9:.1f} GB are needed")
    shape = options.passages, options.dimension, options.queries, options.k
    if options.folder:
        measure(options.folder, *shape)
        return
    with tempfile.TemporaryDirectory(prefix="large-corpus-") as folder:
        measure(Path(folder), *shape)


if __name__ == "__main__":
    main()
