"""How long the jobs of a sweep will take, from the records of runs like them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.cost import cost_of
from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.job_state import state_of
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord
from hybrid_retrieval.training.local_processes import device_count

_ALIKE = ("backbone.name", "global_batch_size", "trainer.devices", "trainer.num_nodes", "trainer.accelerator")


@dataclass(frozen=True)
class Estimate:
    """How long a job will take.

    Attributes:
        seconds: from where it would start; None: not known.
        basis: what the estimate rests on, or what is missing.
        devices: it uses, over all nodes; None: this machine cannot tell.
        device: GPU or CPU.
    """

    seconds: float | None
    basis: str
    devices: int | None
    device: str


def estimate_jobs(jobs: Sequence[Job]) -> list[Estimate]:
    """How long each job will take that is not finished.

    By runs of this sweep with the same cost of a step (`cost_of`); else by other runs beside the sweep with
    the same backbone, batch and devices. Finished runs count whole, with start and evaluation, by the seconds
    of a step; others by their measured steps, without.

    Args:
        jobs: of one sweep.
    """
    own = [record for job in jobs if (record := RunRecord.read(job.folder)) is not None]
    others = list(_records_beside(jobs[0].sweep_folder))
    return [_estimate(job, own, others) for job in jobs]


def _estimate(job: Job, own: Sequence[RunRecord], others: Sequence[RunRecord]) -> Estimate:
    cost, steps = cost_of(job.cfg), int(job.cfg.trainer.max_steps)
    devices, device = _devices(job)
    alike = [(own, "of this sweep", list(cost)), (others, "of other runs", list(_ALIKE))]
    ways: list[tuple[str, Callable[[RunRecord], float | None]]] = [
        ("finished runs, with start and evaluation", _whole_run),
        ("the measured steps of unfinished runs, without start and evaluation", _steps_alone),
    ]
    for records, whose, names in alike:
        for what, seconds_of in ways:
            fitting = [r for r in records if all(r.cost.get(name) == cost[name] for name in names)]
            found = [seconds for record in fitting if (seconds := seconds_of(record)) is not None]
            if found:
                left = steps - state_of(job).step
                run = f"{cost['backbone.name']} with batches of {cost['global_batch_size']}"
                basis = f"{run}: {median(found):.3g} s a step, the median of {len(found)} {whose}: {what}"
                return Estimate(median(found) * left, basis, devices, device)
    missing = f"no run with backbone={cost['backbone.name']} and batches of {cost['global_batch_size']} yet"
    return Estimate(
        None, f"{missing}; one job of this sweep, even interrupted, is enough to know", devices, device
    )


def _whole_run(record: RunRecord) -> float | None:
    """Seconds of a step, start and evaluation shared out among the steps."""
    return record.seconds / record.step if record.state == "finished" and record.step else None


def _steps_alone(record: RunRecord) -> float | None:
    return 1 / record.steps_per_second if record.steps_per_second else None


def _devices(job: Job) -> tuple[int | None, str]:
    trainer = job.cfg.trainer
    device = "GPU" if str(trainer.accelerator) in ("gpu", "cuda") else "CPU"
    if trainer.accelerator == "auto":
        import torch  # noqa: PLC0415 (seconds of imports)

        device = "GPU" if torch.cuda.is_available() else "CPU"
    try:
        return device_count(trainer) * int(trainer.num_nodes), device
    except UserError:  # a login node without the devices
        devices = trainer.devices
        known = isinstance(devices, int) and devices > 0
        return (devices * int(trainer.num_nodes) if known else None), device


def _records_beside(sweep: Path) -> Iterator[RunRecord]:
    """Records of runs and sweeps in the folder that holds this sweep; in `outputs`, of all kinds of runs."""
    root = sweep.absolute().parent
    if root.name in ("sweeps", "multirun"):
        root = root.parent
    for pattern in (f"*/{RUN_RECORD}", f"*/*/{RUN_RECORD}", f"*/*/*/{RUN_RECORD}"):
        for file in root.glob(pattern):
            record = RunRecord.read(file.parent)
            if record is not None and sweep.absolute() not in file.parents:
                yield record
