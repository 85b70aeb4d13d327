"""Submits the runs of a sweep to SLURM, and waits until each has a result or has died."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from omegaconf import open_dict

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.sweeps.slurm_queue import SlurmQueue, in_order
from hybrid_retrieval.sweeps.slurm_refusal import refusal
from hybrid_retrieval.sweeps.slurm_resources import sbatch_parameters
from hybrid_retrieval.sweeps.slurm_submission import Submission
from hybrid_retrieval.sweeps.slurm_wait import wait_for

# SLURM's default limit (MaxArraySize) is 1001 with 0.
_LARGEST_ARRAY = 1000

logger = logging.getLogger(__name__)


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Submit the runs that are not in the queue already, and wait for all.

    Args:
        launcher: `SlurmLauncher`; what a job runs, pickled.
        job_overrides: of each run.
        first: number of the first run.

    Returns:
        What the runs returned; of a run that died, a failure with the reason.

    Raises:
        UserError: SLURM does not take a job, or does not answer.
        KeyboardInterrupt: interrupted; the jobs go on.
    """
    setup_globals()
    runs = [_submission(launcher, first + i, list(each)) for i, each in enumerate(job_overrides)]
    settings = runs[0].config.launcher
    folder = Path(str(launcher.config.hydra.sweep.dir)) / ".submitit"
    folder.mkdir(parents=True, exist_ok=True)
    submitted, queue = SubmittedJobs(folder / "jobs.json"), SlurmQueue()
    _attach(runs, submitted, queue, folder)
    _submit(launcher, [run for run in runs if run.job is None], submitted, folder, settings.requeues)
    logger.info(
        "logs: %s; how far the jobs are: hybrid-retrieval status %s\n"
        "Ctrl-C leaves them running; the same line with hydra.sweep.dir=%s waits for them again",
        *(folder / "<job>", folder.parent, folder.parent),
    )
    try:
        return wait_for(runs, queue, settings.poll_seconds)
    except KeyboardInterrupt:
        _say_what_goes_on(runs, queue, folder.parent)
        raise


class SubmittedJobs:
    """Which jobs were submitted for a sweep, by the hash of the configuration, in a JSON file of its folder.

    Args:
        file: made when the first job is added.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._jobs: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._jobs = {}
        except ValueError as error:
            raise UserError(
                f"{file} cannot be read ({error}): remove it if no job of this sweep runs."
            ) from error

    def get(self, hash_: str) -> tuple[str, int] | None:
        """The job of a configuration, and its number of processes."""
        found = self._jobs.get(hash_)
        return None if found is None else (str(found["job"]), int(found["tasks"]))

    def add(self, jobs: dict[str, tuple[str, int]]) -> None:
        """Note jobs, by the hash of their configurations, at once."""
        self._jobs |= {hash_: {"job": job, "tasks": tasks} for hash_, (job, tasks) in jobs.items()}
        with atomic_file(self.file) as new:
            new.write_text(json.dumps(self._jobs, indent=1) + "\n", encoding="utf-8")


def _submission(launcher: Any, number: int, overrides: list[str]) -> Submission:
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config):
        config.hydra.job.num, config.hydra.job.id = number, f"job_id_for_{number}"
    cfg = config.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    return Submission(number, overrides, config, configuration_hash(cfg), sbatch_parameters(cfg))


def _attach(runs: Sequence[Submission], submitted: SubmittedJobs, queue: SlurmQueue, folder: Path) -> None:
    """Take up the jobs that an earlier start submitted and that wait or run still."""
    from submitit.slurm.slurm import SlurmJob  # noqa: PLC0415 (an extra)

    known = {run.hash: found for run in runs if (found := submitted.get(run.hash))}
    if not known:
        return
    alive = queue.alive()
    for run in runs:
        job, tasks = known.get(run.hash, ("", 0))
        if job in alive:
            run.job = SlurmJob(folder=folder / "%j", job_id=job, tasks=list(range(tasks)))
    if attached := [run.job.job_id for run in runs if run.job is not None]:
        logger.info("in the queue already: %s", ", ".join(in_order(attached)))


def _submit(
    launcher: Any, runs: Sequence[Submission], submitted: SubmittedJobs, folder: Path, requeues: int
) -> None:
    """Submit runs, those that ask for the same resources as one array."""
    from submitit.core.utils import FailedSubmissionError  # noqa: PLC0415 (an extra)
    from submitit.slurm.slurm import SlurmExecutor  # noqa: PLC0415

    groups: dict[str, list[Submission]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.parameters, sort_keys=True), []).append(run)
    name = f"hybrid-retrieval {folder.parent.name}"
    for alike in groups.values():
        for start in range(0, len(alike), _LARGEST_ARRAY):
            array = alike[start : start + _LARGEST_ARRAY]
            try:
                executor = SlurmExecutor(folder / "%j", max_num_timeout=requeues)
                executor.update_parameters(job_name=name, **array[0].parameters)
                jobs = executor.map_array(launcher, *zip(*map(_job_arguments, array), strict=True))
            except (FailedSubmissionError, RuntimeError, OSError) as error:
                before = sum(run.job is not None for run in runs)
                raise UserError(refusal(error, array[0].parameters, before)) from error
            for run, job in zip(array, jobs, strict=True):
                run.job = job
            submitted.add({run.hash: (run.job.job_id, run.job.num_tasks) for run in array})
            names = "".join(f"\n  {run.job.job_id}  {run.folder.name}" for run in array)
            logger.info("%d jobs submitted: %s%s", len(array), _asked(array[0].parameters), names)


def _job_arguments(run: Submission) -> tuple[Any, ...]:
    state = Singleton.get_state()
    return run.overrides, "hydra.sweep.dir", run.number, f"job_id_for_{run.number}", state


def _asked(parameters: dict[str, Any]) -> str:
    where = [f"{name} {parameters[name]}" for name in ("partition", "account", "qos") if name in parameters]
    per_node = f"{parameters['nodes']} x {parameters['ntasks_per_node']} processes"
    gpus = f"{parameters.get('gpus_per_node', 'no')} GPUs a node"
    return ", ".join([*where, per_node, gpus, f"{parameters['time']} minutes"])


def _say_what_goes_on(runs: Sequence[Submission], queue: SlurmQueue, folder: Path) -> None:
    ids = [run.job.job_id for run in runs if run.job is not None]
    try:
        alive = queue.alive()
        left = [job for job in ids if job in alive]
    except UserError:
        left = ids
    if left:
        logger.warning(
            "%d jobs go on without this command. The same line with hydra.sweep.dir=%s waits for them again; "
            "`scancel %s` ends them.",
            *(len(left), folder, " ".join(in_order(left))),
        )
