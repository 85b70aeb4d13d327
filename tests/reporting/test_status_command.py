"""The command `hybrid-retrieval status`: folders, `--watch`, and what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.conftest import Command
from tests.refusal import refused
from tests.reporting.recorded_runs import write_run

LIGHT = """
import sys
from hybrid_retrieval.cli import run
status = run(["status", sys.argv[1]])
heavy = {"torch", "numpy", "lightning", "transformers", "submitit", "optuna"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else status)
"""


def test_folders_without_runs_are_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    refused(command, "status", says=["outputs/sweeps", "outputs/multirun", "no runs"])
    refused(command, "status", "empty", says=["empty", "no runs"])
    refused(command, "status", "nowhere", says=["nowhere", "no such folder"])
    refused(command, "status", "empty", "--watch=0", says=["watch=0"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_default_folders_are_those_of_sweeps_and_multiruns(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "outputs" / "sweeps" / "s" / "x=1,y=[2]", state="finished")
    write_run(tmp_path / "outputs" / "multirun" / "m" / "run2", state="finished")
    write_run(tmp_path / "outputs" / "train" / "t", state="finished")

    outcome = command("status")

    assert outcome.status == 0, outcome.err
    assert "x=1,y=[2]" in outcome.out
    assert "All: 2 runs" in outcome.out


def test_watching_ends_when_the_last_run_does(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "s" / "a", pid=os.getpid(), max_steps=5)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        record = RunRecord.read(folder)
        assert record is not None
        record.step = len(looks)
        record.state = "finished" if len(looks) == 5 else "running"
        record.write(folder)

    monkeypatch.setattr("hybrid_retrieval.commands.status.time.sleep", sleep)
    outcome = command("status", str(tmp_path), "--watch")

    assert outcome.status == 0, outcome.err
    assert looks == [3] * 5
    assert "5/5" in outcome.out
    assert "1 run: 1 finished" in outcome.out


def test_watching_is_left_with_an_interrupt(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "a", pid=os.getpid())

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hybrid_retrieval.commands.status.time.sleep", interrupt)

    assert command("status", str(tmp_path), "--watch=9").status == 0


def test_status_starts_without_the_heavy_libraries(tmp_path: Path) -> None:
    write_run(tmp_path / "a", state="finished")

    run = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
