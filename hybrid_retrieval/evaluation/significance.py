"""Are two models different on the same queries? Paired tests, intervals, effect sizes, Holm's correction.

Every function takes a matrix of differences, a row a unit and a column a comparison, so that many comparisons
share their random numbers. Translations of a question are not independent observations: let the question with
all its translations be the unit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_CELLS_AT_ONCE = 4 << 20
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Bootstrap:
    """What resampling says of the mean differences; each float64 (comparisons,).

    Attributes:
        low, high: ends of the percentile confidence interval.
        p: two-sided p-value of the hypothesis that the mean difference is zero.
    """

    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def randomisation_test(differences: np.ndarray, *, resamples: int = 10_000, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of the hypothesis that the two models are exchangeable within each unit.

    The statistic is the absolute mean difference; each resample flips the sign of each unit's difference with
    probability 1/2. All sign patterns are taken when there are at most `resamples` of them (the p-value is
    then exact); otherwise `resamples` random ones, and p = (1 + as extreme) / (1 + resamples).

    Args:
        differences: float (units, comparisons), one model's value minus the other's.
        resamples: how many random sign patterns.
        seed: the same seed gives the same p-values.

    Returns:
        float64 (comparisons,).

    Raises:
        ValueError: there are no units, or a value is not finite.

    Source: Smucker, Allan and Carterette, CIKM 2007; Fisher, The Design of Experiments, 1935.
    """
    values = _checked(differences)
    units = len(values)
    patterns = 2 ** min(units, 63)
    exact = patterns <= resamples
    observed = np.abs(values.sum(axis=0)) - _ROUNDING * np.abs(values).sum(axis=0)
    extreme = np.zeros(values.shape[1], dtype=np.int64)
    for signs in _all_signs(units) if exact else _random_signs(units, resamples, seed):
        extreme += (np.abs(signs @ values) >= observed).sum(axis=0)
    return extreme / patterns if exact else (extreme + 1) / (resamples + 1)


def bootstrap(
    differences: np.ndarray, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Bootstrap:
    """Percentile interval of the mean difference, and the bootstrap test of its being zero.

    Units are drawn with replacement. The test moves the differences to a mean of zero and counts the
    resamples whose mean is as far from zero as the one observed: p = (1 + as extreme) / (1 + resamples).

    Args:
        differences: float (units, comparisons), one model's value minus the other's.
        confidence: of the interval, in (0, 1).
        resamples: how many times the units are drawn.
        seed: the same seed gives the same numbers.

    Raises:
        ValueError: as in `randomisation_test`, or `confidence` is outside (0, 1).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.4; for
    retrieval Smucker, Allan and Carterette, CIKM 2007.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    values = _checked(differences)
    means = np.concatenate([counts @ values / len(values) for counts in _draws(len(values), resamples, seed)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    observed = values.mean(axis=0)
    reached = np.abs(observed) - _ROUNDING * np.abs(values).mean(axis=0)
    extreme = (np.abs(means - observed) >= reached).sum(axis=0)
    return Bootstrap(low, high, (extreme + 1) / (resamples + 1))


def effect_size(differences: np.ndarray) -> np.ndarray:
    """Cohen's d_z: the mean of the paired differences over their sample standard deviation.

    Args:
        differences: float (units, comparisons), one model's value minus the other's.

    Returns:
        float64 (comparisons,); NaN where there is one unit, or all differences are equal.

    Raises:
        ValueError: as in `randomisation_test`.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.3.5.
    """
    values = _checked(differences)
    mean = values.mean(axis=0)
    if len(values) < 2:
        return np.full_like(mean, np.nan)
    spread = values.std(axis=0, ddof=1)
    spread[spread <= _ROUNDING * np.abs(mean)] = np.nan
    return np.asarray(mean / spread)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of p-values; float64, in the order given.

    The i-th smallest of m becomes the greatest of (m - j + 1) p_j over j <= i, and at most 1. Rejecting
    those below 0.05 keeps the probability of any false rejection below 0.05.

    Raises:
        ValueError: a p-value lies outside [0, 1].

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def _checked(differences: np.ndarray) -> np.ndarray:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"differences must have shape (units, comparisons), not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a difference is NaN or infinite: leave out the units that a metric does not score")
    return values


def _chunks(rows: int, columns: int) -> Iterator[int]:
    """Split a number of rows so that no part has many more than _CELLS_AT_ONCE cells."""
    at_once = max(1, _CELLS_AT_ONCE // max(1, columns))
    for start in range(0, rows, at_once):
        yield min(at_once, rows - start)


def _all_signs(units: int) -> Iterator[np.ndarray]:
    """Every pattern of signs; float64 (some, units)."""
    bits, start = np.arange(units), 0
    for count in _chunks(2**units, units):
        patterns = np.arange(start, start + count)[:, None]
        yield 1.0 - 2.0 * ((patterns >> bits) & 1)
        start += count


def _random_signs(units: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Random signs; float64 (some, units)."""
    generator = np.random.default_rng(seed)
    for count in _chunks(rows, units):
        packed = generator.integers(0, 256, size=(count, -(-units // 8)), dtype=np.uint8)
        yield 1.0 - 2.0 * np.unpackbits(packed, axis=1, count=units)


def _draws(units: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn in as many draws as there are units; float64 (some, units)."""
    generator = np.random.default_rng(seed)
    for count in _chunks(rows, units):
        drawn = generator.integers(0, units, size=(count, units))
        drawn += np.arange(count)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
