"""Whether a run that says it is running does: its process, its lock, its silence, and what SLURM says."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.slurm_jobs import slurm_states
from hybrid_retrieval.training.run_lock import LOCK
from tests.reporting.recorded_runs import shown, states, write_run


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def with_squeue(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A squeue that answers as the script does, in the place of SLURM's."""
    folder.mkdir()
    (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_run_whose_process_is_gone_is_doubted_unless_its_folder_is_locked(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "s" / "a", pid=dead_process())
    write_run(tmp_path / "s" / "b", pid=os.getpid())
    write_run(tmp_path / "s" / "c", pid=os.getpid(), ago=1e6)  # since then a number of another process

    assert states(tmp_path) == {"a": "lost?", "b": "running", "c": "lost?"}
    assert "is gone" in shown(tmp_path)
    with (folder / LOCK).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert states(tmp_path) == {"a": "running", "b": "running", "c": "lost?"}


@pytest.mark.parametrize(("ago", "speed", "state"), [
    (60, 1.0, "running"), (7200, 1.0, "lost?"), (7200, 0.005, "running"), (7200, None, "lost?"),
])  # fmt: skip
def test_a_run_on_another_machine_is_doubted_when_silent_for_long(
    tmp_path: Path, ago: float, speed: float | None, state: str
) -> None:
    write_run(tmp_path / "a", host="elsewhere", ago=ago, steps_per_second=speed)

    assert states(tmp_path) == {"a": state}


def test_slurm_says_which_jobs_run_wait_or_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_squeue(monkeypatch, tmp_path / "bin", "printf '7|RUNNING\\n8|PENDING\\n9|COMPLETED\\n11|RUNNING\\n'")
    for job in ("7", "8", "9", "10"):
        write_run(tmp_path / "sweep" / f"run{job}", slurm_job=job, host="node1")
    write_run(tmp_path / "sweep" / "done", slurm_job="8", state="finished")

    assert states(tmp_path / "sweep") == {
        "run7": "running", "run8": "waiting", "run9": "lost?", "run10": "lost?", "done": "finished",
    }  # fmt: skip
    assert slurm_states({"7"}) == {"7": "RUNNING"}


def test_without_an_answer_of_slurm_silence_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_squeue(monkeypatch, tmp_path / "bin", "echo 'Unable to contact slurm controller' >&2; exit 1")
    write_run(tmp_path / "s" / "a", slurm_job="7", host="node1")
    write_run(tmp_path / "s" / "b", slurm_job="8", host="node1", ago=7200)

    assert states(tmp_path / "s") == {"a": "running", "b": "lost?"}


def test_a_job_that_slurm_has_forgotten_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_squeue(
        monkeypatch, tmp_path / "bin", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    )

    assert slurm_states({"7"}) == {}
