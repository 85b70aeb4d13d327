"""Mean and spread over seeds, and the columns of the comparison table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.runs import SETTINGS, Run

LANGUAGE_BIAS = "language_bias"
RANK_DISTANCE = "rank_distance"
SETTING_NAMES = {
    "monolingual": "Mo",
    "cross_lingual": "Cr",
    "multilingual": "Mul",
    LANGUAGE_BIAS: "language bias",
}
SETTING_WORDS = {
    "monolingual": "monolingual",
    "cross_lingual": "cross-lingual",
    "multilingual": "multilingual",
}


@dataclass(frozen=True)
class Summary:
    """Mean over seeds, and their sample standard deviation (n - 1 in the denominator; None for one seed)."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Column:
    """One measured column: where metrics.json holds it and how it reads.

    Attributes:
        setting: a key of metrics.json: one of `SETTINGS` or "language_bias".
        metric: a key of that setting.
        higher_is_better: direction of the metric.
        digits: decimals shown.
    """

    setting: str
    metric: str
    higher_is_better: bool = True
    digits: int = 3

    @property
    def title(self) -> str:
        """Heading of the column."""
        if self.metric == RANK_DISTANCE:
            return "Rank distance"
        return f"{metric_name(self.metric)} {SETTING_NAMES[self.setting]}"

    def format(self, value: float) -> str:
        """The value with the column's decimals; "n/a" for NaN."""
        return f"{value:.{self.digits}f}" if math.isfinite(value) else "n/a"


RANK_DISTANCE_COLUMN = Column(LANGUAGE_BIAS, RANK_DISTANCE, higher_is_better=False, digits=1)


def metric_name(metric: str) -> str:
    """The usual spelling: "map" is "mAP", "recall@1" is "R@1"."""
    name, _, cutoff = metric.partition("@")
    spelling = {"map": "mAP", "recall": "R", "ndcg": "nDCG", "mrr": "MRR"}.get(name, name)
    return f"{spelling}@{cutoff}" if cutoff else spelling


def table_columns(metric: str) -> list[Column]:
    """The metric in the three settings, R@1 and R@10 for queries in one language, and rank distance.

    Multilingual R@1 is left out: with one relevant candidate in each of n languages it is at most 1 / n.
    """
    columns = [Column(setting, metric) for setting in SETTINGS]
    for recall in ("recall@1", "recall@10"):
        columns += [Column(setting, recall) for setting in SETTINGS[:2] if recall != metric]
    return [*columns, RANK_DISTANCE_COLUMN]


def check_metric(runs: Sequence[Run], metric: str) -> None:
    """Raise UserError unless every run has the metric in every setting."""
    for run in runs:
        for setting in SETTINGS:
            if metric not in run.metrics[setting]:
                known = ", ".join(sorted(run.metrics[setting]))
                raise UserError(
                    f"metric={metric}: {run.folder}/metrics.json has no such metric. It has: {known}."
                )


def value(run: Run, column: Column) -> float | None:
    """The column's value for one run; None where metrics.json does not hold it."""
    found = run.metrics[column.setting].get(column.metric)
    return None if found is None else float(found)


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation of at least one value."""
    array = np.asarray(values, dtype=np.float64)
    return Summary(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


def summary(experiment: Experiment, column: Column) -> Summary | None:
    """The column over the experiment's seeds; None unless every run holds it."""
    values = [value(run, column) for run in experiment.runs]
    present = [found for found in values if found is not None]
    return summarise(present) if len(present) == len(values) else None


def leaders(experiments: Sequence[Experiment], column: Column) -> list[Experiment]:
    """The experiments with the best mean: several where the shown digits are equal, none without values."""
    means = {
        e: s.mean for e in experiments if (s := summary(e, column)) is not None and math.isfinite(s.mean)
    }
    if not means:
        return []
    top = (max if column.higher_is_better else min)(means.values())
    return [e for e, mean in means.items() if column.format(mean) == column.format(top)]


def best(experiments: Sequence[Experiment], column: Column) -> set[str]:
    """Labels of the leaders, to be marked in a table; none where nothing is beaten."""
    found = leaders(experiments, column)
    return {e.label for e in found} if len(found) < len(experiments) else set()
