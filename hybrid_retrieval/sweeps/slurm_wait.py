"""Waits for jobs of SLURM until each has a result or has died."""

import contextlib
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.sweeps.slurm_queue import Death, Queued, SlurmQueue
from hybrid_retrieval.sweeps.slurm_submission import Submission, failed, record_death
from hybrid_retrieval.training.signals import killed_by

# A shared file system may show the result of a job later than SLURM shows its end.
_RESULT_SECONDS = 10.0
_SILENCE_SECONDS = 600.0
_LOG_LINES = 12

_MEMORY = "Set launcher.mem_gb higher, or lower the memory of the run (loss.grad_cache=true)."
_ADVICE = {
    "OUT_OF_MEMORY": _MEMORY,
    "TIMEOUT": "The same line again goes on from the last checkpoint; see launcher.timeout_min.",
    "NODE_FAIL": "The same line again goes on from the last checkpoint.",
    "CANCELLED": "The same line again goes on from the last checkpoint.",
    "PREEMPTED": "The same line again goes on from the last checkpoint.",
}

logger = logging.getLogger(__name__)


def wait_for(runs: Sequence[Submission], queue: SlurmQueue, poll_seconds: float) -> list[JobReturn]:
    """What the runs return; of one that died without returning anything, a failure with the reason.

    A job that waits, runs, or is put back into the queue is waited for; one that SLURM will never start is
    given up.

    Args:
        runs: with their jobs.
        queue: of SLURM.
        poll_seconds: between two looks.
    """
    returns: dict[int, JobReturn] = {}
    gone: dict[int, float] = {}
    told, answered = "", time.monotonic()
    while True:
        for number, run in enumerate(runs):
            if number not in returns and _result_file(run).exists():
                returns[number] = _result(run)
        left = [number for number in range(len(runs)) if number not in returns]
        if not left:
            return [returns[number] for number in range(len(runs))]
        try:
            alive, answered = queue.alive(), time.monotonic()
        except UserError as error:
            if time.monotonic() - answered > _SILENCE_SECONDS:
                answered = time.monotonic()
                logger.warning("%s Waiting for an answer; the jobs may be running.", error)
        else:
            told = _tell([alive.get(runs[number].job.job_id) for number in left], told)
            for number in left:
                job = alive.get(runs[number].job.job_id)
                if job is not None and not job.stuck:
                    gone.pop(number, None)
                elif time.monotonic() - gone.setdefault(number, time.monotonic()) > _RESULT_SECONDS:
                    returns[number] = _dead(runs[number], job, queue)
        time.sleep(poll_seconds)


def _result_file(run: Submission) -> Path:
    """Of the first process, whose result counts."""
    paths = run.job.task(0).paths
    with contextlib.suppress(OSError):
        # Has a network file system look at the folder anew.
        paths.folder.chmod(paths.folder.stat().st_mode)
    file: Path = paths.result_pickle
    return file


def _result(run: Submission) -> JobReturn:
    try:
        found: JobReturn = run.job.task(0).result()
        return found
    except Exception as error:
        # submitit puts the traceback between two rules.
        lines = [line for line in str(error).split("-" * 20)[:2][-1].strip("- \n").splitlines() if line]
        why = lines[-1] if lines else repr(error)
        log = run.job.task(0).paths.stdout
        return failed(run, f"job {run.job.job_id} gave no result: {why}. Its log: {log}")


def _dead(run: Submission, job: Queued | None, queue: SlurmQueue) -> JobReturn:
    death = queue.death(run.job.job_id) if job is None else Death("PENDING", f"never starts: {job.reason}")
    record = RunRecord.read(run.folder)
    log: Path = run.job.task(0).paths.stdout
    own = record.reason if record is not None and record.state in ("failed", "stopped") else None
    what = ", ".join(filter(None, (death.state, death.details)))
    short = f"job {run.job.job_id} ended without a result: {what}{f'; {own}' if own else ''}"
    if job is not None:
        short += f". `scancel {run.job.job_id}` takes it out of the queue"
    message = " ".join(filter(None, (f"{short}.", _advice(death), f"Its log: {log}")))
    record_death(run, death, message)
    logger.warning("%s: %s%s", run.folder.name, message, _last_lines(log))
    return failed(run, message)


def _advice(death: Death) -> str | None:
    number = re.search(r"signal (\d+)$", death.details)
    if death.state != "FAILED" or number is None:
        return _ADVICE.get(death.state)
    advice = f"It {killed_by(int(number[1]))}."
    return f"{advice} {_MEMORY}" if int(number[1]) == signal.SIGKILL else advice


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in lines[-_LOG_LINES:])


def _tell(jobs: Sequence[Queued | None], told: str) -> str:
    """Log how many jobs are where, when that has changed."""
    states: Counter[str] = Counter()
    for job in jobs:
        if job is None:
            states["ending"] += 1
        elif job.state == "PENDING":
            states[f"waiting ({job.reason})"] += 1
        else:
            states[job.state.lower()] += 1
    text = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    if text != told:
        logger.info("jobs: %s", text)
    return text
