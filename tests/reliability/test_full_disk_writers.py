"""Each writer on a disk that is full: one message, nothing half-written, and what was there is as it was."""

import errno
import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.data.cleaning.near_duplicates import near_duplicates
from hybrid_retrieval.data.mapped_texts import write_texts
from hybrid_retrieval.errors import StorageError, UserError
from hybrid_retrieval.index import shards as index_shards
from hybrid_retrieval.index.shards import ShardedVectors, encode_shards
from hybrid_retrieval.storage_errors import reserve, storage_error_number, writing
from hybrid_retrieval.training import checkpoint_file
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, damage_of
from hybrid_retrieval.training.csv_logger import TrainMetricsCSV
from tests.index.test_shards import PASSAGES, embed, plan_of
from tests.reliability.small_disks import SmallDisk

NO_SPACE = os.strerror(errno.ENOSPC)
BIG = torch.arange(1 << 20, dtype=torch.float32)


def _table() -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.table({"a": np.random.default_rng(0).standard_normal(1 << 20)})


def _write_faiss(path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatIP(64)
    index.add(np.zeros((10_000, 64), dtype=np.float32))
    faiss.write_index(index, str(path))


def _write_sqlite(path: Path) -> None:
    import sqlite3  # noqa: PLC0415

    connection = sqlite3.connect(path)
    connection.execute("create table t(a)")
    connection.executemany("insert into t values(?)", [("x" * 1000,)] * 5000)


def _write_mapped(path: Path) -> None:
    """Without `reserve` the process would be killed by SIGBUS."""
    with path.open("w+b") as file:
        reserve(file, 1 << 22)
        np.memmap(file, dtype=np.uint8, mode="w+", shape=(1 << 22,))[:] = 1


WRITERS: dict[str, Callable[[Path], Any]] = {
    "torch.save": lambda path: torch.save({"a": BIG}, path),
    "safetensors": lambda path: save_file({"a": BIG}, path),
    "np.save": lambda path: np.save(path, BIG.numpy()),
    "np.savez": lambda path: np.savez(path, a=BIG.numpy()),
    "np.tofile": lambda path: BIG.numpy().tofile(path),
    "parquet": lambda path: pq.write_table(_table(), path),
    "arrow": lambda path: write_texts(path, ["a" * 99] * 99_999),
    "text": lambda path: path.write_text("a" * (1 << 22)),
    "faiss": _write_faiss,
    "sqlite": _write_sqlite,
    "mapped": _write_mapped,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_is_understood(tiny_disk: SmallDisk, writer: str) -> None:
    path = tiny_disk.folder / "file.npy"
    with pytest.raises(StorageError) as refused, writing(path):
        WRITERS[writer](path)

    assert str(refused.value).startswith(
        f"{path} could not be written: {NO_SPACE}. Make room in {path.parent}"
    )


@pytest.mark.parametrize("writer", ["torch.save", "safetensors", "np.save", "parquet", "arrow", "text"])
def test_limit_of_file_size(tmp_path: Path, writer: str) -> None:
    """A limit of the shell's (`ulimit -f`), which needs no file system of its own."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    path = tmp_path / "file.npy"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(StorageError, match="could not be written"), writing(path):
            WRITERS[writer](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("size mismatch for encoder.weight"),
        ValueError("No space left on device"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x"),
        OSError("cannot identify image file"),
        UserError("a mistake"),
        KeyError("inline_container"),
    ],
)
def test_other_errors_are_left_alone(tmp_path: Path, error: Exception) -> None:
    assert storage_error_number(error) is None
    with pytest.raises(type(error)) as raised, writing(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("leave", [0, 4096, 100_000])
def test_checkpoint(tiny_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, leave: int) -> None:
    """However much of it fits: the one before is whole, and no part of the new one is left."""
    last, previous = tiny_disk.folder / LAST_CHECKPOINT, tiny_disk.folder / PREVIOUS_CHECKPOINT
    weights = torch.arange(40_000.0)
    for step in (1, 2):
        checkpoint_file.write_checkpoint({"step": step, "weights": weights}, last, before=previous)

    tiny_disk.fill(leave=leave)
    with pytest.raises(
        StorageError, match=rf"{LAST_CHECKPOINT} could not be written: {NO_SPACE}.*resume=auto"
    ):
        checkpoint_file.write_checkpoint({"step": 3, "weights": weights}, last, before=previous)

    assert tiny_disk.files() == {LAST_CHECKPOINT, PREVIOUS_CHECKPOINT}
    assert damage_of(last) is damage_of(previous) is None
    assert torch.load(last, weights_only=True)["step"] == 2
    tiny_disk.make_room()
    checkpoint_file.write_checkpoint({"step": 3, "weights": weights}, last, before=previous)
    assert [torch.load(file, weights_only=True)["step"] for file in (previous, last)] == [2, 3]


def test_log_of_the_run_waits_for_room(tiny_disk: SmallDisk, caplog: pytest.LogCaptureFixture) -> None:
    """Training does not stop for its log; what could not be written comes with the next row."""
    csv = TrainMetricsCSV(tiny_disk.folder / "train_metrics.csv")
    csv.log_metrics({"loss": 3.0}, step=1)
    before = csv.file.read_text()
    tiny_disk.fill()
    for step in (2, 3):
        csv.log_metrics({"loss": float(step)}, step=step)
    csv.finalize("failed")
    assert csv.file.read_text() == before
    assert [NO_SPACE in message for message in caplog.messages] == [True]
    with pytest.raises(StorageError, match=r"train_metrics\.csv"):
        csv.finalize("success")

    tiny_disk.make_room()
    csv.log_metrics({"loss": 4.0}, step=4)
    assert [row.split(",")[0] for row in csv.file.read_text().splitlines()] == ["step", "1", "2", "3", "4"]
    assert tiny_disk.files() == {"train_metrics.csv"}


@pytest.mark.parametrize("at", [1, 3])
def test_embedding_shards(tiny_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Those that are finished stay, and are not encoded again."""
    folder = tiny_disk.folder / "corpus"
    with monkeypatch.context() as patched:
        tiny_disk.full_before(patched, index_shards, "_write_shard", when=at)
        with pytest.raises(StorageError, match=f"shard-{at - 1:05d} could not be written: {NO_SPACE}"):
            encode_shards(folder, plan_of(), PASSAGES, embed)

    kept = sorted(path.name for path in folder.glob("shard-*"))
    assert kept == [f"shard-{number:05d}" for number in range(at - 1)]
    assert not list(folder.glob(".shard*"))
    tiny_disk.make_room()
    encoded: list[str] = []

    def counted(ids: list[str], texts: list[str]) -> np.ndarray:
        encoded.extend(ids)
        return embed(ids, texts)

    encode_shards(folder, plan_of(), PASSAGES, counted)
    assert encoded == [name for name, _ in PASSAGES[5 * (at - 1) :]]
    vectors = np.concatenate(list(ShardedVectors(folder).chunks(100)))
    np.testing.assert_array_equal(vectors, embed([], [t for _, t in PASSAGES]).astype("f2").astype("f4"))


def test_mapped_file_that_does_not_fit(tiny_disk: SmallDisk) -> None:
    """Where pages would be taken only as they are written, the process would be killed."""
    texts = [f"text number {number}" for number in range(20_000)]
    with pytest.raises(OSError, match=NO_SPACE):
        near_duplicates(lambda rows: [texts[i] for i in rows], len(texts), 0.8, tiny_disk.folder, "en")
    assert not tiny_disk.files()


def test_faiss_index(tiny_disk: SmallDisk) -> None:
    pytest.importorskip("faiss")
    import faiss  # noqa: PLC0415

    from hybrid_retrieval.index.faiss_folder import Contents, read_contents, write_folder  # noqa: PLC0415

    small, large = faiss.IndexFlatIP(8), faiss.IndexFlatIP(8)
    small.add(np.ones((10, 8), dtype=np.float32))
    large.add(np.ones((100_000, 8), dtype=np.float32))
    contents = Contents(8, 10, "f", {}, {})
    write_folder(tiny_disk.folder, "index", small, contents)
    before = tiny_disk.files()

    with pytest.raises(StorageError, match=f"index could not be written: {NO_SPACE}"):
        write_folder(tiny_disk.folder, "index", large, contents)

    assert tiny_disk.files() == before
    assert read_contents(tiny_disk.folder, "index") == contents


def test_folder_is_the_old_one(tiny_disk: SmallDisk) -> None:
    folder = tiny_disk.folder / "folder"
    folder.mkdir()
    (folder / "a").write_text("old")

    def write_new() -> None:
        with atomic_folder(folder) as new:
            (new / "a").write_text("new")
            (new / "b").write_bytes(bytes(1 << 21))

    with pytest.raises(StorageError, match=f"{folder} could not be written"):
        write_new()
    assert tiny_disk.files() == {"folder/a"}
    assert (folder / "a").read_text() == "old"


def test_log_file_says_so_once(tiny_disk: SmallDisk, capsys: pytest.CaptureFixture[str]) -> None:
    from hybrid_retrieval.storage_errors import tell_once_of_log_files  # noqa: PLC0415

    root, handler = logging.getLogger(), logging.FileHandler(tiny_disk.folder / "train.log")
    root.addHandler(handler)
    try:
        tell_once_of_log_files()
        tiny_disk.fill()
        for number in range(3):
            logging.getLogger("test").warning("%s", str(number) * 100_000)
    finally:
        root.removeHandler(handler)
        tiny_disk.make_room()
        handler.close()
    assert capsys.readouterr().err == f"{tiny_disk.folder / 'train.log'} could not be written: {NO_SPACE}\n"
