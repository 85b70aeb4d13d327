from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import effect_words, verdict, words
from hybrid_retrieval.reporting.differences import Difference, choose_pairs, resamples_for, unit_differences
from hybrid_retrieval.reporting.experiments import group_runs
from hybrid_retrieval.reporting.per_query import PerQuery, read_per_query
from hybrid_retrieval.reporting.runs import find_runs
from hybrid_retrieval.reporting.statistics import summary
from hybrid_retrieval.reporting.summary import further_sentences, summary_sentences

from .fake_runs import SETTINGS, SKILLS, compare_one, write_run, write_study

MAP = [Column(setting, "map") for setting in SETTINGS]
COLUMNS = [*MAP, RANK_DISTANCE_COLUMN]


def drawn(seed: int, query: list[tuple[str, str]]) -> PerQuery:
    generator = np.random.default_rng(seed)
    values = {m: generator.random(len(query)) for m in COLUMNS}
    ids = np.array([f"{x}:{q}" for q, x in query])
    language = np.array([x for _, x in query])
    return PerQuery(ids, np.array([q for q, _ in query]), language, language, values)


def test_mean_over_units_is_the_difference_of_macro_averages() -> None:
    """Also where the languages have different numbers of queries, and a query has no value."""
    query = [("1", "ar"), ("1", "en"), ("2", "en"), ("3", "en"), ("3", "zh"), ("4", "en"), ("5", "zh")]
    ours, theirs = drawn(1, query), drawn(2, query)
    ours.values[RANK_DISTANCE_COLUMN][2] = np.nan
    for measure in COLUMNS:
        difference = ours.values[measure] - theirs.values[measure]
        per_language = [np.nanmean(difference[ours.stratum == x]) for x in ("ar", "en", "zh")]

        units = unit_differences(ours, theirs, measure)

        assert units.mean() == pytest.approx(np.mean(per_language), rel=1e-12)
        assert len(units) == (4 if measure == RANK_DISTANCE_COLUMN else 5)


def test_tested_differences_are_those_of_the_table(comparison: Comparison) -> None:
    by_label = {e.label: e for e in comparison.experiments}
    for d in comparison.differences:
        ours, theirs = (summary(by_label[label], d.column) for label in (d.experiment, d.baseline))
        assert ours is not None
        assert theirs is not None
        assert d.difference == pytest.approx(ours.mean - theirs.mean, abs=1e-9)
        assert d.low < d.difference < d.high


def test_holm_runs_over_all_differences(comparison: Comparison) -> None:
    """Against the definition: reject in the order of p while p <= level / (number not yet rejected)."""
    count = len(comparison.differences)
    assert count == (len(SKILLS) - 1 + 1) * len(COLUMNS)
    for level in (0.001, 0.01, 0.05, 0.2):
        rejected, left = set(), count
        for d in sorted(comparison.differences, key=lambda d: d.p):
            if d.p > level / left:
                break
            rejected.add((d.experiment, d.baseline, d.column))
            left -= 1
        told = {
            (d.experiment, d.baseline, d.column)
            for d in comparison.differences
            if d.adjusted_p <= level + 1e-12
        }
        assert told == rejected


def test_seeds_are_averaged_before_testing(study: Path) -> None:
    (experiment,) = (e for e in group_runs(find_runs([study])) if e.strategy == "hybrid")
    together = read_per_query(experiment.runs, COLUMNS)
    alone = [read_per_query([run], COLUMNS) for run in experiment.runs]

    assert together is not None
    for measure in COLUMNS:
        values = [t.values[measure] for t in alone if t is not None]
        assert len(values) == 3
        np.testing.assert_allclose(together.values[measure], sum(values) / 3)


def test_order_of_rows_in_the_files_does_not_matter(tmp_path: Path) -> None:
    write_study(tmp_path, ("x_x_mono", "hybrid"), seeds=1)
    before = compare_one(tmp_path).differences
    file = tmp_path / "hybrid-1" / "per_query.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), file)

    assert compare_one(tmp_path).differences == before


