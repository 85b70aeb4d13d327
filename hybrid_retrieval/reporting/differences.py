"""Which differences between experiments are significant: paired tests over queries, and their wording."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.significance import bootstrap_interval, holm, paired_randomisation_test
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.per_query import MEASURES, PerQuery, read_per_query
from hybrid_retrieval.reporting.runs import UNTRAINED
from hybrid_retrieval.reporting.statistics import (
    RANK_DISTANCE,
    RANK_DISTANCE_COLUMN,
    SETTING_WORDS,
    Column,
    metric_name,
    summary,
)

SIGNIFICANCE_LEVEL = 0.05
SAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """One tested difference: experiment minus baseline, macro-averaged over languages.

    Attributes:
        measure: one of `MEASURES`: the metric in a setting, or rank distance.
        metric: a key of metrics.json such as "map"; "rank_distance" where that is the measure.
        difference: mean difference; in the metric's unit (0 to 1), or ranks.
        low, high: ends of the 95 % bootstrap interval, not corrected for the number of comparisons.
        p: two-sided p of the paired randomisation test.
        adjusted_p: p after Holm's correction over all the differences tested together.
        seed_error: standard error of the difference over seeds; None if an experiment has one seed only.
    """

    experiment: str
    baseline: str
    measure: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    seed_error: float | None

    @property
    def significant(self) -> bool:
        """Whether the queries are enough to tell the experiments apart."""
        return self.adjusted_p < SIGNIFICANCE_LEVEL

    @property
    def within_seed_spread(self) -> bool:
        """Whether other seeds could undo the difference: it is below two standard errors over seeds."""
        return self.seed_error is not None and abs(self.difference) < 2 * self.seed_error

    @property
    def better(self) -> bool:
        """Whether the difference is in the direction wanted: a higher metric, a lower rank distance."""
        return self.difference < 0 if self.measure == RANK_DISTANCE else self.difference > 0


def choose_pairs(experiments: Sequence[Experiment], baseline: str) -> list[tuple[Experiment, Experiment]]:
    """The comparisons to make: each experiment with its baseline, and hybrid with its cross-lingual parent.

    The baseline of an experiment shares its recipe (backbone, data, steps, ...). The untrained backbone is
    compared with a baseline trained from it.

    Raises:
        UserError: no experiment has the baseline strategy.
    """
    strategies = [e.strategy for e in experiments]
    if baseline not in strategies:
        if baseline != "x_x_mono":
            raise UserError(
                f"baseline={baseline}: no run of it. The strategies found are {', '.join(strategies)}."
            )
        trained = [strategy for strategy in strategies if strategy != UNTRAINED]
        baseline = trained[0] if trained else UNTRAINED
    pairs = []
    for experiment in experiments:
        rival = partner(experiment, experiments, baseline)
        if experiment.strategy != baseline and rival is not None:
            pairs.append((experiment, rival))
        if experiment.strategy == "hybrid" and baseline != "x_y":
            parent = partner(experiment, experiments, "x_y")
            if parent is not None:
                pairs.append((experiment, parent))
    return pairs


def paired_differences(
    pairs: Sequence[tuple[Experiment, Experiment]], metric: str, *, samples: int = SAMPLES, seed: int = 0
) -> list[Difference]:
    """Test every pair on a metric in each setting and on rank distance.

    A query's value is its mean over the experiment's seeds. The translations of one question rise and fall
    together, so the unit of the test is the question with all its translations, weighted so that the mean
    over units is the macro average over languages. Holm's correction runs over all the tests of the call.

    Args:
        pairs: (experiment, baseline); runs without per_query.parquet are left out.
        metric: a key of metrics.json; "map" is the average precision of each query.
        samples: random sign flips and bootstrap samples.
        seed: of both.

    Raises:
        UserError: two runs hold different queries.
    """
    tables: dict[str, PerQuery] = {}
    for experiment in {e.label: e for pair in pairs for e in pair}.values():
        table = read_per_query(experiment.runs, metric)
        if table is not None:
            tables[experiment.label] = table
    tested: list[tuple[str, str, str, str, float, float, float, float]] = []
    for experiment, rival in pairs:
        if experiment.label not in tables or rival.label not in tables:
            continue
        ours, theirs = tables[experiment.label], tables[rival.label]
        if not np.array_equal(ours.query, theirs.query):
            raise UserError(
                f"{experiment.runs[0].folder} and {rival.runs[0].folder} hold different queries in "
                "per_query.parquet. Evaluate both on the same benchmark."
            )
        for measure in MEASURES:
            units = unit_differences(ours, theirs, measure)
            if not len(units):
                continue
            none = np.zeros_like(units)
            p = paired_randomisation_test(units, none, resamples=samples, seed=seed)
            low, high = bootstrap_interval(units, none, resamples=samples, seed=seed)
            name = RANK_DISTANCE if measure == RANK_DISTANCE else metric
            tested.append((experiment.label, rival.label, measure, name, float(units.mean()), low, high, p))
    if not tested:
        return []
    adjusted = holm(np.array([row[-1] for row in tested]))
    by_label = {e.label: e for pair in pairs for e in pair}
    return [
        Difference(*row, float(p), _seed_error(by_label[row[0]], by_label[row[1]], row[2], row[3]))
        for row, p in zip(tested, adjusted, strict=True)
    ]


def unit_differences(ours: PerQuery, theirs: PerQuery, measure: str) -> NDArray[np.float64]:
    """Differences per question, (questions,) float64, with the macro average over languages as their mean."""
    difference = ours.values[measure] - theirs.values[measure]
    defined = np.isfinite(difference)
    if not defined.any():
        return np.empty(0)
    _, language = np.unique(ours.language[defined], return_inverse=True)
    _, unit = np.unique(ours.group[defined], return_inverse=True)
    queries = np.bincount(language)
    weighted = difference[defined] / (len(queries) * queries[language])
    sums = np.bincount(unit, weights=weighted)
    return np.asarray(sums * len(sums), dtype=np.float64)


def verdict(d: Difference) -> str:
    """What the tests say, in words."""
    if not d.significant:
        return "not significant"
    told = f"significantly {'better' if d.better else 'worse'}"
    return f"{told} on these queries, but within the spread of seeds" if d.within_seed_spread else told


def words(d: Difference) -> str:
    """One line, for instance "hybrid vs x_x_mono, cross-lingual mAP: +0.0310, significantly better (...)"."""
    interval = f"95 % interval {format_change(d, d.low)} to {format_change(d, d.high)}"
    return (
        f"{d.experiment} vs {d.baseline}, {measure_words(d)}: {format_change(d, d.difference)}, {verdict(d)} "
        f"({interval}; {p_words(d.adjusted_p)} after Holm)"
    )


def measure_words(d: Difference) -> str:
    """What was compared: "cross-lingual mAP" or "rank distance"."""
    if d.measure == RANK_DISTANCE:
        return "rank distance"
    return f"{SETTING_WORDS[d.measure]} {metric_name(d.metric)}"


def format_change(d: Difference, change: float) -> str:
    """A change with its sign, in the digits of the measure."""
    return f"{change:+.1f}" if d.measure == RANK_DISTANCE else f"{change:+.4f}"


def p_words(p: float) -> str:
    """A p-value as it is written: "p < 0.001" or "p = 0.032"."""
    if math.isnan(p):
        return "p undefined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def partner(experiment: Experiment, experiments: Sequence[Experiment], strategy: str) -> Experiment | None:
    """The experiment of another strategy to compare with: the only one, or the one of equal recipe."""
    rivals = [e for e in experiments if e.strategy == strategy]
    if len(rivals) <= 1:
        return rivals[0] if rivals else None
    if experiment.strategy == UNTRAINED:
        same = [r for r in rivals if r.recipe().get("backbone") == experiment.runs[0].model]
    else:
        same = [r for r in rivals if r.recipe() == experiment.recipe()]
    return same[0] if len(same) == 1 else None


def _seed_error(ours: Experiment, theirs: Experiment, measure: str, metric: str) -> float | None:
    column = RANK_DISTANCE_COLUMN if measure == RANK_DISTANCE else Column(measure, metric)
    variance = 0.0
    for experiment in (ours, theirs):
        if experiment.strategy == UNTRAINED:
            continue
        found = summary(experiment, column)
        if found is None or found.std is None:
            return None
        variance += found.std**2 / found.n
    return math.sqrt(variance)
