"""Runs the jobs of a sweep that are left to do, through a launcher of Hydra's."""

import logging
from collections.abc import Callable, Sequence

from hydra.core.utils import JobReturn, JobStatus

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.log_records import safe
from hybrid_retrieval.sweeps.job import Job, quoted
from hybrid_retrieval.sweeps.job_state import state_of
from hybrid_retrieval.sweeps.recorded_run import check_same_run
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training.run_lock import is_locked

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]

_KILLED = (
    "ended without a word: killed, perhaps for want of memory, or as a data file was cut while it was read"
)

logger = logging.getLogger(__name__)


def run_jobs(
    plan: Sequence[Job], launch: Launch, *, rerun_failed: bool = False, attach: bool = False
) -> list[RunRecord]:
    """Run what is left to do of a plan, and give the records of all its jobs, in the same order.

    Finished jobs, and failed ones unless `rerun_failed`, keep their records; jobs that another process is at
    are left to it. A job that fails does not end the others.

    Args:
        plan: jobs, none twice.
        launch: runs jobs, given as overrides, and returns when all have ended.
        rerun_failed: whether to run failed jobs again.
        attach: whether the launcher itself takes up jobs that run already, as that of SLURM does.

    Raises:
        UserError: a folder holds another run, or the launcher cannot start jobs.
        KeyboardInterrupt: interrupted.
    """
    for job in plan:
        check_same_run(job.folder, RunRecord.read(job.folder), job.hash, resume="auto")
    again = {"to do", "resume", *(["failed"] if rerun_failed else []), *(["running"] if attach else [])}
    left = [job for job in plan if state_of(job).name in again]
    returned: dict[str, JobReturn] = {}
    returns_all = True
    if left:
        logger.info("%d of %d jobs to run in %s", len(left), len(plan), plan[0].sweep_folder)
        if rerun_failed:
            _forget_failures(left)
        try:
            found = launch([launch_overrides(job) for job in left], 0)
            returned = dict(zip([job.hash for job in left], found, strict=True))
        except UserError:
            raise
        except Exception:
            logger.exception("the launcher gave up; the record of each job says what became of it")
            returns_all = False
    launched = {job.hash for job in left} if returns_all else set()
    return [_record_after(job, returned.get(job.hash), ended=job.hash in launched) for job in plan]


def launch_overrides(job: Job) -> list[str]:
    """What the launcher is given for a job: it goes on where it was, in the folder of its name."""
    resume = [] if any(o.lstrip("+").startswith("resume=") for o in job.overrides) else ["resume=auto"]
    folders = {"hydra.sweep.dir": str(job.sweep_folder), "hydra.sweep.subdir": job.name}
    return [*job.overrides, *resume, *(f"{name}={quoted(folder)}" for name, folder in folders.items())]


def _forget_failures(jobs: Sequence[Job]) -> None:
    """What a job is that dies before it can say anything must not be told by the failure before."""
    for job in jobs:
        record = RunRecord.read(job.folder)
        if record is not None and record.state == "failed":
            record.state, record.reason = "stopped", "to be run again"
            record.write(job.folder)


def _record_after(job: Job, returned: JobReturn | None, *, ended: bool) -> RunRecord:
    """The record of a job after the launcher has returned.

    Args:
        job: any job of the plan.
        returned: by the launcher.
        ended: whether the job was launched and all launched jobs have ended.
    """
    record = RunRecord.read(job.folder)
    if record is not None and record.state == "running" and ended and not is_locked(job.folder):
        record.state, record.reason = "stopped", _KILLED
        record.write(job.folder)
    if record is not None:
        return record
    error = None
    if returned is not None and returned.status is JobStatus.FAILED:
        error = returned._return_value
    reason = "did not start" if error is None else safe(f"did not start: {' '.join(str(error).split())}")
    return RunRecord(job.hash, job.label, "stopped", reason, user_error=isinstance(error, UserError))
