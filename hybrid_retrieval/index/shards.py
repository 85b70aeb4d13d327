"""Embeddings of a corpus in shards on disk: written one at a time by any number of processes, and resumed.

A folder holds `corpus.json` (the `ShardPlan`) and a folder `shard-00000`, `shard-00001`, ... for each shard:
`embeddings.npy` (float16 or float32, rows x dimension; NumPy can map it into memory), `ids.json` (a list) and
`shard.json` (fingerprint of model and texts, and the sizes of the files). A shard appears complete, under its
name, or not at all; so one that does not fit its sizes was damaged afterwards, which is an error.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.shard_plan import ShardPlan, passage_bytes

log = logging.getLogger(__name__)

SHARD_FILE, EMBEDDINGS_FILE, IDS_FILE = "shard.json", "embeddings.npy", "ids.json"
_RECORD = {"fingerprint", "dimension", "bytes"}
Embed = Callable[[list[str], list[str]], np.ndarray]


def finished_shards(folder: Path, plan: ShardPlan) -> list[bool]:
    """Which shards of the plan are in the folder, which is claimed for the plan.

    Raises:
        UserError: the folder holds embeddings by another model, of other texts or of another form, or a
            shard is damaged.
    """
    plan.claim(folder)
    return [_is_finished(folder, plan, shard) for shard in range(len(plan.texts))]


def encode_shards(
    folder: Path,
    plan: ShardPlan,
    passages: Iterable[tuple[str, str]],
    embed: Embed,
    *,
    rank: int = 0,
    world: int = 1,
) -> None:
    """Encode the shards that are not finished and whose number, divided by `world`, leaves `rank`.

    Several processes need nothing but the folder in common. A killed process loses the shard that it was at;
    started again, it goes on there, and the files become the same as without the interruption.

    Args:
        folder: of the shards.
        plan: what it is to hold.
        passages: (id, text), all of the corpus in order; read as far as the last shard to encode.
        embed: float32 (texts, dimension) of ids and texts.
        rank: in [0, world).
        world: number of processes.

    Raises:
        UserError: as in `finished_shards`; the passages are not those of the plan; an embedding is NaN,
            infinite or beyond float16.
    """
    if not 0 <= rank < world:
        raise UserError(f"rank {rank} of {world} processes does not exist: ranks go from 0 to {world - 1}.")
    done = finished_shards(folder, plan)
    mine = [shard for shard in range(rank, len(done), world) if not done[shard]]
    stream, read = iter(passages), 0
    for shard in mine:
        first = shard * plan.rows
        next(islice(stream, first - read, first - read), None)
        batch = list(islice(stream, plan.size(shard)))
        read = first + plan.size(shard)
        digest = hashlib.sha256()
        for passage_id, text in batch:
            digest.update(passage_bytes(passage_id, text))
        if digest.hexdigest() != plan.texts[shard]:
            raise UserError(
                f"{folder}: the corpus has changed since it was first read, among the passages {first + 1} "
                f"to {read}. Leave its files alone while they are encoded, and start again."
            )
        ids, texts = [passage_id for passage_id, _ in batch], [text for _, text in batch]
        _write_shard(folder, plan, shard, ids, embed(ids, texts))
        log.info("%s: shard %d of %d is finished", folder, shard + 1, len(done))


def wait_for_shards(
    folder: Path, plan: ShardPlan, *, poll_seconds: float = 10.0, patience_seconds: float = 6 * 3600.0
) -> None:
    """Return when every shard is finished, by whichever process.

    Raises:
        UserError: no shard was finished for `patience_seconds`: the other processes have stopped.
    """
    waiting, since = -1, time.monotonic()
    while missing := [shard for shard, done in enumerate(finished_shards(folder, plan)) if not done]:
        if len(missing) != waiting:
            waiting, since = len(missing), time.monotonic()
            log.info("%s: waiting for %d of %d shards", folder, waiting, len(plan.texts))
        if time.monotonic() - since >= patience_seconds:
            raise UserError(
                f"{folder}: {waiting} of {len(plan.texts)} shards are missing, first {_name(missing[0])}, "
                f"and none was finished for {patience_seconds / 3600:.1f} hours. Start the process that "
                "encodes it again: finished shards are kept."
            )
        time.sleep(poll_seconds)


class ShardedVectors:
    """The embeddings of a finished folder, read from disk as they are asked for.

    Args:
        folder: written by `encode_shards`.

    Raises:
        UserError: shards are missing, damaged or of different dimensions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = ShardPlan.read(folder)
        done = [_is_finished(folder, self.plan, shard) for shard in range(len(self.plan.texts))]
        if not all(done):
            raise UserError(
                f"{folder}: {done.count(False)} of {len(done)} shards are not encoded yet, first "
                f"{_name(done.index(False))}. Start the encoding again: it goes on from there."
            )
        dimensions = sorted({_record(folder / _name(shard))["dimension"] for shard in range(len(done))})
        if len(dimensions) > 1:
            raise UserError(
                f"{folder}: shards have embeddings of different dimensions, {dimensions}. Delete the folder "
                "and encode anew."
            )
        self._dimension = int(dimensions[0]) if dimensions else 0

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        return self._dimension

    def __len__(self) -> int:
        """Number of embeddings."""
        return self.plan.passages

    @property
    def fingerprint(self) -> str:
        """Sha256 of the model, the texts and the form of storage; equal only for equal embeddings."""
        return hashlib.sha256(json.dumps(asdict(self.plan)).encode()).hexdigest()

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """All embeddings in order, float32 (at most `rows`, dimension) at one time; none spans two shards.

        They are read, not mapped, so that the memory of the process stays small.
        """
        for shard in range(len(self.plan.texts)):
            path = self.folder / _name(shard) / EMBEDDINGS_FILE
            with path.open("rb") as file:
                shape, dtype = _header(path, file)
                if shape != (self.plan.size(shard), self.dimension) or dtype != self.plan.dtype:
                    raise _damaged(path, f"holds {dtype} {shape}")
                for start in range(0, shape[0], rows):
                    count = min(rows, shape[0] - start)
                    values = np.fromfile(file, dtype=dtype, count=count * self.dimension)
                    if len(values) != count * self.dimension:
                        raise _damaged(path, "is cut off")
                    yield torch.from_numpy(values).float().numpy().reshape(count, self.dimension)

    def ids(self, positions: np.ndarray) -> list[str]:
        """The passage ids at positions, an int array of one dimension, in its order."""
        found = [""] * len(positions)
        shard_of = positions // self.plan.rows
        for shard in np.unique(shard_of).tolist():
            of_shard = json.loads((self.folder / _name(shard) / IDS_FILE).read_text(encoding="utf-8"))
            for place in np.flatnonzero(shard_of == shard).tolist():
                found[place] = of_shard[int(positions[place]) % self.plan.rows]
        return found


