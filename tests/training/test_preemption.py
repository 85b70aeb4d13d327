"""A run that is told to go, or killed, at any step ends as one that nobody disturbed."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from hybrid_retrieval.training import preemption
from hybrid_retrieval.training.last_checkpoint import SealedCheckpointIO
from hybrid_retrieval.training.preemption import Preempted, Preemption
from tests.conftest import Command
from tests.integration.interrupt import InterruptAfter
from tests.integration.test_run import same_weights
from tests.own_data import own_data_overrides

# 48 training rows: an epoch of 3 steps, a validation every 2.
OVERRIDES = [
    *("trainer.max_steps=7", "trainer.val_check_interval=2", "global_batch_size=16", "evaluate=false"),
    *("trainer.log_every_n_steps=1", "backbone.dropout=0.1", "trainer.monitor=val/loss", "optim.lr=0.02"),
]
TIMING = ("per_second", "matrix_peak_share", "padding_share")


class At(pl.Callback):
    """Does something in the middle of a step, or of the validation after it."""

    def __init__(self, step: int, act: Callable[[], None], hook: str = "on_before_optimizer_step") -> None:
        def at(trainer: pl.Trainer, *args: Any) -> None:
            # In the middle of step 1, counted from 1, none is done.
            if trainer.global_step == step - (hook == "on_before_optimizer_step"):
                act()

        setattr(self, hook, at)


def rows_of(folder: Path) -> dict[int, dict[str, str]]:
    with (folder / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        return {
            int(row["step"]): {k: v for k, v in row.items() if v and not k.endswith(TIMING)}
            for row in csv.DictReader(file)
        }


def kill(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def raise_error() -> None:
    raise RuntimeError("the machine went down")


@pytest.fixture
def train(command: Command, own_data: Path) -> Callable[..., int]:
    def call(folder: Path, *overrides: str) -> int:
        arguments = (*own_data_overrides(own_data), *OVERRIDES, f"hydra.run.dir={folder}", *overrides)
        return command("train", *arguments).status

    return call


@pytest.fixture(scope="module")
def folder_of_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def whole(train: Callable[..., int], folder_of_whole: Path) -> Path:
    """The run that nobody disturbs, trained once."""
    assert folder_of_whole.exists() or train(folder_of_whole) == 0
    return folder_of_whole


def same(one: Path, other: Path) -> bool:
    assert rows_of(one) == rows_of(other)
    best, other_best = (
        torch.load(each / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for each in (one, other)
    )
    assert all(torch.equal(best[name], other_best[name]) for name in best)
    return same_weights(one, other)


@pytest.mark.parametrize(
    ("step", "number"),
    [(1, signal.SIGTERM), (2, signal.SIGUSR2), (3, signal.SIGUSR1), (6, signal.SIGTERM), (7, signal.SIGTERM)],
    ids=["first step", "before a validation", "end of an epoch", "both", "last step"],
)
def test_signalled_run_goes_on_as_if_nothing_had_happened(  # noqa: PLR0917 (fixtures)
    train: Callable[..., int],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    number: signal.Signals,
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        InterruptAfter(None, At(step, kill(number))).install(patched)
        assert train(run, "resume=auto") == 128 + number
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
    assert state["global_step"] == step
    assert not (run / "model").exists()

    assert train(run, "resume=auto") == 0

    assert same(run, whole)


@pytest.mark.parametrize(
    ("hook", "step", "saved"), [("on_validation_start", 4, 4), ("on_before_optimizer_step", 5, 4)]
)
def test_killed_run_goes_on_from_its_last_checkpoint(  # noqa: PLR0917 (fixtures)
    train: Callable[..., int],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    step: int,
    saved: int,
) -> None:
    """A validation that was cut is done again: the checkpoint of its step is from before it."""
    run, overrides = tmp_path / "run", ("resume=auto", "trainer.checkpoint_every_n_steps=2")
    with monkeypatch.context() as patched:
        InterruptAfter(None, At(step, raise_error, hook)).install(patched)
        assert train(run, *overrides) == 1
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
    assert state["global_step"] == saved

    assert train(run, *overrides) == 0

    assert same(run, whole)


class Trainer:
    """What `Preemption` asks of a trainer."""

    is_global_zero = True
    strategy: Any

    def __init__(self, step: int) -> None:
        self.global_step = step
        self.strategy = self
        self.barriers = 0

    def barrier(self) -> None:
        self.barriers += 1


@pytest.mark.parametrize(
    ("state", "resumes", "steps", "requeued"),
    [
        ("RUNNING", True, 3, True),
        ("TIMEOUT", True, 3, True),
        ("CANCELLED", True, 3, False),
        ("PENDING", True, 3, False),
        ("RUNNING", False, 3, False),
        ("RUNNING", True, 0, False),
    ],
    ids=["pre-empted", "out of time", "cancelled", "SLURM requeues", "cannot resume", "no step made"],
)
def test_job_is_put_back_only_where_that_is_right(
    monkeypatch: pytest.MonkeyPatch, state: str, resumes: bool, steps: int, requeued: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(preemption, "job_state", lambda job: state)
    monkeypatch.setattr(preemption, "requeue", asked.append)
    callback = Preemption(resumes=resumes, environment={"SLURM_JOB_ID": "17"})
    callback.on_train_start(Trainer(10), None)  # type: ignore[arg-type]
    callback.leaving, trainer = True, Trainer(10 + steps)

    with pytest.raises(Preempted) as left:
        callback.on_train_batch_start(trainer, None)  # type: ignore[arg-type]

    assert asked == (["17"] if requeued else [])
    assert left.value.code == 128 + signal.SIGTERM
    assert f"SIGTERM at step {10 + steps}" in left.value.reason
    assert trainer.barriers == 1


@pytest.mark.parametrize(
    ("environment", "patience", "signals", "status"),
    [({}, 60, 2, 143), ({}, 0.2, 1, 143), ({"SLURM_JOB_ID": "1"}, 1, 2, 143)],
    ids=["told twice", "step too long", "twice under SLURM"],
)
def test_process_ends_when_its_step_does_not(
    environment: dict[str, str], patience: float, signals: int, status: int
) -> None:
    script = (
        "import os, signal, time\n"
        "from hybrid_retrieval.training.preemption import Preemption\n"
        f"callback = Preemption(resumes=True, environment={environment!r}, patience={patience})\n"
        "signal.signal(signal.SIGTERM, callback._handle)\n"
        f"for _ in range({signals}): os.kill(os.getpid(), signal.SIGTERM); time.sleep(1.2)\n"
        "time.sleep(20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == status
    assert "ended without saving" in done.stderr
    assert "Traceback" not in done.stderr


def test_signals_are_given_back(train: Callable[..., int], tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in preemption.SIGNALS]

    assert train(tmp_path / "run", "trainer.max_steps=2") == 0

    assert [signal.getsignal(each) for each in preemption.SIGNALS] == before


def test_checkpoint_appears_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, io = tmp_path / "folder" / "last.ckpt", SealedCheckpointIO()
    io.save_checkpoint({"step": 1}, file)

    def cut(content: Any, opened: Any) -> None:
        opened.write(b"half of")
        raise_error()

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(RuntimeError, match="went down"):
        io.save_checkpoint({"step": 2}, file)

    assert torch.load(file, weights_only=True) == {"step": 1}
