"""Experiments as marks of a chart."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.columns import Column, value
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.palette import style
from hybrid_retrieval.reporting.statistics import summarise_all
from hybrid_retrieval.reporting.svg import Mark


def experiment_mark(comparison: Comparison, experiment: Experiment, column: Column) -> Mark:
    """An experiment in one column."""
    return seeds_mark(comparison, experiment, [value(run, column) for run in experiment.runs])


def seeds_mark(comparison: Comparison, experiment: Experiment, values: Sequence[float | None]) -> Mark:
    """An experiment with the values of its seeds; without a mean unless every seed has one."""
    found = summarise_all(values)
    mean, std = (found.mean, found.std) if found is not None else (None, None)
    points = tuple(v for v in values if v is not None)
    return Mark(experiment.label, style(comparison, experiment), mean, std, points)
