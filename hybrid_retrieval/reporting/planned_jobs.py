"""The jobs of a sweep that have not started, by the `multirun.yaml` that every start of a sweep writes."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hybrid_retrieval.data.sets import set_names
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.configuration_hash import overrides_hash
from hybrid_retrieval.sweeps.grid import Grid
from hybrid_retrieval.sweeps.job import label, quoted

PLAN = "multirun.yaml"
_SWEEPERS = ("hybrid_retrieval_plugins.sweeper.JobSweeper", "core_plugins.basic_sweeper.BasicSweeper")
_LEAVE_OUT = "data.leave_out"


def not_started(sweep: Path, started: Sequence[tuple[Path, str]]) -> list[str]:
    """Labels of the planned jobs that none of the runs is of; empty where the plan is not known.

    The plan of a grid is known, that of a search is made while it runs. Hydra must be initialised: it knows
    the choices of a group, which an override may name all at once.

    Args:
        sweep: folder of the sweep.
        started: folder and label of each of its runs.
    """
    file = sweep / PLAN
    if not GlobalHydra().is_initialized():
        return []
    try:
        planned = _planned(file, file.stat().st_mtime_ns)
    except OSError:
        return []
    labels = {name for _, name in started}
    hashes = {_overrides_of(folder) for folder, _ in started} if planned else set()
    return [name for hash_, name in planned if hash_ not in hashes and name not in labels]


@lru_cache(maxsize=64)
def _planned(file: Path, _modified: int) -> list[tuple[str, str]]:
    """The hash of the overrides and the label of each job."""
    try:
        config: Any = _load(file)
        sweeper, overrides = config["hydra"]["sweeper"], config["hydra"]["overrides"]["task"]
        if not str(sweeper["_target_"]).endswith(_SWEEPERS):
            return []
        params = {name: str(value) for name, value in (sweeper.get("params") or {}).items()}
        loader = GlobalHydra.instance().config_loader()
        grid = Grid.parse(params, overrides, loader)
        if sweeper.get("leave_one_out") and _LEAVE_OUT not in grid.values:
            names = set_names(OmegaConf.create(config["data"]))
            grid = grid.varied(_LEAVE_OUT, ["null", *map(quoted, names)])
        strategy = str(config["sampler"]["name"])
    except (OSError, yaml.YAMLError, HydraException, UserError, LookupError, TypeError, AttributeError):
        return []
    jobs = {overrides_hash(job): label(job, grid.varying, strategy) for job in grid}
    return list(jobs.items())


def _overrides_of(run: Path) -> str:
    try:
        overrides = _load(run / ".hydra" / "overrides.yaml")
        return overrides_hash(overrides)
    except (OSError, yaml.YAMLError, TypeError, AttributeError):
        return ""


def _load(file: Path) -> Any:
    """Plain YAML, by the C parser where there is one, 10 times as fast."""
    return yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