def test_each_strategy_meets_the_baseline_and_hybrid_also_its_other_parent(study: Path) -> None:
    experiments = group_runs(find_runs([study]))

    pairs = [(a.label, b.label) for a, b in choose_pairs(experiments, "x_x_mono")]

    assert pairs == [
        *((s, "x_x_mono") for s in ("untrained", "en_en", "x_x", "x_y", "hybrid")),
        ("hybrid", "x_y"),
    ]


def test_a_baseline_that_nobody_trained_is_refused(tmp_path: Path) -> None:
    write_study(tmp_path, ("x_x_mono", "x_y"), seeds=1, questions=8)

    with pytest.raises(UserError, match=r"baseline=en_en: no run of it\. .* x_x_mono, x_y"):
        compare_one(tmp_path, baseline="en_en")
    with pytest.raises(UserError, match="baseline=best: no such strategy"):
        compare_one(tmp_path, baseline="best")


def test_a_run_as_baseline_stands_for_its_experiment(tmp_path: Path) -> None:
    """So that a term of the loss is tested against the same strategy without it, on every benchmark."""
    for alpha in (0.25, 0.5, 0.75):
        for seed in (1, 2):
            write_run(tmp_path / f"{alpha}-{seed}", "hybrid", seed, alpha=alpha, questions=8)
    write_run(tmp_path / "untrained", "untrained", questions=8)
    quarter, half, most = (f"hybrid (alpha={alpha})" for alpha in (0.25, 0.5, 0.75))

    for name in ("0.5-1", "0.5-2", str(tmp_path / "0.5-2")):
        found = compare_one(tmp_path, baseline=name).differences
        assert {(d.experiment, d.baseline) for d in found} == {
            (e, half) for e in ("untrained", quarter, most)
        }
    found = compare_one(tmp_path, baseline="untrained").differences
    assert {(d.experiment, d.baseline) for d in found if d.experiment != half} == {
        (quarter, "untrained"),
        (most, "untrained"),
    }
    with pytest.raises(UserError, match=r"several experiments .* Give the folder of one, such as .*0\.25-1"):
        compare_one(tmp_path, baseline=str(tmp_path))


def test_a_missing_default_baseline_is_replaced_by_the_first_trained(study: Path) -> None:
    experiments = [e for e in group_runs(find_runs([study])) if e.strategy != "x_x_mono"]

    assert {b.label for _, b in choose_pairs(experiments, "x_x_mono")} == {"en_en", "x_y"}


def test_in_a_sweep_over_alpha_its_ends_are_the_parents(tmp_path: Path) -> None:
    for alpha in (0.0, 0.5, 1.0):
        write_run(tmp_path / f"{alpha}", "hybrid", 1, alpha=alpha, questions=8)
    write_run(tmp_path / "untrained", "untrained", questions=8)

    pairs = {(a.label, b.label) for a, b in choose_pairs(group_runs(find_runs([tmp_path])), "x_x_mono")}
    said = " ".join(further_sentences(compare_one(tmp_path)) + summary_sentences(compare_one(tmp_path)))

    mono, half, cross = (f"hybrid (alpha={alpha})" for alpha in ("1.0", "0.5", "0.0"))
    assert pairs == {("untrained", mono), (half, mono), (half, cross), (cross, mono)}
    assert "Against hybrid (alpha=1.0)" in said


def test_like_is_compared_with_like(tmp_path: Path) -> None:
    for lr, strategy in ((lr, s) for lr in (1e-5, 2e-5) for s in ("x_x_mono", "x_y")):
        write_run(tmp_path / f"{strategy}-{lr}", strategy, 1, config={"optim": {"lr": lr}})

    pairs = [(a.label, b.label) for a, b in choose_pairs(group_runs(find_runs([tmp_path])), "x_x_mono")]

    assert pairs == [(f"x_y (lr={lr})", f"x_x_mono (lr={lr})") for lr in ("1e-05", "2e-05")]


PLAIN = Difference(
    experiment="hybrid", baseline="x_y", column=Column("cross_lingual", "map"), difference=0.01, low=0.004,
    high=0.016, p=0.0001, bootstrap_p=0.0001, adjusted_p=0.0004, adjusted_bootstrap_p=0.0004,
    effect_size=0.25, units=200, units_higher=120, units_lower=70, seed_error=None,
)  # fmt: skip
DISTANCE = replace(
    PLAIN, column=RANK_DISTANCE_COLUMN, difference=-12.34, low=-20.0, high=-4.0, effect_size=-0.9
)