def _write_shard(folder: Path, plan: ShardPlan, shard: int, ids: list[str], embeddings: np.ndarray) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise ValueError(f"embeddings of shape {embeddings.shape} for {len(ids)} passages")
    with np.errstate(over="ignore"):
        stored = embeddings.astype(plan.dtype)
    broken = np.flatnonzero(~np.isfinite(stored).all(axis=1))
    if len(broken):
        why = (
            "a number beyond float16: store the embeddings as float32"
            if np.isfinite(embeddings[broken[0]]).all()
            else "NaN or infinity: the model diverged or overflowed, use an earlier checkpoint or float32"
        )
        raise UserError(f"{folder}: the embedding of passage {ids[broken[0]]!r} holds {why}.")
    with atomic_folder(folder / _name(shard)) as new:
        np.save(new / EMBEDDINGS_FILE, stored, allow_pickle=False)
        (new / IDS_FILE).write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        sizes = {name: (new / name).stat().st_size for name in (EMBEDDINGS_FILE, IDS_FILE)}
        record = {"fingerprint": plan.fingerprint(shard), "dimension": stored.shape[1], "bytes": sizes}
        (new / SHARD_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
        for path in new.iterdir():  # the shard's name must not reach the disk before its content
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _name(shard: int) -> str:
    return f"shard-{shard:05d}"


def _is_finished(folder: Path, plan: ShardPlan, shard: int) -> bool:
    path = folder / _name(shard)
    if not path.exists():
        return False
    record = _record(path)
    if record["fingerprint"] != plan.fingerprint(shard):
        raise _damaged(path / SHARD_FILE, "is of another model or of other texts than the rest of the folder")
    for name, size in record["bytes"].items():
        actual = (path / name).stat().st_size if (path / name).is_file() else 0
        if actual != size:
            raise _damaged(path / name, f"has {actual} bytes instead of {size}")
    return True


def _record(shard: Path) -> dict[str, Any]:
    try:
        record = json.loads((shard / SHARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(shard / SHARD_FILE, f"cannot be read ({error})") from None
    if not isinstance(record, dict) or set(record) != _RECORD:
        raise _damaged(shard / SHARD_FILE, f"does not have the fields {', '.join(sorted(_RECORD))}")
    return record


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a .npy file, which is left at the first number."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("not version 1.0 of the format")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise _damaged(path, f"is no array of NumPy ({error})") from None
    if by_columns:
        raise _damaged(path, "is stored by columns")
    return shape, dtype.name


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} {what}. It was damaged or replaced after it was written: delete the folder {path.parent} "
        "and start the encoding again, which then encodes this shard only."
    )
