"""What each run below a folder is doing, by its `run.json` and by whether its process is still there."""

import math
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hybrid_retrieval.reporting.slurm_jobs import slurm_states
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord, State
from hybrid_retrieval.training.run_lock import is_locked

Shown = Literal["finished", "running", "lost?", "stopped", "failed", "waiting"]
STATES: tuple[Shown, ...] = get_args(Shown)

_SILENT_SECONDS = 1800.0
_SILENT_STEPS = 50


@dataclass(frozen=True)
class RunState:
    """A run, or a job of a sweep that has not started.

    Attributes:
        folder: of the run; of the sweep, for a job that has not started.
        label: what tells it from the others.
        state: what it is doing.
        reason: of a failure, a stop or a doubt, one line; "" for none.
        record: None for a job that has not started.
    """

    folder: Path
    label: str
    state: Shown
    reason: str = ""
    record: RunRecord | None = None


def run_folders(folder: Path) -> list[Path]:
    """Folders with a `run.json`, of `folder` and below it; none inside another one, no hidden one."""
    found = []
    for root, names, files in os.walk(folder):
        if RUN_RECORD in files:
            found.append(Path(root))
            names.clear()
        names[:] = sorted(name for name in names if not name.startswith("."))
    return found


def run_states(folders: Iterable[Path]) -> tuple[list[RunState], list[Path]]:
    """The states of runs, and the folders whose `run.json` cannot be read.

    SLURM is asked once for all of them.
    """
    records: dict[Path, RunRecord] = {}
    unreadable = []
    for folder in folders:
        record = RunRecord.read(folder)
        if record is None or not _is_sound(record):
            unreadable.append(folder)
        else:
            records[folder] = record
    asked = {r.slurm_job for r in records.values() if r.slurm_job and r.state in ("running", "stopped")}
    jobs = slurm_states(asked) if asked else {}
    return [_state(folder, record, jobs) for folder, record in records.items()], unreadable


def _is_sound(record: RunRecord) -> bool:
    """Whether the fields that are shown are of their types; JSON may hold anything."""
    numbers = (record.started, record.updated, record.step, record.max_steps, record.seconds)
    speeds = (record.pairs_per_second, record.steps_per_second)
    texts = (record.reason, record.slurm_job, record.watched)
    return (
        record.state in get_args(State)
        and record.watched_mode in ("min", "max")
        and all(_is_number(value) and math.isfinite(value) for value in numbers)
        and all(value is None or _is_number(value) for value in speeds)
        and all(isinstance(value, str) for value in (record.hash, record.label, record.host))
        and all(value is None or isinstance(value, str) for value in texts)
        and isinstance(record.pid, int)
        and all(_holds_numbers(values) for values in (record.best, record.result))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds_numbers(values: object) -> bool:
    return isinstance(values, Mapping) and all(_is_number(value) for value in values.values())


def _state(folder: Path, record: RunRecord, jobs: Mapping[str, str] | None) -> RunState:
    shown: Shown = record.state
    reason = record.reason or ""
    job = record.slurm_job
    if job and jobs and jobs.get(job) == "PENDING" and record.state in ("running", "stopped"):
        shown, reason = "waiting", "in the queue of SLURM, to go on"
    elif record.state == "running" and (doubt := _doubt(folder, record, jobs)):
        shown, reason = "lost?", doubt
    return RunState(folder, record.label or folder.name, shown, reason, record)


def _doubt(folder: Path, record: RunRecord, jobs: Mapping[str, str] | None) -> str:
    """Why a run that says that it runs may not; "" where it does.

    The lock of its folder is sure where it is held; on a file system of several machines it may be seen on
    the machine of the run alone. Then SLURM knows, and elsewhere a process of the same number, which may be
    another one, and how long the run has been silent.
    """
    if is_locked(folder):
        return ""
    if record.slurm_job and jobs is not None:
        return "" if record.slurm_job in jobs else f"job {record.slurm_job} is no longer in SLURM's queue"
    if record.host == socket.gethostname() and not _is_alive(record.pid):
        return f"process {record.pid} is gone"
    silent = time.time() - record.updated
    limit = _SILENT_SECONDS
    if record.steps_per_second and record.steps_per_second > 0:
        limit += _SILENT_STEPS / record.steps_per_second
    return f"nothing heard from {record.host} for {silent / 60:.0f} min" if silent > limit else ""


def _is_alive(pid: int) -> bool:
    """Whether there is such a process here, of anyone."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def count(states: Iterable[RunState], shown: Collection[str]) -> int:
    """How many are in one of these states."""
    return sum(one.state in shown for one in states)
