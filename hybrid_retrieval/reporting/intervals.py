"""How sure the values of single languages are: bootstrap intervals over questions, from per-query results."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_retrieval.evaluation.significance import bootstrap
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.per_query import PerQuery, macro_units, read_per_query

RESAMPLES = 2_000


@dataclass(frozen=True)
class Interval:
    """A mean over questions, the ends of its 95 % percentile bootstrap interval, and how many questions."""

    mean: float
    low: float
    high: float
    questions: int


Key = tuple[str, Column]
"""Label of an experiment, and what was measured."""


class Tables:
    """Per-query results of the experiments that have them, averaged over seeds, and intervals from them.

    Every interval of one call is from the same resamples, so that differences are paired.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.columns = shown_columns(comparison)
        read = {e.label: read_per_query(e.runs, self.columns) for e in comparison.experiments}
        self.tables = {label: table for label, table in read.items() if table is not None}

    def of_language(self, code: str) -> dict[Key, Interval]:
        """Every experiment and column for the queries of one language."""
        return self.of({label: {code} for label in self.tables})

    def of(self, languages: Mapping[str, Collection[str]]) -> dict[Key, Interval]:
        """Macro averages over the languages given for each experiment's label."""
        units = {
            (label, column): self._units(self.tables[label], column, codes)
            for label, codes in languages.items()
            if label in self.tables
            for column in self.columns
            if column in self.tables[label].values
        }
        return _intervals(units)

    def changes(self, code: str, baseline: Experiment) -> dict[Key, Interval]:
        """Differences to the baseline for the queries of one language, question by question."""
        theirs = self.tables.get(baseline.label)
        units: dict[Key, NDArray[np.float64]] = {}
        for label, ours in self.tables.items():
            if theirs is None or label == baseline.label or not np.array_equal(ours.query, theirs.query):
                continue
            for column in self.columns:
                if column in ours.values and column in theirs.values:
                    difference = ours.values[column] - theirs.values[column]
                    units[label, column] = macro_units(difference, ours, _of(ours, {code}))
        return _intervals(units)

    def _units(self, table: PerQuery, column: Column, codes: Collection[str]) -> NDArray[np.float64]:
        return macro_units(table.values[column], table, _of(table, codes))


def shown_columns(comparison: Comparison) -> list[Column]:
    """What is shown by language: the main metric in each setting, and rank distance."""
    return [*comparison.main, *(c for c in comparison.bias if c == RANK_DISTANCE_COLUMN)]


def _of(table: PerQuery, codes: Collection[str]) -> NDArray[np.bool_]:
    return np.isin(table.language, list(codes))


def _intervals(units: Mapping[Key, NDArray[np.float64]]) -> dict[Key, Interval]:
    found: dict[Key, Interval] = {}
    for length in sorted({len(of) for of in units.values()} - {0}):
        keys: Sequence[Key] = [key for key, of in units.items() if len(of) == length]
        matrix = np.stack([units[key] for key in keys], axis=1)
        drawn = bootstrap(matrix, resamples=RESAMPLES)
        means = matrix.mean(axis=0)
        for place, key in enumerate(keys):
            found[key] = Interval(
                float(means[place]), float(drawn.low[place]), float(drawn.high[place]), length
            )
    return found
