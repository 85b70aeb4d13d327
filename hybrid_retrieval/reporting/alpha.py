"""What changes with alpha, the probability of a monolingual batch, and where the trade-off bends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column, value
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import ENDS, Experiment, constant_alpha
from hybrid_retrieval.reporting.runs import Run
from hybrid_retrieval.reporting.statistics import summarise_all, summary

LEAST_VALUES = 5
"""Values of alpha below which no bend is told."""


@dataclass(frozen=True)
class AlphaSweep:
    """Hybrid experiments that differ in alpha alone, and the strategies that are its ends.

    Attributes:
        curve: (alpha, experiment), ascending; x_y or x_x_mono where hybrid lacks alpha 0 or 1.
        ends: (alpha, experiment) of x_y and x_x_mono, whether or not they are in the curve.
        title: what tells this sweep from others of the comparison; "" for the only one.
    """

    curve: tuple[tuple[float, Experiment], ...]
    ends: tuple[tuple[float, Experiment], ...]
    title: str = ""


@dataclass(frozen=True)
class Bend:
    """The alpha that gives up least: the point of the trade-off farthest beyond the line between its ends.

    Attributes:
        alpha: where it is; None where it cannot be told.
        excess: share of the gain kept plus share of the cost saved, less the 1 of the straight line between
            the ends; NaN where it cannot be told.
        error: standard error of `excess` over seeds; None with one seed.
        words: the finding in one sentence.
    """

    alpha: float | None
    excess: float
    error: float | None
    words: str


def alpha_sweeps(comparison: Comparison) -> list[AlphaSweep]:
    """One sweep for each recipe (backbone, data, steps, ...) with three places on the axis or more.

    Experiments with a scheduled alpha have no place on the axis and are left out.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Experiment]] = {}
    for e in comparison.experiments:
        if e.strategy == "hybrid" or e.strategy in ENDS:
            groups.setdefault(tuple(sorted(e.recipe().items())), []).append(e)
    differing = _differing([dict(key) for key in groups])
    sweeps = []
    for key, members in groups.items():
        hybrids = {a: e for e in members if e.strategy == "hybrid" and (a := constant_alpha(e)) is not None}
        ends = tuple((ENDS[e.strategy], e) for e in members if e.strategy in ENDS)
        curve = {**dict(ends), **hybrids}
        if hybrids and len(curve) > 2:
            title = ", ".join(f"{name.rpartition('.')[2]}={dict(key).get(name)}" for name in differing)
            sweeps.append(AlphaSweep(tuple(sorted(curve.items(), key=lambda of: of[0])), ends, title))
    return sweeps


def trade_offs(comparison: Comparison) -> list[tuple[Column, Column]]:
    """What monolingual batches buy, and what they may cost: pairs of columns that this comparison has."""
    found = {column.setting: column for column in comparison.main}
    if "monolingual" not in found:
        return []
    costs = [found["multilingual"]] if "multilingual" in found else []
    costs += [c for c in comparison.bias if c == RANK_DISTANCE_COLUMN]
    return [(found["monolingual"], cost) for cost in costs]


