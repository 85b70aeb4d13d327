"""Benchmarks that have other settings and metrics, and several of them together."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.comparison import compare_runs
from hybrid_retrieval.reporting.console import console_table
from hybrid_retrieval.reporting.csv_tables import csv_table, differences_csv
from hybrid_retrieval.reporting.figures import write_picture
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.latex import latex
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.summary import further_sentences, summary_sentences

from .fake_runs import (
    METRICS,
    MEWSLI_X,
    MIRACL,
    PARALLEL,
    TATOEBA,
    TRAINED,
    compare_one,
    write_run,
    write_study,
)
from .test_latex import assert_well_formed
from .test_report import Page

ONE_LANGUAGE = {"monolingual": METRICS, "multilingual": METRICS}
SHAPES: dict[str, tuple[Mapping[str, tuple[str, ...]], tuple[str, ...], str]] = {
    "tatoeba": (TATOEBA, ("ar", "de", "en"), "| Strategy | Accuracy Cr | F1 Cr | Seeds |"),
    "miracl": (MIRACL, ("ar", "sw"), "| Strategy | nDCG@10 Mo | R@100 Mo | Seeds |"),
    "mewsli_x": (MEWSLI_X, ("ar", "de", "ja"), "| Strategy | mAP@20 Mul | MRR@20 Mul | Seeds |"),
    "squadshifts": (ONE_LANGUAGE, ("en",), "| Strategy | mAP Mo | R@1 Mo | R@10 Mo | Seeds |"),
}


def write_shape(folder: Path, name: str, *, seeds: int = 2) -> Path:
    settings, languages, _ = SHAPES[name]
    return write_study(
        folder, ("untrained", "x_x_mono", "x_y", "hybrid"), seeds, benchmark=name, settings=settings,
        languages=languages, bias=(), questions=25, curves=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evaluate benchmark=[...]` leaves: a folder for each benchmark in each run's."""
    folder = tmp_path_factory.mktemp("several")
    for strategy in ("x_x_mono", "x_y", "hybrid"):
        for seed in (1, 2):
            own = write_run(folder / f"{strategy}-{seed}", strategy, seed, questions=20)
            for name in ("tatoeba", "miracl"):
                settings, languages, _ = SHAPES[name]
                write_run(
                    own / name, strategy, seed, benchmark=name, settings=settings, languages=languages,
                    bias=(), questions=25, curves=False, trained=TRAINED,
                )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_shows_the_settings_and_metrics_that_exist_and_no_others(tmp_path: Path, name: str) -> None:
    comparison = compare_one(write_shape(tmp_path, name))
    text = markdown([comparison])

    assert SHAPES[name][2] in text
    assert "n/a" not in text
    assert "ank distance" not in text
    page = report([comparison])
    Page(page)
    assert "nan" not in page
    assert "n/a" not in page
    assert_well_formed(latex([comparison]))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(console_table(comparison))
    write_picture([comparison], tmp_path / "x.png")
    assert {d.column for d in comparison.differences} == set(comparison.main)
    assert len(comparison.differences) == 4 * len(comparison.main)


@pytest.mark.parametrize("name", SHAPES)
def test_sentences_fit_the_settings(tmp_path: Path, name: str) -> None:
    comparison = compare_one(write_shape(tmp_path, name))
    first, second, third = summary_sentences(comparison)

    told = {
        "within one language": "monolingual",
        "across two languages": "cross_lingual",
        "in the pool of all languages": "multilingual",
    }
    settings = {column.setting for column in comparison.main}
    for words, setting in told.items():
        assert (words in first) == (setting in settings)
        assert (words in second) == (setting in settings)
    assert "at least 2 seeds" in third
    (between, *others) = further_sentences(comparison)
    assert "three settings" not in between
    assert between.startswith("Seen beside its parents")
    assert others == []


def test_null_is_no_setting(tmp_path: Path) -> None:
    """A benchmark in one language has a cross-lingual setting of nulls."""
    file = write_run(tmp_path / "run", "x_y", languages=("en",), bias=()) / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    metrics["cross_lingual"] = dict.fromkeys(METRICS)
    metrics["per_language"]["en"]["cross_lingual"] = dict.fromkeys(METRICS)
    metrics["language_bias"] = {"rank_distance": None}
    file.write_text(json.dumps(metrics), encoding="utf-8")

    comparison = compare_one(tmp_path)

    assert [column.setting for column in comparison.main] == ["monolingual"]
    assert "1 language," in comparison.counts_words()
    assert comparison.bias == ()


