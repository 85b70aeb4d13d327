"""A run of a sweep as a job of SLURM, and what it returns when it dies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.sweeps.slurm_queue import Death

# What is not the run's own fault: the next start of the sweep goes on with it.
_MAY_GO_ON = ("CANCELLED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL", "DEADLINE", "UNKNOWN")


@dataclass
class Submission:
    """A run of a sweep as a job.

    Attributes:
        number: of the run in the sweep.
        overrides: of the run.
        config: composed, with `hydra`.
        hash: `configuration_hash` of it.
        parameters: of sbatch.
        job: submitit's handle.
    """

    number: int
    overrides: list[str]
    config: DictConfig
    hash: str
    parameters: dict[str, Any]
    job: Any = None

    @property
    def folder(self) -> Path:
        """Of the run."""
        sweep = self.config.hydra.sweep
        return Path(str(sweep.dir), str(sweep.subdir))


def failed(run: Submission, message: str) -> JobReturn:
    """What a run returns that did not come to return anything itself."""
    cfg = run.config.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    found = JobReturn(
        overrides=OmegaConf.to_container(run.config.hydra.overrides.task),  # type: ignore[arg-type]
        cfg=cfg,
        hydra_cfg=run.config,
        working_dir=os.getcwd(),
        task_name=str(run.config.hydra.job.name),
        status=JobStatus.FAILED,
    )
    found.return_value = RuntimeError(message)
    return found


def record_death(run: Submission, death: Death, message: str) -> None:
    """Have `run.json` say that the job ended, unless the run itself came to say so."""
    record = RunRecord.read(run.folder)
    if record is None:
        record = RunRecord(run.hash, slurm_job=run.job.job_id)
        run.folder.mkdir(parents=True, exist_ok=True)
    elif record.state != "running":
        return
    record.state = "stopped" if death.state in _MAY_GO_ON else "failed"
    record.reason = message
    record.write(run.folder)
