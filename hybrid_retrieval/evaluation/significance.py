"""Are two models different on the same queries? Randomisation test, bootstrap interval, Holm's correction.

Translations of a question are not independent observations: give `groups`, and whole groups are permuted or
drawn.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_CELLS_AT_ONCE = 4 << 20


def paired_randomisation_test(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value of the hypothesis that a and b are exchangeable within each query (or group).

    The statistic is the absolute mean difference; each resample flips the sign of each difference with
    probability 1/2. All sign patterns are taken when there are at most `resamples` of them (the p-value is
    then exact); otherwise `resamples` random ones, and p = (1 + as extreme) / (1 + resamples).

    Args:
        a: float (queries,), one model's metric of each query.
        b: float (queries,), the other's, for the same queries in the same order.
        groups: (queries,) ids; the queries of a group are flipped together. None: each query alone.
        resamples: how many random sign patterns.
        seed: the same seed gives the same p-value.

    Raises:
        ValueError: the lengths differ, there are no queries, or a value is not finite.

    Source: Smucker, Allan and Carterette, CIKM 2007; Fisher, The Design of Experiments, 1935.
    """
    sums, _ = _differences(a, b, groups)
    sums = sums[sums != 0]  # flipping a zero changes nothing
    patterns = 2 ** min(len(sums), 63)
    exact = patterns <= resamples
    observed = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()  # equal but for rounding counts as extreme
    extreme = 0
    for signs in _all_signs(len(sums)) if exact else _random_signs(len(sums), resamples, seed):
        extreme += int((np.abs(signs @ sums) >= observed).sum())
    return extreme / patterns if exact else (extreme + 1) / (resamples + 1)


def bootstrap_interval(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap confidence interval of mean(a - b).

    Args:
        a: float (queries,), one model's metric of each query.
        b: float (queries,), the other's, for the same queries in the same order.
        groups: (queries,) ids; whole groups are drawn. None: each query alone.
        confidence: in (0, 1).
        resamples: how many times the queries (or groups) are drawn with replacement.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: as in `paired_randomisation_test`, or `confidence` is outside (0, 1).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    sums, sizes = _differences(a, b, groups)
    generator = np.random.default_rng(seed)
    means = [
        sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
        for count in _chunks(resamples, len(sums))
        for drawn in [generator.integers(0, len(sums), size=(count, len(sums)))]
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


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


def _differences(
    a: np.ndarray, b: np.ndarray, groups: Sequence[str] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of a - b and number of queries of each group; float64 (groups,) both."""
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            f"a and b must hold one value for each of the same queries; shapes {a.shape}, {b.shape}"
        )
    difference = a.astype(np.float64) - b
    if not np.isfinite(difference).all():
        raise ValueError("a or b holds NaN or infinity: leave out the queries that a metric does not score")
    if groups is None:
        return difference, np.ones_like(difference)
    if len(groups) != len(a):
        raise ValueError(f"{len(groups)} groups for {len(a)} queries")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(group, weights=difference), np.bincount(group).astype(np.float64)


def _chunks(rows: int, columns: int) -> Iterator[int]:
    """Split a number of rows so that no part has many more than _CELLS_AT_ONCE cells."""
    at_once = max(1, _CELLS_AT_ONCE // max(1, columns))
    for start in range(0, rows, at_once):
        yield min(at_once, rows - start)


def _all_signs(n: int) -> Iterator[np.ndarray]:
    """Every pattern of n signs, float64 (some, n)."""
    bits, start = np.arange(n), 0
    for count in _chunks(2**n, n):
        patterns = np.arange(start, start + count)[:, None]
        yield 1.0 - 2.0 * ((patterns >> bits) & 1)
        start += count


def _random_signs(n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    for count in _chunks(rows, n):
        yield 1.0 - 2.0 * generator.integers(0, 2, size=(count, n), dtype=np.int8)
