"""Tested differences in words."""

import math

from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.differences import Difference

_EFFECTS = ((0.2, "very small"), (0.5, "small"), (0.8, "medium"))


def verdict(d: Difference) -> str:
    """What the tests say, for instance "significantly better"."""
    doubt = (
        "" if d.tests_agree else f", though the bootstrap test disagrees ({p_words(d.adjusted_bootstrap_p)})"
    )
    if not d.significant:
        return f"not significant{doubt}"
    told = f"significantly {'better' if d.better else 'worse'}{doubt}"
    return f"{told} on these queries, but within the spread of seeds" if d.within_seed_spread else told


def words(d: Difference) -> str:
    """One line, for instance "hybrid vs x_x_mono, cross-lingual mAP: +0.0310, significantly better (...)"."""
    interval = f"95 % interval {format_change(d, d.low)} to {format_change(d, d.high)}"
    direction = " (lower is better)" if d.column.higher_is_better is False else ""
    return (
        f"{d.experiment} vs {d.baseline}, {d.column.words}: {format_change(d, d.difference)}{direction}, "
        f"{verdict(d)} ({interval}; {p_words(d.adjusted_p)} after Holm; {effect_words(d)}; {count_words(d)})"
    )


def format_change(d: Difference, change: float) -> str:
    """A change with its sign, in one digit more than the column has; ranks in the column's."""
    return signed(d.column, change)


def signed(column: Column, change: float) -> str:
    """A change of the column with its sign, in as many digits as `format_change` gives."""
    return f"{change:+.{column.digits if column.digits == 1 else column.digits + 1}f}"


def p_words(p: float) -> str:
    """A p-value as it is written: "p < 0.001" or "p = 0.032"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def effect_words(d: Difference) -> str:
    """Cohen's d_z with his name for its size: "d_z +0.31, small"."""
    if math.isnan(d.effect_size):
        return "d_z undefined"
    size = next((name for bound, name in _EFFECTS if abs(d.effect_size) < bound), "large")
    return f"d_z {d.effect_size:+.2f}, {size}"


def count_words(d: Difference) -> str:
    """Shares of questions: "1,190 questions: 54 % better, 40 % worse, 6 % equal"."""
    better, worse, equal = (f"{100 * count / d.units:.0f} %" for count in (d.wins, d.losses, d.ties))
    return f"{d.units:,} questions: {better} better, {worse} worse, {equal} equal"
