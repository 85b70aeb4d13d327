"""Mean and spread over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.reporting.columns import Column, language_value, value
from hybrid_retrieval.reporting.experiments import Experiment


@dataclass(frozen=True)
class Summary:
    """Mean over seeds, and their sample standard deviation (n - 1 in the denominator; None for one seed)."""

    mean: float
    std: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation of at least one value."""
    array = np.asarray(values, dtype=np.float64)
    return Summary(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


def summarise_all(values: Sequence[float | None]) -> Summary | None:
    """The values of an experiment's seeds; None unless every seed has one."""
    present = [v for v in values if v is not None and math.isfinite(v)]
    return summarise(present) if present and len(present) == len(values) else None


def summary(experiment: Experiment, column: Column) -> Summary | None:
    """The column over the experiment's seeds; None unless every run holds it."""
    return summarise_all([value(run, column) for run in experiment.runs])


def language_summary(experiment: Experiment, language: str, column: Column) -> Summary | None:
    """The column for the queries of one language, over seeds."""
    return summarise_all([language_value(run, language, column) for run in experiment.runs])


def leaders(experiments: Sequence[Experiment], column: Column) -> list[Experiment]:
    """The experiments with the best mean: several where the shown digits are equal.

    None without values, or where neither way is better.
    """
    means = {e: s.mean for e in experiments if (s := summary(e, column)) is not None}
    if not means or column.higher_is_better is None:
        return []
    top = (max if column.higher_is_better else min)(means.values())
    return [e for e, mean in means.items() if column.format(mean) == column.format(top)]


def best(experiments: Sequence[Experiment], column: Column) -> set[str]:
    """Labels of the leaders, to be marked in a table; none where nothing is beaten."""
    found = leaders(experiments, column)
    return {e.label for e in found} if len(found) < len(experiments) else set()