def bend(sweep: AlphaSweep, gain: Column, cost: Column) -> Bend:
    """Where the curve of `cost` against `gain` bends.

    Both are scaled so that the ends of the curve (the least and the greatest alpha) differ by 1. A straight
    line joins the ends; the bend is the point farthest beyond it, on the better side. It is told only with
    five values of alpha or more, and where the ends do trade one for the other.

    Args:
        sweep: the experiments.
        gain: what a greater alpha should raise, such as the monolingual metric.
        cost: what it may spoil, such as the multilingual metric or the rank distance.
    """
    name = f"{gain.words} and {cost.words}"
    if len(sweep.curve) < LEAST_VALUES:
        return Bend(
            None, math.nan, None,
            f"Where the trade-off between {name} bends cannot be told from {len(sweep.curve)} values of "
            f"alpha; at least {LEAST_VALUES} are needed.",
        )  # fmt: skip
    points = [(alpha, _value(e, gain), _value(e, cost)) for alpha, e in sweep.curve]
    if any(x is None or y is None for _, x, y in points):
        return Bend(None, math.nan, None, f"The trade-off between {name} was not measured at every alpha.")
    known = [(alpha, float(x or 0), float(y or 0)) for alpha, x, y in points]
    (_, x0, y0), (_, x1, y1) = known[0], known[-1]
    if x1 <= x0 or y0 <= y1:
        return Bend(None, math.nan, None, _no_trade(sweep, gain, cost))
    kept = [(alpha, (x - x0) / (x1 - x0), (y - y1) / (y0 - y1)) for alpha, x, y in known]
    best = max(kept[1:-1], key=lambda of: of[1] + of[2])
    excess = best[1] + best[2] - 1
    error = _error(sweep, best[0], gain, cost)
    return Bend(best[0], excess, error, _words(best, (gain, cost), (known[-1][0], known[0][0]), error))


def _words(
    best: tuple[float, float, float],
    columns: tuple[Column, Column],
    ends: tuple[float, float],
    error: float | None,
) -> str:
    alpha, *kept = best
    excess = sum(kept) - 1
    name = " and ".join(column.words for column in columns)
    if excess <= 0:
        return (
            f"The trade-off between {name} does not bend outwards: no alpha is better than the straight line "
            "between the ends."
        )
    parts = " and ".join(
        f"{share:.0%} of what alpha = {end:g} gains in {column.words}"
        for share, end, column in zip(kept, ends, columns, strict=True)
    )
    told = (
        f"The trade-off between {name} bends at alpha = {alpha:g}: it keeps {parts}, together "
        f"{100 * excess:.0f} points more than the straight line between the ends"
    )
    if error is None:
        return f"{told}. With one seed it is not known whether another seed would move it."
    if excess < 2 * error:
        return f"{told}. That is within the spread of seeds (standard error {100 * error:.1f} points)."
    return f"{told} (standard error over seeds {100 * error:.1f} points)."


def _no_trade(sweep: AlphaSweep, gain: Column, cost: Column) -> str:
    def best_at(column: Column) -> float:
        return max(sweep.curve, key=lambda of: _value(of[1], column) or -math.inf)[0]

    return (
        f"The ends do not trade {gain.words} for {cost.words} here, so there is no bend: {gain.words} is "
        f"best at alpha = {best_at(gain):g}, {cost.words} at alpha = {best_at(cost):g}."
    )


def _value(experiment: Experiment, column: Column) -> float | None:
    """The mean, with the sign that makes higher better."""
    found = summary(experiment, column)
    if found is None:
        return None
    return -found.mean if column.higher_is_better is False else found.mean


def _error(sweep: AlphaSweep, alpha: float, gain: Column, cost: Column) -> float | None:
    """Standard error over seeds of the excess, each seed with its own ends; None below two common seeds."""
    places = (sweep.curve[0][1], dict(sweep.curve)[alpha], sweep.curve[-1][1])
    x0, _, x1 = (_value(e, gain) or 0.0 for e in places)
    y0, _, y1 = (_value(e, cost) or 0.0 for e in places)
    sums = []
    for seed in sorted(set.intersection(*(set(e.seeds) for e in places))):
        first, middle, last = (next(run for run in e.runs if run.seed == seed) for e in places)
        sums.append(
            (_signed(middle, gain) - _signed(first, gain)) / (x1 - x0)
            + (_signed(middle, cost) - _signed(last, cost)) / (y0 - y1)
        )
    found = summarise_all(sums)
    return None if found is None or found.std is None else found.std / math.sqrt(found.n)


def _signed(run: Run, column: Column) -> float:
    found = value(run, column)
    return math.nan if found is None else -found if column.higher_is_better is False else found


def _differing(recipes: Sequence[dict[str, str]]) -> list[str]:
    keys = sorted({key for recipe in recipes for key in recipe})
    return [key for key in keys if len({recipe.get(key) for recipe in recipes}) > 1]
