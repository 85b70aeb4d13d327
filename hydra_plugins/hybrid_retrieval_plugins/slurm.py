"""The launcher of `launcher=slurm`: every run of a sweep a job of SLURM, submitted with submitit."""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (  # type: ignore[import-untyped]
        BaseSubmititLauncher,
    )
except ImportError:
    BaseSubmititLauncher = None

ConfigStore.instance().store(
    group="hydra/launcher",
    name="hybrid_retrieval_slurm",
    # What jobs ask for is in `launcher` of each run's own configuration, as it may differ in a sweep.
    node={"_target_": f"{__name__}.SlurmLauncher"},
    provider="hybrid_retrieval",
)

if BaseSubmititLauncher is None:

    class SlurmLauncher(Launcher):
        """Stands in where submitit is not installed."""

        def setup(
            self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
        ) -> None:
            """Say what to install.

            Raises:
                UserError: always.
            """
            from hybrid_retrieval.errors import UserError  # noqa: PLC0415

            raise UserError(
                "launcher=slurm needs submitit and Hydra's launcher for it: "
                "pip install 'hybrid-retrieval[slurm]'. launcher=local runs the jobs here, one after another."
            )

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            """Is never reached."""
            raise NotImplementedError

else:

    class SlurmLauncher(BaseSubmititLauncher):  # type: ignore[no-redef, misc]
        """Submits the jobs that are not in the queue yet, and waits for all; one that dies has failed."""

        _EXECUTOR = "slurm"

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            """Run jobs.

            Raises:
                UserError: SLURM does not take a job, or does not answer.
                KeyboardInterrupt: interrupted; the jobs go on.
            """
            from hybrid_retrieval.sweeps.slurm_launch import launch  # noqa: PLC0415

            return launch(self, job_overrides, initial_job_idx)

        def __call__(self, sweep_overrides: list[str], *args: Any, **options: Any) -> JobReturn:
            """Run one job, in a process that SLURM started.

            Only the first process of several writes Hydra's records and log file.
            """
            from hybrid_retrieval.sweeps.slurm_task import is_first_task, wait_for_first_task  # noqa: PLC0415

            if not is_first_task():
                sweep_overrides = [*sweep_overrides, "hydra.output_subdir=null", "hydra/job_logging=stdout"]
            found: JobReturn = super().__call__(sweep_overrides, *args, **options)
            if not is_first_task():
                wait_for_first_task(found)
            return found
