from itertools import product

import numpy as np
import pytest
from scipy import stats

from hybrid_retrieval.evaluation.significance import bootstrap, effect_size, holm, randomisation_test


def drawn(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 0.2, n)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def scipy_p(d: np.ndarray, resamples: float) -> float:
    test = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", vectorized=True, n_resamples=resamples, rng=0
    )
    return float(test.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_small_samples_are_exact_as_in_scipy(seed: int) -> None:
    d = drawn(seed, 11, 0.1)
    d[:2] = 0
    assert randomisation_test(d[:, None])[0] == pytest.approx(scipy_p(d, np.inf), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.03])
def test_large_samples_agree_with_scipy_within_the_error_of_resampling(shift: float) -> None:
    d = drawn(1, 300, shift)
    ours, theirs = randomisation_test(d[:, None], resamples=20_000)[0], scipy_p(d, 20_000)
    assert abs(ours - theirs) < 5 * np.sqrt(max(theirs, 1e-3) * 2 / 20_000)


def test_randomisation_by_hand() -> None:
    # Differences 1, 2, 3: of the 8 sign patterns only +++ and --- reach a sum of 6.
    assert randomisation_test(column(1, 2, 3))[0] == 2 / 8
    assert randomisation_test(column(1, -1))[0] == 1.0
    assert randomisation_test(column(0, 0, 0, 0))[0] == 1.0


def test_randomisation_is_symmetric_and_seeded() -> None:
    d = drawn(2, 200, 0.02)[:, None]
    p = randomisation_test(d, seed=3, resamples=2000)
    assert p == randomisation_test(-d, seed=3, resamples=2000)
    assert p == pytest.approx(randomisation_test(d, seed=4, resamples=2000), abs=0.06)
    assert randomisation_test(np.ones((200, 1)), resamples=999) == 1 / 1000


def test_a_comparison_does_not_depend_on_its_neighbours() -> None:
    d = np.stack([drawn(seed, 60, 0.02 * seed) for seed in range(4)], axis=1)
    together, tested = bootstrap(d, resamples=500), randomisation_test(d, resamples=500)
    for k in range(4):
        alone = bootstrap(d[:, [k]], resamples=500)
        assert (alone.low, alone.high) == pytest.approx((together.low[k], together.high[k]))
        assert alone.p == together.p[k]
        assert randomisation_test(d[:, [k]], resamples=500) == tested[k]
        assert effect_size(d[:, [k]])[0] == pytest.approx(effect_size(d)[k])


def test_chunks_of_resamples_make_no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    d = drawn(6, 12, 0.1)[:, None]
    whole = randomisation_test(d)
    monkeypatch.setattr("hybrid_retrieval.evaluation.significance._CELLS_AT_ONCE", 500)
    assert randomisation_test(d) == whole
    assert bootstrap(np.ones((12, 1)), resamples=999).low == 1


def test_bootstrap_agrees_with_scipy() -> None:
    d = drawn(4, 150, 0.02)
    expected = stats.bootstrap((d,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    found = bootstrap(d[:, None], resamples=20_000)
    error = np.std(d) / np.sqrt(150)
    interval = (float(found.low[0]), float(found.high[0]))
    assert interval == pytest.approx(tuple(expected.confidence_interval), abs=0.1 * error)
    assert interval[0] < d.mean() < interval[1]

    moved = stats.bootstrap((d - d.mean(),), np.mean, n_resamples=20_000, rng=2).bootstrap_distribution
    p = np.mean(np.abs(moved) >= abs(d.mean()))
    assert found.p[0] == pytest.approx(p, abs=5 * np.sqrt(2 * p * (1 - p) / 20_000))
    assert np.array_equal(found.p, bootstrap(d[:, None], resamples=20_000).p)


def test_bootstrap_by_hand() -> None:
    # Moved to mean 0 the differences are -1, -1, 2. Of the 27 draws of three, those with no 2 (8), two (6) or
    # three (1) have a mean at least 1 away from 0, which is the mean observed.
    centred = [sum(draw) / 3 for draw in product((-1, -1, 2), repeat=3)]
    assert sum(abs(mean) >= 1 for mean in centred) == 15
    p = bootstrap(column(0, 0, 3), resamples=50_000).p[0]
    assert p == pytest.approx(15 / 27, abs=5 * np.sqrt(15 / 27 * 12 / 27 / 50_000))
    assert bootstrap(column(1, 2, 3), resamples=999).p[0] == 1 / 1000
    assert bootstrap(column(0, 0), resamples=99).p[0] == 1


def test_both_tests_hold_their_level() -> None:
    """Under the null hypothesis about 5 % of p-values lie below 0.05."""
    d = np.random.default_rng(0).normal(size=(80, 1000))
    for p in (randomisation_test(d, resamples=999), bootstrap(d, resamples=999).p):
        assert 0.03 < (p < 0.05).mean() < 0.075


def test_effect_size_by_hand() -> None:
    # Mean 2, sample variance ((-1)^2 + 0 + 1^2) / 2 = 1.
    assert effect_size(column(1, 2, 3))[0] == pytest.approx(2.0)
    assert effect_size(column(-1, -2, -3))[0] == pytest.approx(-2.0)
    assert effect_size(column(-1, 1))[0] == 0
    assert np.isnan(effect_size(column(0.1, 0.1, 0.1))[0])
    assert np.isnan(effect_size(column(0, 0))[0])
    assert np.isnan(effect_size(column(1))[0])


def test_effect_size_is_the_t_statistic_over_root_n() -> None:
    d = drawn(5, 40, 0.1)
    assert effect_size(d[:, None])[0] == pytest.approx(stats.ttest_1samp(d, 0).statistic / np.sqrt(40))


def test_holm_by_hand() -> None:
    # 4 * .01, 3 * .02 (more than .04), 2 * .03 = .06, 1 * .5; and in the order given.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.04]) == pytest.approx([0.02, 0.04])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="shape"):
        randomisation_test(np.ones(3))
    with pytest.raises(ValueError, match="shape"):
        effect_size(np.ones((0, 2)))
    with pytest.raises(ValueError, match="NaN"):
        bootstrap(column(np.nan))
    with pytest.raises(ValueError, match="confidence"):
        bootstrap(column(1, 2), confidence=95)
    with pytest.raises(ValueError, match="p-values"):
        holm([0.1, 1.5])
