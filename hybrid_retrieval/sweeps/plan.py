"""From the command line of a sweep to its jobs, all composed and checked before the first one starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from hybrid_retrieval.data.sets import set_names
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.check_job import check_job, started_by_slurm
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash, overrides_hash
from hybrid_retrieval.sweeps.grid import Grid
from hybrid_retrieval.sweeps.job import FOLDER_DIGITS, Job, label, label_of_folder, quoted
from hybrid_retrieval.sweeps.run_record import RunRecord

_SWEEPS = Path("outputs", "sweeps")
_LEAVE_OUT = "data.leave_out"


def plan_jobs(
    context: HydraContext,
    config: DictConfig,
    params: Mapping[str, str],
    arguments: Sequence[str],
    *,
    leave_one_out: bool = False,
) -> list[Job]:
    """The jobs of a sweep, equal ones once.

    Args:
        context: of Hydra.
        config: the configuration without the overrides of single jobs, with `hydra`.
        params: overrides of the sweep file.
        arguments: overrides of the command line.
        leave_one_out: whether each data set is left out in turn.

    Raises:
        UserError: a job cannot be as it is asked for.
        HydraException: an override names what does not exist.
    """
    grid = Grid.parse(params, arguments, context.config_loader)
    if leave_one_out and _LEAVE_OUT not in grid.values:
        names = set_names(compose(context, config, next(iter(grid))).data)
        if len(names) < 2:
            raise UserError(
                "sweep=leave_one_out needs several data sets: data.path=[a,b,c], or data.sets as in "
                "data=paper."
            )
        grid = grid.varied(_LEAVE_OUT, ["null", *map(quoted, names)])
    folder = sweep_folder(config, grid.fixed())
    jobs: dict[str, Job] = {}
    for overrides in grid:
        job = make_job(context, config, overrides, grid.varying, folder)
        jobs.setdefault(job.hash, job)
    for job in jobs.values():
        check_job(job.cfg, by_slurm=started_by_slurm(config))
    return list(jobs.values())


def make_job(
    context: HydraContext,
    config: DictConfig,
    overrides: Sequence[str],
    varying: Sequence[str],
    folder: Path,
    *,
    name: str | None = None,
) -> Job:
    """One job of a sweep.

    Args:
        context: of Hydra.
        config: as for `plan_jobs`.
        overrides: `name=value`, all of the job's.
        varying: names that its label tells.
        folder: of the sweep.
        name: its label, instead.

    Raises:
        HydraException: an override names what does not exist.
    """
    cfg = compose(context, config, overrides)
    hash_ = configuration_hash(cfg)
    name = _label_there(folder, hash_) or name or label(overrides, varying, cfg.sampler.name)
    return Job(tuple(overrides), cfg, hash_, name, folder)


def _label_there(folder: Path, hash_: str) -> str | None:
    """The label that an earlier start gave a job, when something else may have varied."""
    for run in folder.glob(f"*-{hash_[:FOLDER_DIGITS]}"):
        record = RunRecord.read(run)
        if record is not None and record.hash == hash_:
            return label_of_folder(run, hash_)
    return None


def compose(context: HydraContext, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a job, resolved, without `hydra`."""
    cfg = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(cfg):
        del cfg["hydra"]
    OmegaConf.resolve(cfg)
    return cfg


def sweep_folder(config: DictConfig, fixed: Sequence[str]) -> Path:
    """`hydra.sweep.dir` where it is given; with a sweep file, else, one by its name and what is fixed.

    Args:
        config: as for `plan_jobs`.
        fixed: overrides that all jobs share.

    Raises:
        UserError: `hydra.sweep.subdir` is given, which a sweep chooses itself.
    """
    given = list(config.hydra.overrides.hydra)
    if any(override.startswith("hydra.sweep.subdir=") for override in given):
        raise UserError(
            "hydra.sweep.subdir: a sweep names the folders of its jobs itself, so that it finds them again. "
            "Set hydra.sweep.dir alone."
        )
    name = config.hydra.runtime.choices.get("sweep")
    if name is None or any(override.startswith("hydra.sweep.dir=") for override in given):
        return Path(config.hydra.sweep.dir)
    return _SWEEPS / f"{name}-{overrides_hash(fixed)[:6]}"
