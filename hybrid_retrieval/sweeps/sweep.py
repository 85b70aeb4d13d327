"""`hybrid-retrieval train -m`: plan all jobs, check them, run what is left to do, and tell how it went."""

from collections.abc import Mapping, Sequence

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.log_records import protect_handlers
from hybrid_retrieval.sweeps.check_job import started_by_slurm
from hybrid_retrieval.sweeps.estimate import estimate_jobs
from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.job_table import print_plan, print_results
from hybrid_retrieval.sweeps.plan import plan_jobs
from hybrid_retrieval.sweeps.run_jobs import run_jobs
from hybrid_retrieval.sweeps.run_record import RunRecord


class Sweep:
    """Runs jobs through the launcher that the command line chose; for grids and for searches.

    Args:
        context: of Hydra.
        task: what a job does with its configuration.
        config: the configuration without the overrides of single jobs, with `hydra`.
    """

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        self.context = context
        self.task = task
        self.config = config
        self._launcher: Launcher | None = None

    def run_jobs(self, plan: Sequence[Job], *, rerun_failed: bool = False) -> list[RunRecord]:
        """The records of all jobs of a plan, when what was left to do has ended (`run_jobs.run_jobs`).

        May be called several times, with jobs of one sweep folder.

        Raises:
            UserError: a folder holds another run, or the launcher cannot start jobs.
            KeyboardInterrupt: interrupted.
        """
        folder = plan[0].sweep_folder
        if self._launcher is None:
            with open_dict(self.config):
                self.config.hydra.sweep.dir = str(folder)
            self._launcher = Plugins.instance().instantiate_launcher(
                hydra_context=self.context, task_function=self.task, config=self.config
            )
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
        attach = started_by_slurm(self.config)
        return run_jobs(plan, self._launcher.launch, rerun_failed=rerun_failed, attach=attach)


def sweep(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    params: Mapping[str, str],
    arguments: Sequence[str],
    *,
    leave_one_out: bool = False,
) -> None:
    """Run the jobs of a grid, or with `dry_run=true` say what they are.

    Args:
        context: of Hydra.
        task: what a job does with its configuration.
        config: the configuration without the overrides of single jobs, with `hydra`.
        params: overrides of the sweep file.
        arguments: overrides of the command line.
        leave_one_out: whether each data set is left out in turn.

    Raises:
        UserError: a job cannot be as it is asked for; nothing was started then.
        SystemExit: jobs failed; 2 if all of them by mistakes of the user's, 1 if others failed. Or this
            process was asked to terminate; the table was printed.
        KeyboardInterrupt: interrupted; the table was printed.
    """
    protect_handlers()
    jobs = plan_jobs(context, config, params, arguments, leave_one_out=leave_one_out)
    first = jobs[0].cfg
    check_switches(first)
    if first.dry_run:
        print_plan(jobs, estimate_jobs(jobs))
        return
    try:
        records = Sweep(context, task, config).run_jobs(jobs, rerun_failed=first.rerun_failed)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the former into the latter
        print_results(jobs, [RunRecord.read(job.folder) for job in jobs])
        raise
    print_results(jobs, records)
    if failed := [record for record in records if record.state != "finished"]:
        raise SystemExit(2 if all(record.user_error for record in failed) else 1)


def check_switches(cfg: DictConfig) -> None:
    """Refuse values of a sweep's own settings that are none.

    Args:
        cfg: of a job.

    Raises:
        UserError: `dry_run` or `rerun_failed` is neither true nor false.
    """
    for name in ("dry_run", "rerun_failed"):
        if not isinstance(cfg[name], bool):
            raise UserError(f"{name}={cfg[name]} must be true or false.")
