"""Encode the collections of a corpus benchmark into shards, alone or as one of several processes."""

import logging
from pathlib import Path

import numpy as np

from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark
from hybrid_retrieval.evaluation.corpus.scan import CorpusScan, scan
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.index.shard_plan import SHARD_ROWS, ShardPlan
from hybrid_retrieval.index.shards import Embed, encode_shards, finished_shards

log = logging.getLogger(__name__)


def encode_corpus(
    embedder: Embedder,
    benchmark: CorpusBenchmark,
    folder: Path,
    *,
    fingerprint: str,
    shard_rows: int = SHARD_ROWS,
    dtype: str = "float16",
    rank: int = 0,
    world: int = 1,
    progress: bool = True,
) -> dict[str, tuple[CorpusScan, ShardPlan]]:
    """Encode the shards that are not finished and fall to this process; those of others may still be missing.

    All collections are read once, checked, and compared with what the folder holds before the first passage
    is encoded.

    Args:
        embedder: the model.
        benchmark: whose passages are encoded.
        folder: where the shards are; that of a collection is in it, under its name. Several machines may
            share it.
        fingerprint: names all that decides an embedding (weights, tokenizer, prefixes, lengths, precision);
            shards of another one are refused.
        shard_rows: passages of a shard.
        dtype: how embeddings are stored, "float16" or "float32".
        rank: of this process, in [0, world).
        world: number of processes.
        progress: whether to show progress bars.

    Returns:
        What was read of each collection, and the plan of its shards, by the collection's name.

    Raises:
        UserError: the passages do not fit the queries (`scan`), or the shards the passages (`encode_shards`).
    """
    known: dict[str, tuple[CorpusScan, ShardPlan]] = {}
    for collection in benchmark.collections:
        log.info("%s: reading the passages of %s", benchmark.name, collection.name)
        scanned = scan(collection, shard_rows)
        plan = ShardPlan(fingerprint, scanned.passages, scanned.texts, rows=shard_rows, dtype=dtype)
        done = finished_shards(folder / collection.name, plan)
        log.info(
            "%s: %d passages of %s, %d of %d shards are finished",
            benchmark.name, scanned.passages, collection.name, sum(done), len(done),
        )  # fmt: skip
        known[collection.name] = scanned, plan
    for collection in benchmark.collections:
        passages = ((passage.id, passage.text) for passage in collection.passages())
        plan = known[collection.name][1]
        embed = _embed(embedder, f"{benchmark.name} {collection.name}" if progress else None)
        encode_shards(folder / collection.name, plan, passages, embed, rank=rank, world=world)
    return known


def _embed(embedder: Embedder, of: str | None) -> Embed:
    def embed(ids: list[str], texts: list[str]) -> np.ndarray:
        title = f"{of}: {len(texts):,} passages" if of else None
        return embedder.embed(ids, texts, "passage", title=title)

    return embed
