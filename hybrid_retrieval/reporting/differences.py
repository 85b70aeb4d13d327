"""Which differences between experiments are significant: paired tests over questions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.significance import bootstrap, effect_size, holm, randomisation_test
from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.experiments import ENDS, Experiment, constant_alpha
from hybrid_retrieval.reporting.per_query import PerQuery, macro_units, read_per_query
from hybrid_retrieval.reporting.runs import UNTRAINED, Run
from hybrid_retrieval.reporting.statistics import summary

SIGNIFICANCE_LEVEL = 0.05
DEFAULT_BASELINE = "x_x_mono"
_SAMPLES, _SAMPLES_A_TEST = 10_000, 100
_TIE = 1e-12


@dataclass(frozen=True)
class Difference:
    """One tested difference: experiment minus baseline, macro-averaged over languages.

    Attributes:
        column: what was compared.
        difference: mean difference, in the unit of the column.
        low, high: ends of the 95 % bootstrap interval, not corrected for the number of comparisons.
        p, bootstrap_p: two-sided p of the paired randomisation test and of the bootstrap test.
        adjusted_p, adjusted_bootstrap_p: after Holm's correction over all the differences tested together.
        effect_size: Cohen's d_z over questions; NaN where all differences are equal.
        units: number of questions; a question and its translations are one.
        units_higher, units_lower: on how many of them the experiment has the higher or the lower value.
        seed_error: standard error of the difference over seeds; None if an experiment has one seed only.
    """

    experiment: str
    baseline: str
    column: Column
    difference: float
    low: float
    high: float
    p: float
    bootstrap_p: float
    adjusted_p: float
    adjusted_bootstrap_p: float
    effect_size: float
    units: int
    units_higher: int
    units_lower: int
    seed_error: float | None

    @property
    def significant(self) -> bool:
        """Whether the questions are enough to tell the experiments apart, by the randomisation test."""
        return self.adjusted_p < SIGNIFICANCE_LEVEL

    @property
    def tests_agree(self) -> bool:
        """Whether the bootstrap test comes to the same verdict."""
        return self.significant == (self.adjusted_bootstrap_p < SIGNIFICANCE_LEVEL)

    @property
    def within_seed_spread(self) -> bool:
        """Whether other seeds could undo the difference: it is below two standard errors over seeds."""
        return self.seed_error is not None and abs(self.difference) < 2 * self.seed_error

    @property
    def better(self) -> bool:
        """Whether the difference is in the direction wanted: a higher metric, a lower rank distance."""
        return self.difference < 0 if self.column.higher_is_better is False else self.difference > 0

    @property
    def wins(self) -> int:
        """Questions on which the experiment is better."""
        return self.units_lower if self.column.higher_is_better is False else self.units_higher

    @property
    def losses(self) -> int:
        """Questions on which the experiment is worse."""
        return self.units_higher if self.column.higher_is_better is False else self.units_lower

    @property
    def ties(self) -> int:
        """Questions on which the two are equal."""
        return self.units - self.units_higher - self.units_lower


@dataclass(frozen=True)
class Pair:
    """Two experiments to be compared on one column.

    Attributes:
        units: float64 (questions,), differences whose mean is that of the macro averages over languages.
    """

    experiment: Experiment
    baseline: Experiment
    column: Column
    units: NDArray[np.float64]


def choose_pairs(experiments: Sequence[Experiment], baseline: str) -> list[tuple[Experiment, Experiment]]:
    """The comparisons to make: each experiment with its baseline, and hybrid with its cross-lingual parent.

    The baseline of an experiment shares its recipe (backbone, data, steps, ...). The untrained backbone is
    compared with a baseline trained from it. Hybrid with alpha 1 or 0 stands in for x_x_mono or x_y where it
    was not run, and the first trained strategy for a baseline that nothing else stands in for.
    """
    strategies = [e.strategy for e in experiments]
    if not _of_strategy(experiments, baseline):
        trained = [strategy for strategy in strategies if strategy != UNTRAINED]
        baseline = trained[0] if trained else UNTRAINED
    pairs = []
    for experiment in experiments:
        rival = partner(experiment, experiments, baseline)
        if experiment.strategy != baseline and rival is not None and rival is not experiment:
            pairs.append((experiment, rival))
        if experiment.strategy == "hybrid" and baseline != "x_y" and experiment is not rival:
            parent = partner(experiment, experiments, "x_y")
            if parent is not None and parent is not experiment:
                pairs.append((experiment, parent))
    return pairs


def pairs_with(experiments: Sequence[Experiment], run: Run) -> list[tuple[Experiment, Experiment]]:
    """Each experiment with the one that a run belongs to; none where that is not on the benchmark."""
    baseline = next((e for e in experiments if e.runs[0].settings == run.settings), None)
    return [(e, baseline) for e in experiments if baseline is not None and e is not baseline]


def paired_units(pairs: Sequence[tuple[Experiment, Experiment]], columns: Sequence[Column]) -> list[Pair]:
    """Differences per question of every pair in every column that both have per-query values of.

    A query's value is its mean over the experiment's seeds. The translations of one question rise and fall
    together, so the unit is the question with all its translations.

    Args:
        pairs: (experiment, baseline); runs without per_query.parquet are left out.
        columns: what to compare; those without a better direction are left out.

    Raises:
        UserError: two runs hold different queries.
    """
    directed = [c for c in columns if c.higher_is_better is not None]
    tables: dict[str, PerQuery] = {}
    for experiment in {e.label: e for pair in pairs for e in pair}.values():
        table = read_per_query(experiment.runs, directed)
        if table is not None:
            tables[experiment.label] = table
    found = []
    for experiment, rival in pairs:
        if experiment.label not in tables or rival.label not in tables:
            continue
        ours, theirs = tables[experiment.label], tables[rival.label]
        if not np.array_equal(ours.query, theirs.query):
            raise UserError(
                f"{experiment.runs[0].folder} and {rival.runs[0].folder} hold different queries in "
                "per_query.parquet. Evaluate both on the same benchmark."
            )
        for column in directed:
            if column in ours.values and column in theirs.values:
                units = unit_differences(ours, theirs, column)
                if len(units):
                    found.append(Pair(experiment, rival, column, units))
    return found


def unit_differences(ours: PerQuery, theirs: PerQuery, column: Column) -> NDArray[np.float64]:
    """Differences per question, (questions,) float64, whose mean is the difference of the macro averages.

    A cross-lingual value of a query is its mean over the other languages. Where some questions lack some
    languages (MLQA-R) this is not exactly the mean over pairs of languages that metrics.json holds.
    """
    return macro_units(ours.values[column] - theirs.values[column], ours)


def resamples_for(tests: int) -> int:
    """Resamples of each test: enough for the smallest p-value to stay small after Holm's correction."""
    return max(_SAMPLES, _SAMPLES_A_TEST * tests)


