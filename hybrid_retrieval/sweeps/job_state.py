"""How far a job of a sweep is, by the record in its folder."""

from dataclasses import dataclass
from typing import Literal

from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.recorded_run import METRICS
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training.run_lock import is_locked


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    Attributes:
        name: finished, failed, running (in another process), resume (from its last checkpoint) or to do.
        record: of the run, if there is one.
        step: from which it would go on; 0 unless the name is resume.
    """

    name: Literal["finished", "failed", "running", "resume", "to do"]
    record: RunRecord | None = None
    step: int = 0

    def __str__(self) -> str:
        return f"resume at step {self.step}" if self.name == "resume" else self.name


def state_of(job: Job) -> JobState:
    """How far a job is; it is finished where its record says so and its evaluation is there."""
    record = RunRecord.read(job.folder)
    if record is None or record.hash != job.hash:
        return JobState("to do")
    if record.state == "finished" and (not job.cfg.evaluate or (job.folder / METRICS).is_file()):
        return JobState("finished", record)
    if is_locked(job.folder):
        return JobState("running", record)
    if record.state == "failed":
        return JobState("failed", record)
    if record.checkpoint_step and (job.folder / "checkpoints" / "last.ckpt").is_file():
        return JobState("resume", record, record.checkpoint_step)
    return JobState("to do", record)
