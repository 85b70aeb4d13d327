"""Groups runs that differ in the seed alone."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.runs import OF_TERMS, STRATEGY_ORDER, Run

_LONG = 40  # characters of a value that labels avoid

ENDS = {"x_y": 0.0, "x_x_mono": 1.0}
"""The alpha with which hybrid draws the batches of another strategy."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Runs that differ in the seed alone, in the order of their seeds.

    Attributes:
        label: the strategy, and what tells this experiment from others of the same strategy.
        runs: at least one.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def strategy(self) -> str:
        """Batch strategy, or "untrained"."""
        return self.runs[0].strategy

    @property
    def seeds(self) -> list[int]:
        """Ascending; none for a model that we did not train."""
        return [run.seed for run in self.runs if run.seed is not None]

    @property
    def train_languages(self) -> list[str]:
        """Languages every run was trained on."""
        return self.runs[0].train_languages

    def recipe(self) -> dict[str, str]:
        """The settings two strategies must share to be compared like with like."""
        return {
            key: value
            for key, value in self.runs[0].settings.items()
            if key not in {"strategy", "alpha", "languages"} and not key.startswith("sampler.")
        }


def group_runs(runs: Sequence[Run], *, among: Sequence[Run] = ()) -> list[Experiment]:
    """Group runs by everything but the seed, ordered by strategy (untrained first), then by settings.

    Args:
        runs: on one benchmark.
        among: runs on all benchmarks, these too, that the labels tell an experiment from: so that it has
            one label on all of them.

    Raises:
        UserError: two runs have the same settings and the same seed, so that one of them would be counted
            twice.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    for group in groups.values():
        group.sort(key=lambda run: (run.seed or 0, str(run.folder)))
        for first, second in pairwise(group):
            if first.seed == second.seed:
                raise UserError(
                    f"{first.folder} and {second.folder} are the same experiment with the same seed "
                    f"({first.seed}). Leave one of them out, or train the second with another seed."
                )
    firsts = [group[0] for group in groups.values()]
    labels = _labels(firsts, [*firsts, *among])
    experiments = [
        Experiment(label, tuple(group)) for label, group in zip(labels, groups.values(), strict=True)
    ]
    return sorted(experiments, key=order_of)


def constant_alpha(experiment: Experiment) -> float | None:
    """The alpha of a hybrid experiment; None where it is scheduled or unknown."""
    training = experiment.runs[0].training or {}
    try:
        return float(training["alpha"])
    except (KeyError, TypeError, ValueError):
        return None


def order_of(experiment: Experiment) -> tuple[object, ...]:
    """What experiments are sorted by: the strategy, untrained first, then the label with its numbers."""
    return (_rank(experiment.strategy), experiment.strategy, _natural(experiment.label))


def _labels(runs: Sequence[Run], among: Sequence[Run]) -> list[str]:
    """Of each run the strategy, and the settings in which runs of this strategy differ.

    A setting that some of `runs` do not have tells them apart too, and is named where it is set; unless it is
    missing because the model was evaluated away from its run folder, as those in `among` may be: then it
    tells nothing. What goes with a term of the loss is named where runs with the term differ in it; long
    values, such as lists of data sets, only where shorter ones leave two runs alike, but for the commonest.
    """
    by_strategy: dict[str, dict[str, list[str]]] = {}
    for run in among:
        of_strategy = by_strategy.setdefault(run.strategy, {})
        for key, value in run.settings.items():
            of_strategy.setdefault(key, []).append(value)
    labels = []
    for run in runs:
        rivals = [other for other in runs if other.strategy == run.strategy]
        values = by_strategy[run.strategy]
        differing = sorted(
            key
            for key in {key for other in rivals for key in other.settings} - {"strategy"}
            if len(set(values[key])) > 1 or (not key.startswith(OF_TERMS) and _set_in_some(key, rivals))
        )
        long = [key for key in differing if key != "model" and max(map(len, values[key])) > _LONG]
        short = [key for key in differing if key not in long]
        names = _short_names(short + [key for key in long if _needed(key, short, among)])
        left_out = {
            key: _commonest(values[key])
            for key in long
            if all(key in other.settings for other in _that_tell(key, rivals))
        }
        details = [
            _model_name(run, values["model"]) if key == "model" else f"{name}={_plain(run.settings[key])}"
            for key, name in names.items()
            if key in run.settings and run.settings[key] != left_out.get(key)
        ]
        labels.append(f"{run.strategy} ({', '.join(details)})" if details else run.strategy)
    return labels


def _plain(value: str) -> str:
    """A list of names as it is written on a command line."""
    return value.replace('"', "") if value.startswith("[") else value


def _set_in_some(key: str, runs: Sequence[Run]) -> bool:
    return len({key in run.settings for run in _that_tell(key, runs)}) > 1


def _that_tell(key: str, runs: Sequence[Run]) -> list[Run]:
    """The runs without those whose configuration is not there, if the setting is a part of it."""
    return [run for run in runs if "." not in key or run.config]


def _needed(key: str, others: Sequence[str], runs: Sequence[Run]) -> bool:
    """Whether a setting tells two runs apart that agree in all others."""
    found: dict[tuple[str | None, ...], set[str | None]] = {}
    for run in runs:
        same = (run.strategy, *(run.settings.get(other) for other in others))
        found.setdefault(same, set()).add(run.settings.get(key))
    return any(len(values) > 1 for values in found.values())


def _commonest(values: Sequence[str]) -> str:
    return max(sorted(set(values)), key=values.count)


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Of each dotted key the fewest last parts that no other key ends with."""
    names = {}
    for key in keys:
        parts = key.split(".")
        tails = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        rivals = [other for other in keys if other != key]
        names[key] = next(
            (tail for tail in tails if not any(f".{other}".endswith(f".{tail}") for other in rivals)), key
        )
    return names


def _model_name(run: Run, models: Collection[str]) -> str:
    """The last part of the model's path, where that tells it from the others."""
    name = Path(run.model).name
    return name if [Path(other).name for other in models].count(name) == 1 else run.model


def _rank(strategy: str) -> int:
    return STRATEGY_ORDER.index(strategy) if strategy in STRATEGY_ORDER else len(STRATEGY_ORDER)


def _natural(label: str) -> tuple[tuple[int, float, str], ...]:
    """Sorts alpha=0.25 before alpha=0.5 and 2 before 10."""

    def part(text: str) -> tuple[int, float, str]:
        try:
            return (0, float(text), "")
        except ValueError:
            return (1, 0.0, text)

    return tuple(part(text) for text in label.replace("=", " ").replace(",", " ").replace(")", " ").split())
