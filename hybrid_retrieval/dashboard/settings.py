"""Which runs a dashboard is of, and how it shows them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.dashboard.names import METRICS
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.runs import Run, find_runs
from hybrid_retrieval.sweeps.job import quoted

PROJECT = "hybrid-retrieval"
"""The project of `conf/logger/wandb.yaml`."""


@dataclass(frozen=True)
class DashboardSettings:
    """What `conf/dashboard.yaml` and the folders of sweeps say.

    Attributes:
        entity: user or team of W&B; "" for the default one of the login.
        project: of W&B.
        groups: of W&B, the names of sweeps; none for every run of the project.
        tags: that every run has.
        languages: codes of the benchmark's languages; none where they are not known.
        metric: one of `METRICS`.
        group_by: settings of the configuration; runs that agree in all of them are averaged.
    """

    entity: str
    project: str
    groups: tuple[str, ...]
    tags: tuple[str, ...]
    languages: tuple[str, ...]
    metric: str
    group_by: tuple[str, ...]

    @classmethod
    def of(cls, cfg: Mapping[str, Any], environment: Mapping[str, str]) -> "DashboardSettings":
        """Read the configuration, and what it leaves open from the folders.

        Args:
            cfg: `conf/dashboard.yaml`.
            environment: may have `WANDB_ENTITY`.

        Raises:
            UserError: a value that is none, or a folder without runs that W&B could have.
        """
        if cfg["metric"] not in METRICS:
            raise UserError(f"metric={cfg['metric']} is unknown; known: {', '.join(METRICS)}.")
        named = _strings(cfg, "group")
        # The path of a sweep in place of its name.
        paths = [name for name in named if "/" in name and Path(name).is_dir()]
        folders = [Path(folder) for folder in (*cfg["runs"], *paths)]
        found = read_folders(folders) if folders else _Found("", (), ())
        project = _string(cfg, "project") or found.project or PROJECT
        if found.project and project != found.project:
            raise UserError(
                f"project={project}, but the runs in {_listed(folders)} are of the project {found.project}. "
                "Leave project= out."
            )
        groups = (*(name for name in named if name not in paths), *found.groups)
        return cls(
            entity=_string(cfg, "entity") or environment.get("WANDB_ENTITY", ""),
            project=project,
            groups=tuple(dict.fromkeys(groups)),
            tags=_strings(cfg, "tags"),
            languages=_strings(cfg, "languages") or found.languages,
            metric=str(cfg["metric"]),
            group_by=_strings(cfg, "group_by"),
        )

    @property
    def title(self) -> str:
        """What the dashboard is of: the sweeps, else the project."""
        return ", ".join(self.groups) or self.project

    def with_entity(self, entity: str) -> "DashboardSettings":
        """The same dashboard of this user or team."""
        return replace(self, entity=entity)

    def overrides(self) -> list[str]:
        """The overrides of `hybrid-retrieval dashboard` that make this dashboard anywhere."""
        lists = {"sweep": self.groups, "tags": self.tags, "languages": self.languages}
        return [
            *([f"entity={_value(self.entity)}"] if self.entity else []),
            f"project={_value(self.project)}",
            *(f"{name}=[{','.join(map(_value, values))}]" for name, values in lists.items() if values),
            f"metric={self.metric}",
            f"group_by=[{','.join(self.group_by)}]",
        ]


@dataclass(frozen=True)
class _Found:
    project: str
    groups: tuple[str, ...]
    languages: tuple[str, ...]


def read_folders(folders: Sequence[Path]) -> _Found:
    """Project, groups and languages of the evaluated runs in folders and below them.

    Raises:
        UserError: no runs there, none that was logged to W&B, of several projects, or of no sweep.
    """
    runs = [run for run in find_runs(folders) if _logger(run)]
    where = _listed(folders)
    if not runs:
        raise UserError(
            f"{where}: no run there was logged to Weights & Biases. Train with logger=wandb, the default."
        )
    projects = sorted({str(_logger(run)["project"]) for run in runs})
    if len(projects) > 1:
        raise UserError(
            f"{where}: runs of the projects {', '.join(projects)}. A dashboard is of one project."
        )
    groups = dict.fromkeys(filter(None, (_group(run) for run in runs)))
    if not groups:
        raise UserError(
            f"{where}: its runs are of no sweep (-m) and have no logger.wandb.group, so W&B cannot tell them "
            "from others. Give no folder, and tags=... if you want some runs of the project only."
        )
    languages = {code for run in runs for code in run.metrics["per_language"]}
    return _Found(projects[0], tuple(groups), tuple(sorted(languages)))


def _logger(run: Run) -> dict[str, Any]:
    """The settings of W&B that a run had; {} where it was not logged there."""
    settings = (run.config.get("logger") or {}).get("wandb") or {}
    return settings if settings.get("mode") != "disabled" and settings.get("project") else {}


def _group(run: Run) -> str | None:
    """The group that `training.loggers` gave a run."""
    if group := _logger(run).get("group"):
        return str(group)
    try:
        text = (run.training_folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
        hydra = yaml.safe_load(text)["hydra"]
        return Path(hydra["sweep"]["dir"]).name if hydra["mode"] == "MULTIRUN" else None
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return None


def _string(cfg: Mapping[str, Any], name: str) -> str:
    value = cfg[name]
    if value is not None and not isinstance(value, str | int):
        raise UserError(f"{name}={value} must be a name.")
    return "" if value is None else str(value)


def _strings(cfg: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of names, or a single one."""
    value = cfg[name]
    if value is None:
        return ()
    values = [value] if isinstance(value, str | int) else value
    if not isinstance(values, Sequence) or not all(isinstance(each, str | int) for each in values):
        raise UserError(f"{name}={value} must be a name or a list of names: {name}=[a,b].")
    return tuple(map(str, values))


def _value(text: str) -> str:
    """A name as an element of a list in an override."""
    return text if re.fullmatch(r"[A-Za-z_][\w.-]*", text, re.ASCII) else quoted(text)


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)
