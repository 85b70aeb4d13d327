"""What a search is about: its space, objectives and folder, and the jobs that its trials are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.check_job import check_job, started_by_slurm
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash, has_influence
from hybrid_retrieval.sweeps.job import Job, label
from hybrid_retrieval.sweeps.plan import compose, make_job, sweep_folder
from hybrid_retrieval.sweeps.search_objectives import Objective, parse_objectives
from hybrid_retrieval.sweeps.search_settings import SearchSettings
from hybrid_retrieval.sweeps.search_space import SearchSpace, parse_space
from hybrid_retrieval.sweeps.search_study import SearchStudy, Trial

_LONGEST = 80
_NOTHING = object()


@dataclass(frozen=True)
class Search:
    """What a search is about.

    Attributes:
        context: of Hydra.
        config: the configuration without the overrides of single jobs, with `hydra`.
        cfg: that all trials share, without `hydra`.
        space: what varies.
        objectives: to be optimised.
        settings: how it proceeds.
        folder: of the search.
    """

    context: HydraContext
    config: DictConfig
    cfg: DictConfig
    space: SearchSpace
    objectives: Sequence[Objective]
    settings: SearchSettings
    folder: Path

    @classmethod
    def parse(
        cls,
        context: HydraContext,
        config: DictConfig,
        params: Mapping[str, str],
        arguments: Sequence[str],
        given: Mapping[str, Any],
    ) -> "Search":
        """A search, as the sweep file and the command line ask for it; see `search`."""

        @cache
        def shared(overrides: tuple[str, ...]) -> DictConfig:
            return compose(context, config, overrides)

        def setting(overrides: tuple[str, ...], name: str) -> Any:
            if name.startswith("+") or "@" in name or "/" in name:
                return None
            found = OmegaConf.select(shared(overrides), name, default=_NOTHING)
            if found is _NOTHING:
                raise UserError(
                    f"search space: there is no setting {name} with {' '.join(overrides)}. Correct the name, "
                    f"or leave it out: 'hydra.sweeper.search.space={{{name}: null}}'."
                )
            return found

        settings = SearchSettings.parse(given)
        space = given.get("space") or {}
        if not isinstance(space, Mapping):
            raise UserError(f"hydra.sweeper.search.space={space} must be names with what they may be.")
        parsed = parse_space(space, params, arguments, context.config_loader, setting)
        cfg = shared(parsed.fixed)
        objectives = parse_objectives(given.get("objectives"), cfg)
        folder = sweep_folder(config, parsed.fixed)
        return cls(context, config, cfg, parsed, objectives, settings, folder)

    def corners(self) -> list[Job]:
        """Jobs at the bounds of the space, checked.

        Raises:
            UserError: one cannot be as it is asked for.
        """
        found = []
        for values in self.space.corners():
            overrides = self.space.overrides(values)
            found.append(make_job(self.context, self.config, overrides, list(values), self.folder))
        for job in found:
            check_job(job.cfg, by_slurm=started_by_slurm(self.config))
        return found

    def job(self, trial: Trial) -> Job:
        """The job of a trial; trials with equal values have one."""
        overrides = self.space.overrides(trial.params)
        return make_job(self.context, self.config, overrides, (), self.folder, name=trial_label(trial))

    def study(self) -> SearchStudy:
        """Its trials; the folder is made.

        Raises:
            UserError: the folder holds another search.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        question = {
            "fixed": sorted(one for one in self.space.fixed if has_influence(one.partition("=")[0])),
            "configuration": configuration_hash(self.cfg),
        }
        return SearchStudy(self.folder, self.space, self.objectives, self.settings, question)


def trial_label(trial: Trial) -> str:
    """Of its job, for people: `trial007-alpha0.37-lr1.57e-05`."""
    short = {
        name: value if isinstance(value, str) else f"{value:.3g}" for name, value in trial.params.items()
    }
    values = label([f"{name}={text}" for name, text in short.items()], list(short), "")
    return f"trial{trial.position:03d}-{values}"[:_LONGEST].rstrip("-.")
