"""Folders that cannot be written: a data folder need not be, the others are named in one message."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import StorageError
from hybrid_retrieval.index.shards import encode_shards
from hybrid_retrieval.storage_errors import writing
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, write_checkpoint
from tests.conftest import Command
from tests.index.test_shards import PASSAGES, embed, plan_of
from tests.own_data import own_data_overrides
from tests.reliability.small_disks import SmallDisk

READ_ONLY = os.strerror(errno.EROFS)


def test_data_folder(command: Command, own_data: Path, disk: SmallDisk, tmp_path: Path) -> None:
    """Nothing is written beside the data."""
    data = disk.folder / "numbers"
    shutil.copytree(own_data, data)
    with disk.read_only():
        outcome = command("train", *own_data_overrides(data), f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.status == 0, outcome
    assert disk.files() == {f"numbers/{path.name}" for path in own_data.iterdir()}


def test_run_folder(command: Command, own_data: Path, disk: SmallDisk) -> None:
    run = disk.folder / "run"
    line = ["train", *own_data_overrides(own_data), "evaluate=false", f"hydra.run.dir={run}"]
    with disk.read_only():
        outcome = command(*line)
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(
        f"error: {run} could not be written: {READ_ONLY}. Make {disk.folder} writable"
    )
    assert not disk.files()


def test_cache(
    command: Command, own_data: Path, disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused where something must be prepared; where all is there, training goes on without writing."""
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(disk.folder))
    line = ["train", *own_data_overrides(own_data), "evaluate=false"]
    with disk.read_only():
        outcome = command(*line, f"hydra.run.dir={tmp_path / 'one'}")
    assert outcome.status == 2
    errors = [each for each in outcome.err.splitlines() if each.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in outcome.err
    for words in (str(disk.folder), "cannot be written", READ_ONLY, "paths.cache=..."):
        assert words in errors[0]

    assert (
        command("prepare", *line[3:5], "backbone=tiny", "data=jsonl", "statistics=false", line[5]).status == 0
    )
    before = disk.files()
    with disk.read_only():
        outcome = command(*line, f"hydra.run.dir={tmp_path / 'two'}")
    assert outcome.status == 0, outcome
    assert disk.files() == before


def test_embedding_shards(disk: SmallDisk) -> None:
    folder = disk.folder / "corpus"
    with disk.read_only(), pytest.raises(StorageError, match=f"{disk.folder}.*{READ_ONLY}"), writing(folder):
        encode_shards(folder, plan_of(), PASSAGES, embed)
    assert not disk.files()


def test_folder_that_becomes_read_only_while_a_run_is_at_it(disk: SmallDisk) -> None:
    """As a file system that is mounted anew after an error; the checkpoint before stays."""
    last = disk.folder / LAST_CHECKPOINT
    write_checkpoint({"step": 1}, last)
    before = last.read_bytes()
    with disk.read_only(), pytest.raises(StorageError, match=rf"{last} could not be written: {READ_ONLY}"):
        write_checkpoint({"step": 2}, last)
    assert disk.files() == {LAST_CHECKPOINT}
    assert last.read_bytes() == before


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.EDQUOT]
)
def test_every_number_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also where no small file system can be mounted: as `os.replace` reports it."""
    file = tmp_path / "file.json"
    file.write_text("old")

    def fail(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match=f"{file} could not be written: {os.strerror(number)}. "):  # noqa: SIM117
        with atomic_file(file) as new:
            new.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    assert file.read_text() == "old"


def test_file_that_is_only_read_elsewhere_is_no_failure_of_writing(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/elsewhere/source.jsonl")
    with pytest.raises(PermissionError), writing(tmp_path / "file"):
        raise error
