"""The comparison as CSV for other programs: all metrics, and all tests."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence

from hybrid_retrieval.reporting.columns import LANGUAGE_BIAS, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.runs import SETTINGS
from hybrid_retrieval.reporting.statistics import summary

CSV_HEADER = ("benchmark", "strategy", "experiment", "setting", "metric", "mean", "std", "n")
DIFFERENCES_HEADER = (
    "benchmark", "experiment", "baseline", "setting", "metric", "higher_is_better", "difference", "low",
    "high", "p_randomisation", "p_bootstrap", "adjusted_p_randomisation", "adjusted_p_bootstrap",
    "significant", "d_z", "units", "wins", "losses", "ties", "seed_error", "within_seed_spread",
)  # fmt: skip


def csv_table(comparisons: Sequence[Comparison]) -> str:
    """One row per (benchmark, experiment, setting, metric): mean, standard deviation over seeds, runs."""
    return _csv(CSV_HEADER, (row for comparison in comparisons for row in _means(comparison)))


def differences_csv(comparisons: Sequence[Comparison]) -> str:
    """One row a test.

    `low` and `high` are the ends of the 95 % bootstrap interval; the adjusted p-values are those after Holm's
    correction over all rows; `wins`, `losses` and `ties` count units (questions) on which the experiment is
    better, worse or equal; `seed_error` is the standard error of the difference over seeds, empty with one.
    """
    return _csv(DIFFERENCES_HEADER, (row for comparison in comparisons for row in _tests(comparison)))


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _means(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for e in comparison.experiments:
        for setting in (*SETTINGS, LANGUAGE_BIAS):
            for metric in e.runs[0].metrics[setting]:
                found = summary(e, Column(setting, metric))
                if found is not None:
                    yield (
                        comparison.title, e.strategy, e.label, setting, metric,
                        repr(found.mean), "" if found.std is None else repr(found.std), found.n,
                    )  # fmt: skip


def _tests(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for d in comparison.differences:
        yield (
            comparison.title, d.experiment, d.baseline, d.column.setting, d.column.metric,
            _truth(bool(d.column.higher_is_better)), repr(d.difference), repr(d.low), repr(d.high),
            repr(d.p), repr(d.bootstrap_p), repr(d.adjusted_p), repr(d.adjusted_bootstrap_p),
            _truth(d.significant), "" if math.isnan(d.effect_size) else repr(d.effect_size),
            d.units, d.wins, d.losses, d.ties, "" if d.seed_error is None else repr(d.seed_error),
            "" if d.seed_error is None else _truth(d.within_seed_spread),
        )  # fmt: skip


def _truth(value: bool) -> str:
    return "true" if value else "false"
