import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.evaluation.significance import bootstrap
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column, language_value
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.focus import baseline_of, focus
from hybrid_retrieval.reporting.intervals import RESAMPLES, Tables
from hybrid_retrieval.reporting.language_charts import change_panels, language_panels, seen_unseen
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.statistics import language_summary

from .fake_runs import LANGUAGES, SETTINGS, TRAINED, compare_one, write_run

MAP = [Column(setting, "map") for setting in SETTINGS]


@pytest.fixture(scope="module")
def tables(comparison: Comparison) -> Tables:
    return Tables(comparison)


def test_means_are_those_of_metrics_json(comparison: Comparison, tables: Tables) -> None:
    for code in LANGUAGES:
        found = tables.of_language(code)
        for e in comparison.experiments:
            for column in (*MAP, RANK_DISTANCE_COLUMN):
                values = [language_value(run, code, column) for run in e.runs]
                interval = found[e.label, column]
                assert interval.mean == pytest.approx(np.mean(values))  # type: ignore[arg-type]
                assert interval.low < interval.mean < interval.high
                assert interval.questions == 60


def test_an_interval_is_the_bootstrap_of_the_questions(comparison: Comparison, tables: Tables) -> None:
    """Read from the files by hand, one language and strategy."""
    e = next(e for e in comparison.experiments if e.label == "hybrid")
    seeds = []
    for run in e.runs:
        table = pq.read_table(run.folder / "per_query.parquet").to_pydict()
        rows = zip(table["language"], table["query_id"], table["multilingual/map"], strict=True)
        seeds.append([value for code, _, value in sorted(rows, key=lambda row: row[1]) if code == "el"])
    drawn = bootstrap(np.mean(seeds, axis=0)[:, None], resamples=RESAMPLES)

    found = tables.of_language("el")["hybrid", MAP[2]]

    # The order of questions decides which are drawn: ends agree as two bootstraps of one sample do.
    assert (found.low, found.high) == pytest.approx((float(drawn.low[0]), float(drawn.high[0])), abs=0.01)


def test_differences_are_paired(comparison: Comparison, tables: Tables) -> None:
    baseline = baseline_of(comparison)
    assert baseline is not None
    apart, together = tables.of_language("de"), tables.changes("de", baseline)

    for e in comparison.experiments:
        if e.label == baseline.label:
            continue
        for column in MAP:
            ours, theirs, change = (
                apart[e.label, column], apart[baseline.label, column], together[e.label, column],
            )  # fmt: skip
            assert change.mean == pytest.approx(ours.mean - theirs.mean)
            unpaired = np.hypot(ours.high - ours.low, theirs.high - theirs.low)
            assert change.high - change.low < 0.6 * unpaired  # the study's questions are hard for all alike


def test_equal_models_differ_by_nothing(tmp_path: Path) -> None:
    for strategy in ("x_x_mono", "x_y"):
        write_run(tmp_path / strategy, strategy, 1)
        table = pq.read_table(tmp_path / "x_x_mono" / "per_query.parquet")
        pq.write_table(table, tmp_path / strategy / "per_query.parquet")
    comparison = compare_one(tmp_path)
    (other,) = (e for e in comparison.experiments if e.strategy == "x_y")
    baseline = baseline_of(comparison)
    assert baseline is not None

    found = Tables(comparison).changes("ar", baseline)[other.label, MAP[0]]

    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_seen_and_unseen_are_means_over_their_languages(comparison: Comparison, tables: Tables) -> None:
    split = {e.label: set(TRAINED) for e in comparison.experiments}
    found = tables.of(split)
    for e in comparison.experiments:
        means = [language_summary(e, code, MAP[2]).mean for code in TRAINED]  # type: ignore[union-attr]
        assert found[e.label, MAP[2]].mean == pytest.approx(np.mean(means))

    page = seen_unseen(comparison, tables)
    panels = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    hollow = [g.attrib for g in panels[2].iter("g") if "hollow" in g.attrib["class"].split()]
    unseen = [language_summary(e, "el", MAP[2]).mean for e in comparison.trained if e.strategy != "en_en"]  # type: ignore[union-attr]
    assert [float(a["data-value"]) for a in hollow][1:] == pytest.approx(unseen)


def test_nothing_unseen_makes_no_section(tmp_path: Path) -> None:
    for strategy in ("x_x_mono", "x_y"):
        write_run(tmp_path / strategy, strategy, 1, languages=TRAINED)
    comparison = compare_one(tmp_path)

    assert seen_unseen(comparison, Tables(comparison)) == ""


def test_dots_drawn_are_the_values_of_the_table(comparison: Comparison, tables: Tables) -> None:
    page = language_panels(comparison, tables)
    panels = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]

    for panel, column in zip(panels, (*MAP, RANK_DISTANCE_COLUMN), strict=True):
        drawn = {
            (g.findtext("title") or "").split(":")[0]: g for g in panel.iter("g") if "data-value" in g.attrib
        }
        for e in focus(comparison):
            for code in LANGUAGES:
                mark = drawn[f"{language_name(code)}, {e.label}"]
                mean = language_summary(e, code, column).mean  # type: ignore[union-attr]
                assert float(mark.attrib["data-value"]) == pytest.approx(mean)
                (line,) = (x for x in mark if x.attrib.get("class") == "whisker")
                (dot,) = (x for x in mark if x.attrib.get("class") == "dot")
                assert float(line.attrib["x1"]) < float(dot.attrib["cx"]) < float(line.attrib["x2"])


def test_counts_of_languages_agree_with_the_intervals(comparison: Comparison, tables: Tables) -> None:
    baseline = baseline_of(comparison)
    assert baseline is not None
    found = [tables.changes(code, baseline)["x_y", RANK_DISTANCE_COLUMN] for code in LANGUAGES]
    better, worse = sum(i.high < 0 for i in found), sum(i.low > 0 for i in found)

    told = (
        f"Rank distance: better in {better}, worse in {worse}, unclear in {5 - better - worse} of 5 languages"
    )
    page = change_panels(comparison, tables)
    assert told in page[page.index('data-name="x_y against x_x_mono"') :]


def test_runs_without_per_query_results_have_dots_without_intervals(tmp_path: Path) -> None:
    for strategy in ("x_x_mono", "x_y"):
        write_run(tmp_path / strategy, strategy, 1, per_query=False)
    comparison = compare_one(tmp_path)
    page = language_panels(comparison, Tables(comparison))

    assert "whisker" not in page
    assert page.count('class="dot"') == 4 * 2 * len(LANGUAGES)
    assert change_panels(comparison, Tables(comparison)) == ""


def test_languages_of_different_questions(tmp_path: Path) -> None:
    """Where a language lacks some questions (MLQA-R) its mean is over those it has."""
    file = write_run(tmp_path / "run", "x_x_mono", 1) / "per_query.parquet"
    table = pq.read_table(file)
    keep = [
        not (x == "el" and int(q) % 2)
        for x, q in zip(table["language"].to_pylist(), table["group"].to_pylist(), strict=True)
    ]
    pq.write_table(table.filter(pa.array(keep)), file)
    comparison = compare_one(tmp_path)

    found = Tables(comparison).of_language("el")["x_x_mono", MAP[0]]

    held = pq.read_table(file).to_pydict()
    values = [v for x, v in zip(held["language"], held["monolingual/map"], strict=True) if x == "el"]
    assert found.questions == len(values) == 30
    assert found.mean == pytest.approx(np.mean(values))
