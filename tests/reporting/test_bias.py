"""The measures of language bias in the tables, the words and the charts."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY
from hybrid_retrieval.reporting.bias_charts import bias_panels, decomposition_panel, document_language_panels
from hybrid_retrieval.reporting.columns import DECOMPOSITION, RANK_DISTANCE_COLUMN, bias_column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.focus import focus
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.stacked_bars import stacked_panel
from hybrid_retrieval.reporting.statistics import best, leaders
from hybrid_retrieval.reporting.summary import further_sentences

from .fake_runs import ALL_BIAS, LANGUAGES, SKILLS, compare_one, write_run, write_study
from .test_report import Page

SCALARS = [key for key in BY_QUERY if key not in DECOMPOSITION]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare_one(write_study(tmp_path_factory.mktemp("full"), seeds=2, bias=ALL_BIAS, curves=False))


def test_direction_of_each_measure_is_the_catalogues() -> None:
    assert len(DECOMPOSITION) == 4
    for key, measure in BY_QUERY.items():
        column = bias_column(key)
        expected = {"higher": "higher is better", "lower": "lower is better", "neither": ""}[measure.better]
        assert column.direction == expected
        assert column.title == measure.title
    assert bias_column("new_measure@5").higher_is_better is None


def test_table_shows_every_measure_and_what_it_means(full: Comparison) -> None:
    text = markdown([full])

    assert "| Strategy | " + " | ".join(BY_QUERY[key].title for key in SCALARS) + " |" in text
    for key in SCALARS:
        assert BY_QUERY[key].meaning in text
    assert "| Strategy | " + " | ".join(BY_QUERY[key].title for key in DECOMPOSITION) + " |" in text


def test_nothing_is_best_where_neither_way_is_better(full: Comparison) -> None:
    for column in full.bias:
        if column.higher_is_better is None:
            assert leaders(full.experiments, column) == []
            assert best(full.experiments, column) == set()
        elif column.metric == "peer":
            assert [e.label for e in leaders(full.experiments, column)] == ["x_y"]
    assert [e.label for e in leaders(full.experiments, RANK_DISTANCE_COLUMN)] == ["x_y"]


def test_measures_with_a_direction_are_tested_and_no_others(full: Comparison) -> None:
    tested = {d.column.metric for d in full.differences if d.column.is_bias}

    assert tested == {key for key in SCALARS if BY_QUERY[key].better != "neither"}
    for d in full.differences:
        if d.column.is_bias and (d.experiment, d.baseline) == ("x_y", "x_x_mono") and d.significant:
            assert d.better  # x_y is the fairest of the study by every measure
            assert d.wins > d.losses


def test_sentences_tell_the_direction_right(full: Comparison) -> None:
    text = " ".join(further_sentences(full))

    assert "lowest for x_y" in text
    assert "-" in text[text.index("lowest for x_y") :].split("against")[0]  # a negative change, and better
    assert "significantly better" in text[text.index("lowest for x_y") :]
    told = text[text.index("By the other measures") :]
    for d in full.differences:
        if (d.experiment, d.baseline) == ("hybrid", "x_x_mono") and d.column.is_bias:
            assert d.column.words in told or d.column == RANK_DISTANCE_COLUMN


def test_old_runs_with_rank_distance_only_still_work(comparison: Comparison, tmp_path: Path) -> None:
    assert [c.metric for c in comparison.bias] == ["rank_distance"]
    assert decomposition_panel(comparison) == ""
    assert document_language_panels(comparison) == ""
    assert "## Language bias" not in markdown([comparison])

    write_run(tmp_path / "old", "x_x_mono", 1)
    write_run(tmp_path / "new", "x_y", 1, bias=ALL_BIAS)
    mixed = compare_one(tmp_path)
    assert {d.column.metric for d in mixed.differences if d.column.is_bias} == {"rank_distance"}
    assert "n/a" in markdown([mixed])
    Page(report([mixed]))


def test_one_panel_of_bars_a_measure(full: Comparison) -> None:
    panels = ET.fromstring(bias_panels(full))

    assert len(panels) == len(SCALARS)
    for panel in panels:
        assert len([r for r in panel.iter("rect") if r.attrib["class"] == "bar"]) == len(SKILLS)


def test_bars_of_negative_values_end_at_zero(full: Comparison) -> None:
    place = SCALARS.index("same_language_preference")
    panel = ET.fromstring(bias_panels(full))[place]
    bars = [r.attrib for r in panel.iter("rect")]
    values = [
        np.mean([run.metrics["language_bias"]["same_language_preference"] for run in e.runs])
        for e in full.experiments
    ]
    negative = [float(b["x"]) + float(b["width"]) for b, v in zip(bars, values, strict=True) if v < 0]
    positive = [float(b["x"]) for b, v in zip(bars, values, strict=True) if v > 0]

    assert negative
    assert positive
    assert negative + positive == pytest.approx([positive[0]] * len(bars), abs=0.2)


def test_parts_of_a_stack_fill_it_in_proportion() -> None:
    root = ET.fromstring(stacked_panel("t", "n", ["a", "b", "c"], [("row", (0.5, 0.3, 0.2))]))
    parts = [(float(r.attrib["x"]), float(r.attrib["width"])) for r in root.iter("rect")]
    whole = sum(width for _, width in parts)

    assert [width / whole for _, width in parts] == pytest.approx([0.5, 0.3, 0.2], abs=1e-3)
    for (x, width), (following, _) in pairwise(parts):
        assert following == pytest.approx(x + width, abs=0.11)
    assert [t.text for t in root.iter("text")][-3:] == ["50%", "30%", "20%"]


def test_share_of_each_language_stands_beside_its_share_of_the_pool(full: Comparison) -> None:
    page = document_language_panels(full)
    share, rank = ET.fromstring(page[page.index('<div class="panels">') :])

    assert len([e for e in share.iter("line") if e.attrib["class"] == "reference"]) == len(LANGUAGES)
    assert not [e for e in rank.iter("line") if e.attrib["class"] == "reference"]
    titles = [e.text or "" for e in share.iter("title")]
    for e in focus(full):
        values = [run.metrics["per_document_language"]["el"]["top_share@10"] for run in e.runs]
        assert any(t.startswith(f"Greek, {e.label}: {np.mean(values):.3f}") for t in titles)
    assert all(any(t.startswith(f"{language_name(x)}: 0.200") for t in titles) for x in LANGUAGES)


def test_many_languages_and_strategies_make_a_page(tmp_path: Path) -> None:
    languages = (
        "ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo",
        "zh",
    )  # fmt: skip
    options: dict[str, Any] = {"bias": ALL_BIAS, "languages": languages, "questions": 6, "curves": False}
    write_study(tmp_path, seeds=1, **options)
    for alpha in (0.25, 0.75):
        write_run(tmp_path / str(alpha), "hybrid", 1, alpha=alpha, **options)

    page = Page(report([compare_one(tmp_path)]))

    titles = [text for tag, text in page.texts if tag == "text"]
    assert "What stands first in the pool" in titles
    assert "Share of the top 10 by document language" in titles
    for _, attributes in page.tags:
        if "cx" in attributes:
            assert 0 <= float(attributes["cx"] or -1) <= 360
