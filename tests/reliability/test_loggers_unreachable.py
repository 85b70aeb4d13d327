"""Loggers that cannot be reached or written: training neither stops nor waits, and keeps its own files."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_retrieval.training.tensorboard_logger import TensorBoardRun
from tests.conftest import Command
from tests.own_data import own_data_overrides
from tests.reliability.small_disks import small_disk
from tests.reporting.wandb_server import WandbServer, serving

NO_SPACE = os.strerror(errno.ENOSPC)
KEY = "0123456789abcdef" * 2 + "01234567"
FILES = ("metrics.json", "per_query.parquet", "train_metrics.csv", "summary.md", "model")


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))


@pytest.fixture(params=["refuses", "hangs", "fails"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that nobody listens at, that never answers, or that answers with errors."""
    if request.param == "refuses":
        yield "http://127.0.0.1:9"
        return
    with serving(WandbServer(status=500, silent=request.param == "hangs")) as running:
        yield running.address


def test_server(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """A key is set and the mode is online: within `init_timeout` the run goes on offline, all files there."""
    line = ["train", *own_data_overrides(own_data), "trainer.max_steps=2"]
    monkeypatch.setenv("WANDB_BASE_URL", server)
    run, started = tmp_path / "run", time.monotonic()
    online = ["logger=wandb", "logger.wandb.mode=online", "logger.wandb.init_timeout=1"]
    outcome = command(*line, *online, "logger.wandb.finish_timeout=1", f"hydra.run.dir={run}")

    assert outcome.status == 0, outcome
    assert time.monotonic() - started < 60
    assert (outcome.out + outcome.err).count("Weights & Biases was not reached") == 1
    assert KEY not in outcome.out + outcome.err
    for name in FILES:
        assert (run / name).exists()
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    assert "wandb sync" in (run / "summary.md").read_text(encoding="utf-8")


def test_tensorboard_folder_that_cannot_be_made(command: Command, own_data: Path, tmp_path: Path) -> None:
    """The user's to mend, before the first step."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "tensorboard").write_text("a file")
    outcome = command("train", *own_data_overrides(own_data), "logger=tensorboard", f"hydra.run.dir={run}")
    assert outcome.status == 2, outcome
    assert str(run / "tensorboard") in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert not (run / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("when", ["at the start", "in the run"])
def test_disk_of_tensorboard_that_fills_up(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Refused before the first step; later one warning, and the run goes on and writes its own files."""
    run = tmp_path / "run"
    line = ["train", *own_data_overrides(own_data), "logger=tensorboard", f"hydra.run.dir={run}"]
    with small_disk(run / "tensorboard", 1) as disk:
        if when == "at the start":
            disk.fill()
        disk.full_before(monkeypatch, TensorBoardRun, "log_metrics")
        outcome = command(*line)
        if when == "at the start":
            assert outcome.status == 2
            assert outcome.err.splitlines()[-1].startswith(
                f"error: {run / 'tensorboard'} could not be written"
            )
            return
        assert outcome.status == 0, outcome
        told = (run / "train.log").read_text(encoding="utf-8")
        assert told.count(f"TensorBoard gets no more of this run: {run / 'tensorboard'}: {NO_SPACE}") == 1
    for name in FILES:
        assert (run / name).exists()
