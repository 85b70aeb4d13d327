"""The measured columns of a comparison: which there are, where metrics.json holds them, how they read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY, Measure
from hybrid_retrieval.reporting.runs import SETTINGS, Run

LANGUAGE_BIAS = "language_bias"
RANK_DISTANCE = "rank_distance"
DECOMPOSITION = tuple(key for key in BY_QUERY if key.startswith("top1_"))
"""The four kinds of candidate that can stand first; their shares of the queries sum to one."""
SETTING_NAMES = {"monolingual": "Mo", "cross_lingual": "Cr", "multilingual": "Mul"}
SETTING_WORDS = {
    "monolingual": "monolingual",
    "cross_lingual": "cross-lingual",
    "multilingual": "multilingual",
}
_SPELLING = {
    "map": "mAP", "recall": "R", "ndcg": "nDCG", "mrr": "MRR", "accuracy": "Accuracy", "f1": "F1",
}  # fmt: skip
_MAIN_METRICS = ("map", "ndcg@10", "accuracy", "map@20")
_FURTHER_METRICS = ("recall@1", "recall@10", "recall@100", "f1", "mrr@20")
_FURTHER_METRICS_SHOWN = 2


@dataclass(frozen=True)
class Column:
    """One measured column: where metrics.json holds it and how it reads.

    Attributes:
        setting: a key of metrics.json: one of `SETTINGS` or "language_bias".
        metric: a key of that setting.
        higher_is_better: direction of the metric; None where neither way is better.
        digits: decimals shown.
    """

    setting: str
    metric: str
    higher_is_better: bool | None = True
    digits: int = 3

    @property
    def is_bias(self) -> bool:
        """Whether it is a measure of language bias."""
        return self.setting == LANGUAGE_BIAS

    @property
    def title(self) -> str:
        """Heading of the column: "mAP Cr" or "Rank distance"."""
        if self.is_bias:
            return _measure(self.metric).title
        return f"{metric_name(self.metric)} {SETTING_NAMES[self.setting]}"

    @property
    def words(self) -> str:
        """The column within a sentence: "cross-lingual mAP" or "rank distance"."""
        if not self.is_bias:
            return f"{SETTING_WORDS[self.setting]} {metric_name(self.metric)}"
        name = not self.title[1:2].islower() or "@" in self.title
        return self.title if name else self.title[0].lower() + self.title[1:]

    @property
    def meaning(self) -> str:
        """What a measure of language bias tells, in one sentence; "" for other columns."""
        return _measure(self.metric).meaning if self.is_bias else ""

    @property
    def direction(self) -> str:
        """Which way is better, in words; "" where neither is."""
        if self.higher_is_better is None:
            return ""
        return "higher is better" if self.higher_is_better else "lower is better"

    def format(self, value: float) -> str:
        """The value with the column's decimals; "n/a" for NaN."""
        return f"{value:.{self.digits}f}" if math.isfinite(value) else "n/a"


def bias_column(key: str) -> Column:
    """The column of a measure of language bias."""
    better = {"higher": True, "lower": False, "neither": None}[_measure(key).better]
    return Column(LANGUAGE_BIAS, key, better, 1 if key == RANK_DISTANCE else 3)


def _measure(key: str) -> Measure:
    """How to read a measure; one that the catalogue does not know describes and does not judge."""
    return BY_QUERY.get(key) or Measure(key.replace("_", " "), "neither", "")


RANK_DISTANCE_COLUMN = bias_column(RANK_DISTANCE)


def metric_name(metric: str) -> str:
    """The usual spelling: "map" is "mAP", "recall@1" is "R@1"."""
    name, _, cutoff = metric.partition("@")
    spelled = _SPELLING.get(name, name)
    return f"{spelled}@{cutoff}" if cutoff else spelled


def value(run: Run, column: Column) -> float | None:
    """The column's value for one run; None where metrics.json does not hold it, or holds null."""
    found = run.metrics[column.setting].get(column.metric)
    return None if found is None else float(found)


def language_value(run: Run, language: str, column: Column) -> float | None:
    """The same for the queries of one language."""
    measured = run.metrics["per_language"].get(language, {})
    found = (measured if column.is_bias else measured.get(column.setting, {})).get(column.metric)
    return None if found is None else float(found)


def choose_metric(runs: Sequence[Run], wanted: str | None) -> str:
    """The metric of the main columns: the one wanted, or the benchmark's usual one.

    Raises:
        UserError: a run does not hold the metric, or no run holds any.
    """
    known = dict.fromkeys(key for run in runs for s in SETTINGS for key in run.metrics[s])
    if not known:
        raise UserError(f"{runs[0].folder}/metrics.json: no metric in any setting. Evaluate the model again.")
    usual = [key for key in (*_MAIN_METRICS, *known) if all(_holds(run, key) for run in runs)]
    metric = wanted or next(iter(usual), next(iter(known)))
    for run in runs:
        if not _holds(run, metric):
            own = ", ".join(sorted({key for s in SETTINGS for key in run.metrics[s]}))
            raise UserError(f"metric={metric}: {run.folder}/metrics.json has no such metric. It has: {own}.")
    return metric


def settings_with(runs: Sequence[Run], metric: str) -> tuple[str, ...]:
    """The settings in which some run has a value; without the pool's, if it is that of one language.

    Raises:
        UserError: one run has the metric in a setting in which another has not.
    """
    found = [s for s in SETTINGS if any(value(run, Column(s, metric)) is not None for run in runs)]
    for setting in found:
        for run in runs:
            if metric not in run.metrics[setting]:
                other = next(r for r in runs if metric in r.metrics[setting])
                raise UserError(
                    f"metric={metric}: {run.folder}/metrics.json has no such metric in the {setting} "
                    f"setting, {other.folder}/metrics.json has. Evaluate both with this version."
                )
    if len(runs[0].metrics["per_language"]) == 1 and "monolingual" in found:
        return ("monolingual",)
    return tuple(found)


def main_columns(runs: Sequence[Run], metric: str) -> list[Column]:
    """The metric in every setting that has it."""
    return [Column(setting, metric) for setting in settings_with(runs, metric)]


def further_columns(runs: Sequence[Run], metric: str) -> list[Column]:
    """Two more metrics at most, such as R@1 and R@10.

    Recall in the pool is left out where other settings have it: with one relevant candidate in each of n
    languages multilingual R@1 is at most 1 / n.
    """
    columns: list[Column] = []
    shown = 0
    for name in _FURTHER_METRICS:
        if name == metric or shown == _FURTHER_METRICS_SHOWN:
            continue
        held = all(_holds(run, name) for run in runs)
        settings = settings_with(runs, name) if held else ()
        apart = tuple(s for s in settings if s != "multilingual")
        chosen = apart if apart and name.startswith("recall") else settings
        columns += [Column(setting, name) for setting in chosen]
        shown += bool(chosen)
    return columns


def bias_columns(runs: Sequence[Run]) -> list[Column]:
    """Every measure of language bias that some run has a value of, in the order of the catalogue."""
    keys = dict.fromkeys(key for run in runs for key in run.metrics[LANGUAGE_BIAS])
    present = [key for key in keys if any(value(run, bias_column(key)) is not None for run in runs)]
    order = {key: place for place, key in enumerate(BY_QUERY)}
    return [bias_column(key) for key in sorted(present, key=lambda key: order.get(key, len(order)))]


def _holds(run: Run, metric: str) -> bool:
    return any(metric in run.metrics[setting] for setting in SETTINGS)
