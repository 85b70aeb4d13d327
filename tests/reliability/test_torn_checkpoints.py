"""A checkpoint that is not whole is noticed, and the one before it is used."""

import errno
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training import checkpoint_file
from hybrid_retrieval.training.checkpoint_file import (
    DAMAGED_CHECKPOINT,
    LAST_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    checkpoint_to_resume,
    damage_of,
    write_checkpoint,
)
from tests.conftest import Command
from tests.integration.test_run import metrics_of, same_weights
from tests.own_data import own_data_overrides

CONTENT = {"step": 3, "state_dict": {"weight": torch.arange(4000.0), "bias": torch.ones(7)}}


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def flip_bit_of_weight(file: Path) -> None:
    """One that `torch.load` does not notice."""
    with zipfile.ZipFile(file) as archive:
        largest = max(archive.infolist(), key=lambda item: item.file_size)
        name = largest.filename.encode()
        start = largest.header_offset + 30 + len(name)
    flip(file, start + 1000)


def flip(file: Path, at: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 4]))


def zeros_at_the_end(file: Path) -> None:
    """As a file system leaves it that had the length on disk, and not yet the data."""
    size = file.stat().st_size
    os.truncate(file, size // 2)
    os.truncate(file, size)


DAMAGES = [cut_off, empty, flip_bit_of_weight, zeros_at_the_end]


def test_checkpoint_is_what_torch_saves(tmp_path: Path) -> None:
    file = tmp_path / "folder" / LAST_CHECKPOINT
    write_checkpoint(CONTENT, file)

    for mapped in (False, True):
        loaded = torch.load(file, weights_only=True, mmap=mapped)
        assert loaded["step"] == 3
        assert torch.equal(loaded["state_dict"]["weight"], CONTENT["state_dict"]["weight"])  # type: ignore[index]
    assert damage_of(file) is None
    assert [path.name for path in file.parent.iterdir()] == [LAST_CHECKPOINT]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    file = tmp_path / LAST_CHECKPOINT
    write_checkpoint(CONTENT, file)

    damage(file)

    assert damage_of(file) is not None


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Only one in the seal itself can be harmless: the sums of the archive vouch for the tensors then."""
    file = tmp_path / LAST_CHECKPOINT
    write_checkpoint({"weight": torch.arange(50.0)}, file)
    whole = file.read_bytes()
    seal = whole.rindex(b"hybrid-retrieval checkpoint")
    for at in [*range(0, seal, 37), *range(seal - 30, len(whole))]:
        file.write_bytes(whole)
        flip(file, at)
        if damage_of(file) is None:
            assert at >= seal
            assert torch.equal(torch.load(file, weights_only=True)["weight"], torch.arange(50.0))


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    last, previous = tmp_path / LAST_CHECKPOINT, tmp_path / PREVIOUS_CHECKPOINT
    for step in (1, 2, 3):
        write_checkpoint(CONTENT | {"step": step}, last, before=previous)
    assert checkpoint_to_resume(tmp_path) == last
    assert not caplog.records

    damage(last)

    assert checkpoint_to_resume(tmp_path) == previous
    assert torch.load(previous, weights_only=True)["step"] == 2
    if damage is not Path.unlink:
        (warned,) = caplog.messages
        assert str(last) in warned
        assert str(previous) in warned
        assert (tmp_path / DAMAGED_CHECKPOINT).exists()
    # The next checkpoint must not put the damaged one in the place of the whole one.
    write_checkpoint(CONTENT | {"step": 3}, last, before=previous)
    assert torch.load(previous, weights_only=True)["step"] == 2
    assert checkpoint_to_resume(tmp_path) == last


def test_none_is_whole(tmp_path: Path) -> None:
    last, previous = tmp_path / LAST_CHECKPOINT, tmp_path / PREVIOUS_CHECKPOINT
    assert checkpoint_to_resume(tmp_path) is None
    write_checkpoint(CONTENT, last)
    shutil.copy(last, previous)
    cut_off(last)
    flip_bit_of_weight(previous)

    with pytest.raises(UserError) as refused:
        checkpoint_to_resume(tmp_path)

    for words in (str(last), "is cut off", str(previous), "is damaged", "resume=false"):
        assert words in str(refused.value)


def test_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / LAST_CHECKPOINT
    torch.save(CONTENT, file)  # as before there was a seal
    assert checkpoint_to_resume(tmp_path) == file
    flip_bit_of_weight(file)
    assert "is damaged" in str(damage_of(file))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_file, "SCHEMA", 7)
        write_checkpoint(CONTENT, file)
    with pytest.raises(UserError, match=r"has schema 7, and this version of hybrid-retrieval reads 1"):
        checkpoint_to_resume(tmp_path)


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_there_is_a_whole_one_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Every rename of a file is a moment in which the machine may go down."""
    last, previous = tmp_path / LAST_CHECKPOINT, tmp_path / PREVIOUS_CHECKPOINT
    synced: list[int] = []
    replace, fsync = os.replace, os.fsync

    def checked(*names: Any) -> None:
        assert synced, "renamed before it was on the disk"
        found = checkpoint_to_resume(tmp_path)
        assert found is not None or step == 1
        replace(*names)
        assert checkpoint_to_resume(tmp_path) is not None

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    def no_links(*names: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "fsync", sync)
    for step in (1, 2, 3):
        synced.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", checked)
            write_checkpoint({"step": step}, last, before=previous)
        assert len(synced) == 2, "file and folder"
    assert [torch.load(file, weights_only=True)["step"] for file in (previous, last)] == [2, 3]


def test_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last, previous = tmp_path / LAST_CHECKPOINT, tmp_path / PREVIOUS_CHECKPOINT
    for step in (1, 2):
        write_checkpoint({"step": step}, last, before=previous)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"last\.ckpt could not be written: No space left on device"):
        write_checkpoint({"step": 3}, last, before=previous)

    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST_CHECKPOINT, PREVIOUS_CHECKPOINT]
    assert checkpoint_to_resume(tmp_path) == last
    assert torch.load(last, weights_only=True) == {"step": 2}


@pytest.mark.slow
def test_run_goes_on_from_the_one_before(
    command: Command, own_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A finished run whose last checkpoint is torn trains its last steps again, to the same weights."""
    line = [*own_data_overrides(own_data), "trainer.checkpoint_every_n_steps=1", "trainer.monitor=val/loss"]
    run, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (run, whole):
        assert command("train", *line, f"hydra.run.dir={folder}").status == 0
    shutil.rmtree(run / "model")
    checkpoints = run / "checkpoints"
    flip_bit_of_weight(checkpoints / LAST_CHECKPOINT)

    outcome = command("train", *line, f"hydra.run.dir={run}", "resume=auto")

    assert outcome.status == 0, outcome
    assert f"going on from {checkpoints / PREVIOUS_CHECKPOINT}" in (run / "train.log").read_text()
    assert same_weights(run, whole)
    assert metrics_of(run) == metrics_of(whole)

    for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT):
        cut_off(checkpoints / name)
    outcome = command("train", *line, f"hydra.run.dir={run}", "resume=auto")
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1].startswith("error: no checkpoint of this run is whole: ")
    assert "Traceback" not in outcome.err
