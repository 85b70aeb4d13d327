"""What SLURM says of jobs: which are alive, and what became of one that is not."""

import getpass
import logging
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_retrieval.errors import UserError

logger = logging.getLogger(__name__)

ENDED = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
# Why a queued job will never start by itself.
_STUCK = ("launch failed requeued held", "BadConstraints", "DependencyNeverSatisfied")
_FIELDS = ("State", "ExitCode", "Elapsed", "Timelimit", "ReqMem", "NodeList")
_SECONDS = 30
# A shell's exit status of a process that a signal ended, less the signal's number.
_SIGNALLED = 128


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        state: `PENDING`, `RUNNING`, `COMPLETING` and others.
        reason: why it waits.
    """

    state: str
    reason: str

    @property
    def stuck(self) -> bool:
        """Whether it waits for what will not happen by itself."""
        return self.state == "PENDING" and any(words in self.reason for words in _STUCK)


@dataclass(frozen=True)
class Death:
    """How a job ended.

    Attributes:
        state: `OUT_OF_MEMORY`, `CANCELLED` and others of `ENDED`, or `UNKNOWN`.
        details: what else SLURM says, one line.
    """

    state: str
    details: str = ""


class SlurmQueue:
    """Asks SLURM through its commands; squeue and scontrol do without accounting."""

    def __init__(self) -> None:
        self._told = False

    def alive(self) -> dict[str, Queued]:
        """The jobs of this user that wait or run, by id: `17`, of an array `17_3`.

        Raises:
            UserError: squeue does not answer.
        """
        options = ("--noheader", "--array", "--states=all", f"--user={getpass.getuser()}")
        lines = _run("squeue", *options, "--format=%i|%T|%r").splitlines()
        jobs = dict(_queued(line) for line in lines if line.count("|") >= 2)
        return {job: found for job, found in jobs.items() if found.state not in ENDED}

    def death(self, job: str) -> Death:
        """What became of a job that is no longer alive.

        The controller knows of jobs that ended lately, accounting of all.
        """
        try:
            return _of_controller(_run("scontrol", "--oneliner", "show", "job", job))
        except UserError:
            pass
        options = ("--allocations", "--noheader", "--parsable2", f"--jobs={job}")
        try:
            lines = _run("sacct", *options, f"--format={','.join(_FIELDS)}")
        except UserError as error:
            if not self._told:
                self._told = True
                logger.warning("without accounting, SLURM forgets why a job ended: %s", error)
            return Death("UNKNOWN", "SLURM knows no more of it")
        found = lines.strip().splitlines()
        if not found:
            return Death("UNKNOWN", "SLURM's accounting does not know it")
        return _death(*found[-1].split("|")[: len(_FIELDS)])


def partitions() -> list[str]:
    """The partitions of the cluster.

    Raises:
        UserError: sinfo does not answer.
    """
    return list(dict.fromkeys(_run("sinfo", "--noheader", "--format=%R").split()))


def own_job(environment: Mapping[str, str]) -> str | None:
    """The id of the job that a process belongs to, `17` or of an array `17_3`; None outside of SLURM.

    `SLURM_JOB_ID` of a task of an array is another number, which scancel (22.05) does not take.
    """
    array, task = (environment.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID")


def job_state(job: str) -> str:
    """The state of the own job of this process, as the controller knows it.

    Of a job that SLURM is ending the controller says `COMPLETING`, whatever comes of it. Then this is
    `REQUEUED` where SLURM has counted a restart more than the process knows of, `TIMEOUT` where the job's
    time is up, else `CANCELLED`.

    Returns:
        `RUNNING`, `PENDING` and others; `UNKNOWN` where the controller does not answer.
    """
    try:
        fields = _fields(_run("scontrol", "--oneliner", "show", "job", job))
    except UserError:
        return "UNKNOWN"
    state = fields.get("JobState", "UNKNOWN")
    if state != "COMPLETING":
        return state
    if int(fields.get("Restarts", "0")) > int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        return "REQUEUED"
    return "TIMEOUT" if fields.get("Reason") == "TimeLimit" else "CANCELLED"


def requeue(job: str) -> str | None:
    """Put a job back into the queue; why that did not work, or None."""
    try:
        _run("scontrol", "requeue", job)
    except UserError as error:
        return str(error)
    return None


def _queued(line: str) -> tuple[str, Queued]:
    job, state, reason = line.split("|", 2)
    return job, Queued(state, reason.strip("() "))


def _fields(text: str) -> dict[str, str]:
    """What scontrol shows of a job: the first line, as the tasks of an array follow one another."""
    return dict(re.findall(r"(\w+)=(\S*)", text.splitlines()[0]))


def _of_controller(text: str) -> Death:
    fields = _fields(text)
    memory = fields.get("MinMemoryNode") or fields.get("MinMemoryCPU") or ""
    names = ("JobState", "ExitCode", "RunTime", "TimeLimit")
    return _death(*[fields.get(name, "") for name in names], memory, fields.get("NodeList", ""))


def _death(*values: str) -> Death:
    """From the values of `_FIELDS`."""
    state, code, elapsed, limit, memory, nodes = values
    details = [f"on {nodes}" if nodes not in ("", "(null)", "None assigned") else ""]
    details.append(f"after {elapsed}" + (f" of {limit}" if state.startswith("TIMEOUT") else ""))
    if state.startswith("OUT_OF_ME"):
        details.append(f"with {memory} of memory")
    status, _, number = code.partition(":")
    if status.isdigit() and int(status):
        details.append(f"exit status {status}")
        if int(status) > _SIGNALLED:
            number = str(int(status) - _SIGNALLED)
    if number.isdigit() and int(number):
        details.append(f"signal {number}")
    # "CANCELLED by 1000"
    return Death(state.split(maxsplit=1)[0] if state else "UNKNOWN", ", ".join(filter(None, details)))


def _run(command: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            (command, *arguments), capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except FileNotFoundError as error:
        raise UserError(f"there is no command {command}: is this a machine of a SLURM cluster?") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{command} did not answer within {_SECONDS} s.") from error
    if done.returncode:
        raise UserError(f"{command} failed: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout


def in_order(jobs: Sequence[str]) -> list[str]:
    """Job ids as people count them."""
    return sorted(jobs, key=lambda job: [int(part) for part in job.split("_")])