def test_a_section_for_each_benchmark(several: Path) -> None:
    comparisons = compare_runs([several])
    text = markdown(comparisons)

    assert [c.benchmark for c in comparisons] == ["miracl", "tatoeba", "world_facts"]
    assert [c.metric for c in comparisons] == ["ndcg@10", "accuracy", "map"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["miracl", "tatoeba", "world_facts"]
    assert text.count("### Which differences are significant") == 3
    assert "| Strategy | miracl: nDCG@10 Mo | tatoeba: Accuracy Cr | world_facts: mAP Mo |" in text
    assert len(re.findall(r"\\begin\{table\}", latex(comparisons))) == 3
    assert_well_formed(latex(comparisons))
    rows = list(csv.DictReader(io.StringIO(csv_table(comparisons))))
    assert {row["benchmark"] for row in rows} == {"miracl", "tatoeba", "world_facts"}
    assert [c.benchmark for c in compare_runs([several], benchmark="tatoeba")] == ["tatoeba"]


def test_overview_holds_the_numbers_of_the_sections(several: Path) -> None:
    comparisons = compare_runs([several])
    lines = markdown(comparisons).splitlines()
    overview = next(line for line in lines if line.startswith("| hybrid |"))
    cells = [cell.strip(" *") for cell in overview.strip("|").split("|")][1:]

    sections = "\n".join(lines).split("\n## ")[1:]
    own = [
        next(line for line in section.splitlines() if line.startswith("| hybrid |")) for section in sections
    ]
    shown = [cell.strip(" *") for line in own for cell in line.strip("|").split("|")[1:]]
    assert cells == [shown[0], shown[3], *shown[6:9]]


def test_page_has_a_tab_for_each_benchmark_and_one_for_the_training(several: Path) -> None:
    page = Page(report(compare_runs([several])))
    tabs = [a for tag, a in page.tags if tag == "button" and a.get("role") == "tab"]
    panels = [a for tag, a in page.tags if tag == "article"]

    assert [a["aria-controls"] for a in tabs] == [a["id"] for a in panels]
    assert [text for tag, text in page.texts if tag == "h1"][1:] == [
        "miracl", "tatoeba", "world_facts", "Training",
    ]  # fmt: skip
    assert [text for tag, text in page.texts if tag == "h2"].count("Training") == 1


def test_holm_runs_over_all_benchmarks_together(several: Path) -> None:
    together = [d for c in compare_runs([several]) for d in c.differences]
    rows = list(csv.DictReader(io.StringIO(differences_csv(compare_runs([several])))))

    assert len(rows) == len(together) == 3 * (1 + 1 + 4)
    ordered = sorted(together, key=lambda d: d.p)
    running = 0.0
    for place, d in enumerate(ordered):
        running = max(running, min(1.0, d.p * (len(together) - place)))
        assert d.adjusted_p == pytest.approx(running)


def test_differences_csv_holds_every_test_as_numbers(several: Path) -> None:
    comparisons = compare_runs([several])
    rows = list(csv.DictReader(io.StringIO(differences_csv(comparisons))))

    for row, d in zip(rows, (d for c in comparisons for d in c.differences), strict=True):
        assert (row["experiment"], row["baseline"]) == (d.experiment, d.baseline)
        assert (row["setting"], row["metric"]) == (d.column.setting, d.column.metric)
        assert float(row["p_bootstrap"]) == d.bootstrap_p
        assert float(row["adjusted_p_randomisation"]) == d.adjusted_p
        assert float(row["d_z"]) == d.effect_size
        assert int(row["wins"]) + int(row["losses"]) + int(row["ties"]) == int(row["units"])
        better = float(row["difference"]) > 0
        assert d.better == (better if row["higher_is_better"] == "true" else not better)


def test_another_metric_where_a_benchmark_lacks_it(several: Path, tmp_path: Path) -> None:
    comparisons = compare_runs([several], metric="recall@1")

    assert [c.metric for c in comparisons] == ["ndcg@10", "accuracy", "recall@1"]
    assert comparisons[1].caveats()[0] == "tatoeba has no recall@1; accuracy is shown instead."
    with pytest.raises(UserError, match=r"metric=bleu: .* no such metric\. It has: ndcg@10, recall@100"):
        compare_runs([several], metric="bleu")


def test_runs_of_one_benchmark_must_have_the_same_settings(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, settings=PARALLEL)
    write_run(tmp_path / "b", "x_x_mono", 1, settings={"monolingual": METRICS})

    with pytest.raises(UserError, match=r"b/metrics\.json has no such metric in the cross_lingual setting"):
        compare_one(tmp_path)


def test_no_metric_at_all_names_the_file(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, settings={}, bias=())

    with pytest.raises(UserError, match=r"a/metrics\.json: no metric in any setting"):
        compare_one(tmp_path)
