"""The trials of a search: asked of Optuna, kept in a journal, and told how they ended."""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.search_objectives import Objective
from hybrid_retrieval.sweeps.search_settings import SearchSettings
from hybrid_retrieval.sweeps.search_space import SearchSpace, Value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

JOURNAL = "search.journal"
_STUDY = "search"
_QUESTION = "question"
_POSITION = "position"
_NOTES = "trial "

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A trial that was asked for.

    Attributes:
        number: Optuna's.
        position: its place in the search, from 0; one that is run again keeps it.
        params: the value of each setting.
        state: open (to run, or to go on), complete or failed.
        values: of the objectives, if complete.
        folder: name of its run's folder, once it has ended; equal trials share it.
        reason: why it failed.
    """

    number: int
    position: int
    params: Mapping[str, Value]
    state: str
    values: tuple[float, ...] = ()
    folder: str | None = None
    reason: str | None = None


class SearchStudy:
    """A study of Optuna's in a journal file, so that a killed search goes on as if it had not been.

    Optuna does not save the state of a sampler's random numbers. Each trial is therefore drawn by a sampler
    of its own, seeded with the search's seed and the position of the trial, and depends on nothing but these
    and the trials before. A trial that was running when the search was killed stays open, with its values;
    one that was only half drawn is drawn again. Only one process may use a journal at a time.

    Args:
        folder: of the search; gets `search.journal`, plain text that Optuna's dashboard reads, too.
        space: what varies.
        objectives: to be optimised.
        settings: of the search.
        question: what else must be the same for trials to belong to one search, as JSON.

    Raises:
        UserError: the folder holds a search of something else, or a damaged journal; or Optuna is missing.
    """

    def __init__(
        self,
        folder: Path,
        space: SearchSpace,
        objectives: Sequence[Objective],
        settings: SearchSettings,
        question: Mapping[str, Any],
    ) -> None:
        optuna = import_optuna()
        from optuna.storages.journal import JournalFileBackend, JournalStorage  # noqa: PLC0415

        self.settings = settings
        self.distributions = {one.name: one.distribution() for one in space.dimensions}
        self.directions = [one.direction for one in objectives]
        file = folder / JOURNAL
        try:
            _drop_torn_line(file)
            storage = JournalStorage(JournalFileBackend(str(file)))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file} is damaged ({error}). Remove it: the search starts again, and takes the results of "
                "finished runs from their folders."
            ) from error
        asked = {
            "space": {one.name: str(one) for one in space.dimensions},
            "objectives": {one.name: one.direction for one in objectives},
            "sampler": settings.sampler,
            "startup": settings.startup,
            "seed": settings.seed,
            **question,
        }
        try:
            self._study = optuna.load_study(study_name=_STUDY, storage=storage)
        except KeyError:
            self._study = optuna.create_study(study_name=_STUDY, storage=storage, directions=self.directions)
        before = self._study.user_attrs.get(_QUESTION)
        if before is not None:
            _check_same(folder, before, json.loads(json.dumps(asked)))
        else:
            self._study.set_user_attr(_QUESTION, asked)
        for half in self._study.get_trials(deepcopy=False):
            if _POSITION not in half.user_attrs and half.state.name == "RUNNING":
                self._study.tell(half.number, state=optuna.trial.TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """All trials by position, each once: the last of those that were run again."""
        notes = self._study.user_attrs
        found = {
            one.user_attrs[_POSITION]: _trial(one, notes.get(f"{_NOTES}{one.number}", {}))
            for one in self._study.get_trials(deepcopy=False)
            if _POSITION in one.user_attrs
        }
        return [found[position] for position in sorted(found)]

    def ask(self) -> Trial:
        """A new trial, open."""
        position = len(self.trials())
        self._study.sampler = make_sampler(self.settings, position)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Optuna calls experimental
            asked = self._study.ask(self.distributions)
        asked.set_user_attr(_POSITION, position)  # from here on the trial counts
        return Trial(asked.number, position, asked.params, "open")

    def ask_again(self, trial: Trial) -> Trial:
        """A failed trial once more, with the same values."""
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415

        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(trial.params),
                distributions=self.distributions,
                user_attrs={_POSITION: trial.position},
            )
        )
        return self.trials()[trial.position]

    def tell(self, trial: Trial, folder: str, values: Sequence[float]) -> None:
        """The trial is complete; its run is in `folder`."""
        self._note(trial, folder, None)
        self._study.tell(trial.number, list(values))

    def tell_failed(self, trial: Trial, folder: str, reason: str) -> None:
        """The trial has no values; samplers leave it out."""
        from optuna.trial import TrialState  # noqa: PLC0415

        self._note(trial, folder, reason)
        self._study.tell(trial.number, state=TrialState.FAIL)

    def _note(self, trial: Trial, folder: str, reason: str | None) -> None:
        """Of the study, as Optuna lets nothing be noted of a trial of an earlier process."""
        self._study.set_user_attr(f"{_NOTES}{trial.number}", {"folder": folder, "reason": reason})

    def best(self) -> list[Trial]:
        """The best trial, or with several objectives those that none is better than in all (Pareto front).

        Equal ones all count; first by the first objective.
        """
        complete = [one for one in self.trials() if one.state == "complete"]
        signs = np.array([-1.0 if way == "maximize" else 1.0 for way in self.directions])
        costs = np.array([one.values for one in complete]).reshape(len(complete), len(signs)) * signs
        front = [
            trial
            for trial, own in zip(complete, costs, strict=True)
            if not np.any(np.all(costs <= own, axis=1) & np.any(costs < own, axis=1))
        ]
        return sorted(front, key=lambda one: (signs[0] * one.values[0], one.position))


def import_optuna() -> Any:
    """The module, quiet.

    Raises:
        UserError: it is not installed, or too old.
    """
    try:
        import optuna  # noqa: PLC0415 (an extra)
        from optuna.storages.journal import JournalFileBackend  # noqa: F401, PLC0415
    except ImportError as error:
        raise UserError(
            "sweep=search needs Optuna 4 or newer: pip install 'hybrid-retrieval[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def make_sampler(settings: SearchSettings, position: int) -> "BaseSampler":
    """The sampler of one trial.

    Args:
        settings: name the sampler.
        position: of the trial.
    """
    from optuna import samplers  # noqa: PLC0415

    seed = int(np.random.SeedSequence([settings.seed, position]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        if settings.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if settings.sampler == "nsgaii":
            return samplers.NSGAIISampler(seed=seed, population_size=settings.startup)
        # Open trials count as bad ones, so that those of one batch differ.
        return samplers.TPESampler(seed=seed, n_startup_trials=settings.startup, constant_liar=True)


def _trial(stored: "FrozenTrial", notes: Mapping[str, Any]) -> Trial:
    states = {"COMPLETE": "complete", "FAIL": "failed"}
    return Trial(
        stored.number,
        stored.user_attrs[_POSITION],
        dict(stored.params),
        states.get(stored.state.name, "open"),
        tuple(stored.values or ()),
        notes.get("folder"),
        notes.get("reason"),
    )


def _check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with another search in the same folder."""
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        told = "; ".join(
            f"{name}: {_told(before.get(name))} before, {_told(now[name])} now" for name in changed
        )
        raise UserError(
            f"{folder} holds another search ({told}). Its trials do not count for this one: choose another "
            "folder with hydra.sweep.dir=..., or go on with the first command line."
        )


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def _drop_torn_line(file: Path) -> None:
    """A line that was cut when the machine went down would make the next ones unreadable."""
    if not file.is_file() or (content := file.read_bytes()).endswith(b"\n") or not content:
        return
    logger.warning("%s: the last line is cut off, and left out", file)
    with atomic_file(file) as new:
        new.write_bytes(content[: content.rfind(b"\n") + 1])