def test_words() -> None:
    worse = replace(PLAIN, difference=-0.01)
    unsure = replace(PLAIN, adjusted_p=0.0501, adjusted_bootstrap_p=0.06)

    assert words(PLAIN) == (
        "hybrid vs x_y, cross-lingual mAP: +0.0100, significantly better (95 % interval +0.0040 to +0.0160; "
        "p < 0.001 after Holm; d_z +0.25, small; 200 questions: 60 % better, 35 % worse, 5 % equal)"
    )
    assert verdict(worse) == "significantly worse"
    assert verdict(unsure) == "not significant"
    assert "p = 0.050" in words(unsure)


def test_words_where_lower_is_better() -> None:
    """The sign is that of the difference; better, worse and the shares follow the direction."""
    assert words(DISTANCE) == (
        "hybrid vs x_y, rank distance: -12.3 (lower is better), significantly better (95 % interval -20.0 to "
        "-4.0; p < 0.001 after Holm; d_z -0.90, large; 200 questions: 35 % better, 60 % worse, 5 % "
        "equal)"
    )
    assert verdict(replace(DISTANCE, difference=12.3)) == "significantly worse"
    assert (DISTANCE.wins, DISTANCE.losses, DISTANCE.ties) == (70, 120, 10)
    assert (PLAIN.wins, PLAIN.losses, PLAIN.ties) == (120, 70, 10)


def test_disagreement_of_the_two_tests_is_told() -> None:
    doubtful = replace(PLAIN, adjusted_bootstrap_p=0.07)
    missed = replace(PLAIN, adjusted_p=0.07, adjusted_bootstrap_p=0.04)

    assert verdict(doubtful) == "significantly better, though the bootstrap test disagrees (p = 0.070)"
    assert verdict(missed) == "not significant, though the bootstrap test disagrees (p = 0.040)"


@pytest.mark.parametrize(
    ("d_z", "told"),
    [(0.1, "+0.10, very small"), (-0.3, "-0.30, small"), (0.5, "+0.50, medium"), (-2, "-2.00, large")],
)
def test_size_of_an_effect_has_cohens_name(d_z: float, told: str) -> None:
    assert effect_words(replace(PLAIN, effect_size=d_z)) == f"d_z {told}"
    assert effect_words(replace(PLAIN, effect_size=float("nan"))) == "d_z undefined"


def test_effect_size_and_counts_of_questions_by_hand(tmp_path: Path) -> None:
    """Three questions in two languages: differences of the means 0.1, 0.3 and 0, and equal language sizes."""
    write_study(tmp_path, ("x_x_mono", "x_y"), seeds=1, questions=3, languages=("de", "en"))
    for name, values in (("x_x_mono", [0.5] * 6), ("x_y", [0.6, 0.6, 0.7, 0.9, 0.5, 0.5])):
        file = tmp_path / f"{name}-1" / "per_query.parquet"
        table = pq.read_table(file)
        place = table.column_names.index("monolingual/map")
        pq.write_table(table.set_column(place, "monolingual/map", pa.array(values)), file)

    d = next(d for d in compare_one(tmp_path).differences if d.column == MAP[0])

    units = np.array([0.1, 0.3, 0.0])
    assert d.difference == pytest.approx(units.mean())
    assert d.effect_size == pytest.approx(units.mean() / units.std(ddof=1))
    assert (d.units, d.wins, d.losses, d.ties) == (3, 2, 0, 1)
    assert d.p == 4 / 8  # the zero's sign is free: of the 8 patterns 4 keep both other signs equal


def test_more_tests_take_more_resamples() -> None:
    """Else no p-value could survive Holm's correction over some hundreds of tests."""
    assert resamples_for(1) == 10_000
    for tests in (100, 1000):
        assert tests / (resamples_for(tests) + 1) < 0.05


@pytest.mark.parametrize(("error", "within"), [(None, False), (0.004, False), (0.006, True)])
def test_a_difference_below_two_standard_errors_over_seeds_is_said_to_be(
    error: float | None, within: bool
) -> None:
    d = replace(PLAIN, seed_error=error)

    assert d.within_seed_spread is within
    assert ("within the spread of seeds" in verdict(d)) is within


