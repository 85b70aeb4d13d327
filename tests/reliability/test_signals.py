"""A run that is asked to end, at any place and by any of its processes, saves and says so by its status."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid_retrieval.training.checkpoint_file import damage_of
from tests.integration.test_signals import COMMAND
from tests.own_data import own_data_overrides
from tests.reliability.forked_runs import ForkedRuns
from tests.reliability.test_exact_resume import Runs, same_run

TERM, INT, USR1, USR2 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2


def state_of(run: Path) -> tuple[str, str]:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return record["state"], record["reason"]


@pytest.mark.slow
def test_each_signal_at_its_place(forked: ForkedRuns, own_data: Path, tmp_path: Path) -> None:
    """After steps 3, 6, 9 and 12 a validation is due; periodic checkpoints never are."""
    runs = Runs(forked, own_data, tmp_path, ("trainer.checkpoint_every_n_steps=100",))
    for number, place, step, saved in (
        (TERM, "in a step", 2, 2),
        (USR1, "in a step", 3, 3),  # before its validation
        (INT, "in a validation", 6, 6),
        (USR2, "between epochs", 8, 9),
        (TERM, "in a validation", 9, 9),
        (INT, "in a step", 12, 12),
        (USR1, "evaluating", 12, 12),
    ):
        ended = runs.start("run", place=place, step=step, number=number)
        assert ended.statuses == [128 + number], (number, place, ended.output)
        assert "Traceback" not in ended.output, ended.output
        state, reason = state_of(tmp_path / "run")
        assert state == "stopped"
        when = "while it did not train" if place == "evaluating" else f"at step {saved}"
        assert reason == ("interrupted" if number == INT else f"{number.name} {when}")
        assert json.loads((tmp_path / "run" / "run.json").read_text())["checkpoint_step"] == saved

    same_run(runs.whole("run"), runs.whole())


@pytest.mark.slow
def test_second_signal_and_a_step_without_end(forked: ForkedRuns, own_data: Path, tmp_path: Path) -> None:
    """The watchdog names what it waits for."""
    runs = Runs(forked, own_data, tmp_path)
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("again", {"number": TERM, "hangs": 60, "again": 1.5}, "SIGTERM a second time"),
        ("slow", {"number": USR1, "hangs": 60, "patience": 1.0}, "still waiting for step 5 to end"),
    ]
    for name, faults, says in cases:
        started = time.monotonic()
        ended = runs.start(name, place="in a step", step=5, **faults)
        assert time.monotonic() - started < 50
        assert ended.statuses == [128 + faults["number"]], ended.output
        assert says in ended.output
        assert "ended without saving" in ended.output
        same_run(runs.whole(name), runs.whole() if not (tmp_path / "whole").exists() else tmp_path / "whole")


def test_signal_that_comes_twice_at_once_counts_once(
    forked: ForkedRuns, own_data: Path, tmp_path: Path
) -> None:
    """From a terminal to the whole group, and from the parent as well."""
    runs = Runs(forked, own_data, tmp_path)

    ended = runs.start("run", place="in a step", step=3, number=INT, again=0.0)

    assert ended.statuses == [130], ended.output
    assert state_of(tmp_path / "run") == ("stopped", "interrupted")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["checkpoint_step"] == 3


@pytest.mark.slow
def test_signal_meets_loader_processes_as_well(forked: ForkedRuns, own_data: Path, tmp_path: Path) -> None:
    """As Ctrl-C does, and scancel: the step, which needs them, ends."""
    runs = Runs(forked, own_data, tmp_path, ("data.workers=2",))
    for number, step in ((INT, 3), (TERM, 5)):
        ended = runs.start("run", place="in a step", step=step, number=number)
        assert ended.statuses == [128 + number], ended.output
        assert ended.output.count("saving at the end of this step") == 1
        assert "Traceback" not in ended.output, ended.output

    same_run(runs.whole("run"), runs.whole())


@pytest.mark.slow
@pytest.mark.parametrize("to", ["0", "1", "all"])
def test_ranks_leave_together(forked: ForkedRuns, own_data: Path, tmp_path: Path, to: str) -> None:
    runs = Runs(forked, own_data, tmp_path, ranks=2)

    ended = runs.start("run", place="in a step", step=5, number=USR2, to=to)

    told = [128 + USR2 if to in (str(rank), "all") else 128 + TERM for rank in range(2)]
    assert ended.statuses == told, ended.output
    assert "Traceback" not in ended.output, ended.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["checkpoint_step"] == 5


@pytest.mark.parametrize("rank", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_ranks_stop_and_say_which_one_was_killed(
    forked: ForkedRuns, own_data: Path, tmp_path: Path, rank: str
) -> None:
    runs = Runs(forked, own_data, tmp_path, ranks=2)

    started = time.monotonic()
    ended = runs.start("run", place="in a step", step=5, number=signal.SIGKILL, to=rank)

    assert time.monotonic() - started < 60
    other = 1 - int(rank)
    assert ended.statuses[int(rank)] == -9
    assert ended.statuses[other] == 1, ended.output
    errors = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.output
    assert f"rank {rank}" in errors[0]
    assert "resume=auto" in errors[0]
    assert "Traceback" not in ended.output, ended.output


@pytest.mark.slow
def test_killed_loader_process(forked: ForkedRuns, own_data: Path, tmp_path: Path) -> None:
    runs = Runs(forked, own_data, tmp_path, ("data.workers=2",))

    ended = runs.start("run", place="a loader process", step=5)

    assert ended.statuses == [1], ended.output
    errors = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.output
    for words in ("a process that loads data", "was killed by signal: Killed", "resume=auto"):
        assert words in errors[0]
    assert "Traceback" not in ended.output, ended.output
    assert state_of(tmp_path / "run")[0] == "failed"
    same_run(runs.whole("run"), runs.whole())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "number", "status"),
    [("first", TERM, 143), ("first", USR2, 140), ("all", INT, 130), ("a rank", signal.SIGKILL, 1)],
    ids=["SIGTERM", "SIGUSR2", "SIGINT from the terminal", "a killed rank"],
)
def test_processes_that_the_run_starts_itself(  # noqa: PLR0917 (fixtures)
    own_data: Path, command_cache: Path, tmp_path: Path, to: str, number: int, status: int
) -> None:
    line = [*own_data_overrides(own_data), "trainer.max_steps=100000", "trainer.checkpoint_every_n_steps=2"]
    line += ["trainer=cpu_ddp", "trainer.enable_progress_bar=false", "trainer.val_check_interval=null"]
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with (
        (tmp_path / "err").open("w") as err,
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", *line, f"hydra.run.dir={tmp_path / 'run'}"],
            env={**os.environ, "HYBRID_RETRIEVAL_CACHE": str(command_cache), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        ) as run,
    ):
        try:
            until = time.monotonic() + 300
            while not checkpoint.exists() and run.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            told = time.monotonic()
            if to == "all":
                os.killpg(run.pid, number)
            else:
                os.kill(run.pid if to == "first" else ranks_of(run.pid)[1], number)
            run.wait(timeout=200)
        finally:
            run.kill()
    said = (tmp_path / "err").read_text(encoding="utf-8")

    assert run.returncode == status, said
    assert time.monotonic() - told < 60
    assert "Traceback" not in said, said
    assert damage_of(checkpoint) is None
    if to == "a rank":
        errors = [text for text in said.splitlines() if text.startswith("error: ")]
        assert len(errors) == 1, said
        assert "rank 1 of 2 (process " in errors[0]
        assert "was killed by SIGKILL" in errors[0]
    else:
        record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
        saved = torch.load(checkpoint, weights_only=True)["global_step"]
        assert (record["state"], record["checkpoint_step"]) == ("stopped", saved)


def ranks_of(pid: int) -> list[int]:
    """The processes that a process has spawned, in order of their start."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
