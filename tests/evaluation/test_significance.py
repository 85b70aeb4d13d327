import numpy as np
import pytest
from scipy import stats

from hybrid_retrieval.evaluation.significance import bootstrap_interval, holm, paired_randomisation_test


def scores(seed: int, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    a = generator.random(n)
    return a, a + generator.normal(shift, 0.2, n)


def mean_difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean(a, axis=axis) - np.mean(b, axis=axis))


def scipy_p(a: np.ndarray, b: np.ndarray, resamples: float) -> float:
    test = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=resamples, rng=0
    )
    return float(test.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_small_samples_are_exact_as_in_scipy(seed: int) -> None:
    a, b = scores(seed, 11, 0.1)
    a[:2] = b[:2]
    assert paired_randomisation_test(a, b) == pytest.approx(scipy_p(a, b, np.inf), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.03])
def test_large_samples_agree_with_scipy_within_the_error_of_resampling(shift: float) -> None:
    a, b = scores(1, 300, shift)
    ours, theirs = paired_randomisation_test(a, b, resamples=20_000), scipy_p(a, b, 20_000)
    assert abs(ours - theirs) < 5 * np.sqrt(max(theirs, 1e-3) * 2 / 20_000)


def test_randomisation_by_hand() -> None:
    # Differences 1, 2, 3: of the 8 sign patterns only +++ and --- reach a sum of 6.
    assert paired_randomisation_test(np.array([1.0, 2, 3]), np.zeros(3)) == 2 / 8
    assert paired_randomisation_test(np.array([1.0, -1.0]), np.zeros(2)) == 1.0
    assert paired_randomisation_test(np.ones(4), np.ones(4)) == 1.0


def test_randomisation_is_symmetric_and_seeded() -> None:
    a, b = scores(2, 200, 0.02)
    p = paired_randomisation_test(a, b, seed=3, resamples=2000)
    assert p == paired_randomisation_test(b, a, seed=3, resamples=2000)
    assert p == pytest.approx(paired_randomisation_test(a, b, seed=4, resamples=2000), abs=0.06)
    assert paired_randomisation_test(a, a + 1, resamples=999) == 1 / 1000


def test_groups_count_as_one_observation() -> None:
    a, b = scores(3, 8, 0.15)
    repeated = [np.repeat(x, 11) for x in (a, b)]
    groups = np.repeat([f"q{i}" for i in range(8)], 11)
    assert paired_randomisation_test(*repeated, groups=groups) == paired_randomisation_test(a, b)
    assert bootstrap_interval(*repeated, groups=groups) == pytest.approx(bootstrap_interval(a, b))
    low, high = bootstrap_interval(*repeated)
    grouped_low, grouped_high = bootstrap_interval(a, b)
    assert grouped_high - grouped_low > 2 * (high - low)


def test_bootstrap_agrees_with_scipy() -> None:
    a, b = scores(4, 150, 0.05)
    expected = stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    found = bootstrap_interval(a, b, resamples=20_000)
    error = np.std(a - b) / np.sqrt(150)
    assert found == pytest.approx((expected.low, expected.high), abs=0.1 * error)
    assert found == bootstrap_interval(a, b, resamples=20_000)
    assert found[0] < (a - b).mean() < found[1]


def test_holm_by_hand() -> None:
    # 4 * .01, 3 * .02 (more than .04), 2 * .03 = .06, 1 * .5; and in the order given.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.04]) == pytest.approx([0.02, 0.04])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired_randomisation_test(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="NaN"):
        bootstrap_interval(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(np.ones(2), np.ones(2), confidence=95)
    with pytest.raises(ValueError, match="p-values"):
        holm([0.1, 1.5])