def run_tests(pairs: Sequence[Pair], *, seed: int = 0) -> list[Difference]:
    """Test every pair, in the order given; Holm's correction runs over all of them."""
    if not pairs:
        return []
    resamples = resamples_for(len(pairs))
    raw = np.empty((len(pairs), 5))
    for length in {len(pair.units) for pair in pairs}:
        rows = [row for row, pair in enumerate(pairs) if len(pair.units) == length]
        units = np.stack([pairs[row].units for row in rows], axis=1)
        drawn = bootstrap(units, resamples=resamples, seed=seed)
        p = randomisation_test(units, resamples=resamples, seed=seed)
        raw[rows] = np.stack([drawn.low, drawn.high, p, drawn.p, effect_size(units)], axis=1)
    adjusted, adjusted_bootstrap = holm(raw[:, 2]), holm(raw[:, 3])
    return [
        Difference(
            experiment=pair.experiment.label,
            baseline=pair.baseline.label,
            column=pair.column,
            difference=float(pair.units.mean()),
            low=float(low),
            high=float(high),
            p=float(p),
            bootstrap_p=float(bootstrap_p),
            adjusted_p=float(adjusted[row]),
            adjusted_bootstrap_p=float(adjusted_bootstrap[row]),
            effect_size=float(effect),
            units=len(pair.units),
            units_higher=int((pair.units > _TIE).sum()),
            units_lower=int((pair.units < -_TIE).sum()),
            seed_error=_seed_error(pair),
        )
        for row, (pair, (low, high, p, bootstrap_p, effect)) in enumerate(zip(pairs, raw, strict=True))
    ]


def partner(experiment: Experiment, experiments: Sequence[Experiment], strategy: str) -> Experiment | None:
    """The experiment of another strategy to compare with: the only one, or the one of equal recipe."""
    rivals = _of_strategy(experiments, strategy)
    if len(rivals) <= 1:
        return rivals[0] if rivals else None
    if experiment.strategy == UNTRAINED:
        same = [r for r in rivals if r.recipe().get("backbone") == experiment.runs[0].model]
    else:
        same = [r for r in rivals if r.recipe() == experiment.recipe()]
    return same[0] if len(same) == 1 else None


def _of_strategy(experiments: Sequence[Experiment], strategy: str) -> list[Experiment]:
    """Those of a strategy; where there are none, hybrid ones whose alpha gives the same batches."""
    found = [e for e in experiments if e.strategy == strategy]
    if found or strategy not in ENDS:
        return found
    return [e for e in experiments if e.strategy == "hybrid" and constant_alpha(e) == ENDS[strategy]]


def _seed_error(pair: Pair) -> float | None:
    variance = 0.0
    for experiment in (pair.experiment, pair.baseline):
        if experiment.strategy == UNTRAINED:
            continue
        found = summary(experiment, pair.column)
        if found is None or found.std is None:
            return None
        variance += found.std**2 / found.n
    return math.sqrt(variance)