def test_equal_models_are_not_significantly_different(tmp_path: Path) -> None:
    write_study(tmp_path, ("x_x_mono", "x_y"), seeds=1)
    for name in ("metrics.json", "per_query.parquet"):
        text = (tmp_path / "x_x_mono-1" / name).read_bytes()
        (tmp_path / "x_y-1" / name).write_bytes(text.replace(b'"strategy": "x_x_mono"', b'"strategy": "x_y"'))

    differences = compare_one(tmp_path).differences

    assert [d.difference for d in differences] == [0.0] * 4
    assert [verdict(d) for d in differences] == ["not significant"] * 4


def test_runs_without_per_query_results_are_named_not_tested(tmp_path: Path) -> None:
    write_study(tmp_path, ("x_x_mono", "x_y"), seeds=1)
    write_run(tmp_path / "hybrid-1", "hybrid", 1, per_query=False)

    comparison = compare_one(tmp_path)

    assert {d.experiment for d in comparison.differences} == {"x_y"}
    assert any("for want of per_query.parquet: hybrid." in note for note in comparison.caveats())


def test_broken_per_query_results_name_the_file(tmp_path: Path) -> None:
    write_study(tmp_path, ("x_x_mono", "x_y"), seeds=1)
    file = tmp_path / "x_y-1" / "per_query.parquet"
    table = pq.read_table(file)

    pq.write_table(table.drop_columns(["monolingual/map"]), file)
    with pytest.raises(UserError, match=r"x_y-1/per_query\.parquet: no column monolingual/map"):
        compare_one(tmp_path)
    pq.write_table(table.slice(1), file)
    with pytest.raises(UserError, match="hold different queries"):
        compare_one(tmp_path)
    file.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"x_y-1/per_query\.parquet: not a Parquet file"):
        compare_one(tmp_path)
    pq.write_table(pa.table({"x": [1]}), file)
    with pytest.raises(UserError, match="no column cross_lingual/map"):
        compare_one(tmp_path)


def test_summary_tells_winners_and_place_between_the_parents(comparison: Comparison) -> None:
    first, second, third = summary_sentences(comparison)
    means = {e.label: {c.setting: summary(e, c) for c in MAP} for e in comparison.experiments}
    pool = {label: found["multilingual"] for label, found in means.items()}
    winner = max(pool, key=lambda label: pool[label].mean)  # type: ignore[union-attr]

    assert f"that of {winner} in the pool of all languages" in first
    assert "Against x_x_mono, hybrid changes mAP by" in second
    tested = [d for d in comparison.differences if (d.experiment, d.baseline) == ("hybrid", "x_x_mono")]
    for d in tested[:3]:
        assert f"{d.difference:+.3f}" in second
        assert verdict(d) in third
    (distance,) = tested[3:]
    assert f"the rank distance by {distance.difference:+.1f}" in second
    assert "at least 3 seeds" in third
    assert any("lowest for x_y" in sentence for sentence in further_sentences(comparison))


@pytest.mark.parametrize("order", list(permutations(("x_x_mono", "x_y", "hybrid"))))
def test_place_of_hybrid_follows_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    for level, strategy in enumerate(order):
        far = 0.5 + 0.1 * level
        monkeypatch.setitem(SKILLS, strategy, replace(SKILLS[strategy], **dict.fromkeys(SETTINGS, far)))
        write_run(tmp_path / strategy, strategy, 1, curves=False)

    text = further_sentences(compare_one(tmp_path))[0]

    place = ("below both", "between them", "above both")[order.index("hybrid")]
    assert f"the mean of hybrid lies {place} in all three settings" in text


def test_one_seed_is_confessed(tmp_path: Path) -> None:
    comparison = compare_one(write_study(tmp_path, ("untrained", "x_x_mono", "hybrid"), seeds=1))

    assert "not of seeds" in summary_sentences(comparison)[-1]
    assert any(note.startswith("One seed only") and "every strategy" in note for note in comparison.caveats())
    assert all(d.seed_error is None for d in comparison.differences)
