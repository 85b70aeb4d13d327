"""Runs that were not all evaluated on the same: which stand together, and what is said of the others."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.reporting.benchmark_groups import group_by_benchmark
from hybrid_retrieval.reporting.comparability import not_comparable
from hybrid_retrieval.reporting.comparison import compare_runs
from hybrid_retrieval.reporting.csv_tables import csv_table, differences_csv
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.latex import latex
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.runs import find_runs
from hybrid_retrieval.reporting.summary import summary_sentences
from tests.conftest import Command

from .fake_runs import compare_one, write_run, write_study
from .test_latex import assert_well_formed
from .test_report import Page


def change(folder: Path, **values: Any) -> None:
    file = folder / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(metrics | values), encoding="utf-8")


def names(folder: Path) -> list[str]:
    return [group.name for group in group_by_benchmark(find_runs([folder]))[0]]


def test_each_benchmark_is_a_group(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, benchmark="xquad_r")
    write_run(tmp_path / "b", "x_y", 2, benchmark="world_facts", questions=9)
    write_run(tmp_path / "a" / "mlqa_r", "x_y", 1, benchmark="mlqa_r")

    groups, apart = group_by_benchmark(find_runs([tmp_path]))

    assert [(group.name, len(group.runs)) for group in groups] == [
        ("mlqa_r", 1), ("world_facts", 1), ("xquad_r", 1),
    ]  # fmt: skip
    assert apart == ()


def test_forms_of_a_benchmark_are_named_after_the_first_thing_that_tells_them_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "pool" / "a", "x_y", 1, questions=1195)
    write_run(tmp_path / "pool" / "b", "x_y", 2, questions=1195)
    write_run(tmp_path / "pool" / "c", "x_y", 3, questions=9)
    assert names(tmp_path / "pool") == ["world_facts (6,000 candidates)", "world_facts (70 candidates)"]

    for name, codes in (("a", ("ar", "de")), ("b", ("el", "zh"))):
        write_run(tmp_path / "codes" / name, "x_y", 1, languages=codes)
    assert names(tmp_path / "codes") == ["world_facts (ar, de)", "world_facts (el, zh)"]

    for name, candidate in (("a", "sentence"), ("b", "context"), ("old", None)):
        options = {"benchmark_options": {"candidate": candidate, "languages": None}} if candidate else {}
        change(write_run(tmp_path / "options" / name, "x_y", ord(name[0])), **options)
    # A run of an earlier version says nothing of its options and stays with the first that it may belong to.
    assert names(tmp_path / "options") == [
        "world_facts (candidate=sentence)", "world_facts (candidate=context)",
    ]  # fmt: skip


def test_runs_that_are_not_comparable_are_named_with_the_fix(tmp_path: Path) -> None:
    write_study(tmp_path / "whole", ("x_x_mono", "x_y"), seeds=2)
    write_study(tmp_path / "limited", ("hybrid",), seeds=1, questions=10)

    _, (sentence,) = group_by_benchmark(find_runs([tmp_path]))

    assert "325 candidates: whole/x_x_mono-1, whole/x_x_mono-2, whole/x_y-1 and 1 more;" in sentence
    assert "75 candidates: limited/hybrid-1)" in sentence
    assert "hybrid-retrieval evaluate model=<run folder>/model benchmark=world_facts" in sentence


def test_every_form_has_its_own_tables_and_tests(tmp_path: Path, command: Command) -> None:
    """One page with a tab each; no number of one form in the tables of the other."""
    write_study(tmp_path / "whole", ("x_x_mono", "x_y"), seeds=2)
    write_study(tmp_path / "limited", ("x_x_mono", "hybrid"), seeds=2, questions=10)
    comparisons = compare_runs([tmp_path])
    titles = [c.title for c in comparisons]

    assert titles == ["world_facts (325 candidates)", "world_facts (75 candidates)"]
    assert [[e.label for e in c.experiments] for c in comparisons] == [
        ["x_x_mono", "x_y"], ["x_x_mono", "hybrid"],
    ]  # fmt: skip
    for comparison, alone in zip(comparisons, ("whole", "limited"), strict=True):
        own = compare_one(tmp_path / alone)
        assert [d.difference for d in comparison.differences] == [d.difference for d in own.differences]
        assert summary_sentences(comparison)[1] == summary_sentences(own)[1]
    page = report(comparisons)
    headings = [text for tag, text in Page(page).texts if tag == "h1"]
    assert headings[1:] == [*titles, "Training"]
    assert page.count("they are not comparable") == 1
    assert {row["benchmark"] for row in csv.DictReader(io.StringIO(csv_table(comparisons)))} == set(titles)
    tested = list(csv.DictReader(io.StringIO(differences_csv(comparisons))))
    assert {row["benchmark"] for row in tested} == set(titles)
    assert markdown(comparisons).count("they are not comparable") == 1
    assert_well_formed(latex(comparisons))

    outcome = command(
        "compare", str(tmp_path / "whole"), str(tmp_path / "limited"), f"out={tmp_path / 'out'}"
    )
    assert outcome.status == 0, outcome
    assert " ".join(outcome.out.split()).count("they are not comparable") == 1
    assert sorted(path.name for path in (tmp_path / "out" / "figures").iterdir()) == [
        "world_facts--325-candidates-", "world_facts--75-candidates-",
    ]  # fmt: skip


def test_two_benchmarks_that_each_a_part_of_the_runs_was_evaluated_on(tmp_path: Path) -> None:
    """An experiment has one label everywhere, and its training is shown wherever it was evaluated."""
    for alpha in (0.25, 0.75):
        write_run(tmp_path / f"both-{alpha}", "hybrid", 1, alpha=alpha)
    write_run(tmp_path / "both-0.75" / "mlqa_r", "hybrid", 1, alpha=0.75, benchmark="mlqa_r", curves=False)
    write_run(tmp_path / "alone", "x_x", 1, benchmark="mlqa_r")

    comparisons = compare_runs([tmp_path])

    mlqa, facts = comparisons
    assert [e.label for e in mlqa.experiments] == ["x_x", "hybrid (alpha=0.75)"]
    assert [e.label for e in facts.experiments] == ["hybrid (alpha=0.25)", "hybrid (alpha=0.75)"]
    told = not_comparable(comparisons)
    assert "different benchmarks (mlqa_r, world_facts)" in told[0]
    assert set(told[1:3]) == {
        "x_x was not evaluated on world_facts.", "hybrid (alpha=0.25) was not evaluated on mlqa_r.",
    }  # fmt: skip
    page = report(comparisons)
    training = page[page.index("<h1>Training</h1>") :]
    for label in ("x_x", "hybrid (alpha=0.25)", "hybrid (alpha=0.75)"):
        assert f"{label}, seed 1" in training


def test_what_a_model_evaluated_elsewhere_does_not_say_is_no_difference(tmp_path: Path) -> None:
    """Its configuration lies in the run folder; the label is that of the same model elsewhere."""
    write_run(tmp_path / "run", "hybrid", 1)
    away = write_run(tmp_path / "away", "hybrid", 1, benchmark="mlqa_r", curves=False)
    (away / ".hydra" / "config.yaml").unlink()

    comparisons = compare_runs([tmp_path])

    assert [[e.label for e in c.experiments] for c in comparisons] == [["hybrid"], ["hybrid"]]


@pytest.mark.parametrize("order", [1, -1])
def test_groups_do_not_hang_on_the_order_of_the_folders(tmp_path: Path, order: int) -> None:
    folders = [
        write_run(tmp_path / "a", "x_y", 1, questions=9),
        write_run(tmp_path / "b", "x_y", 2, questions=12),
        write_run(tmp_path / "c", "x_y", 3, questions=12),
    ]

    groups, _ = group_by_benchmark(find_runs(folders[::order]))

    assert [{run.folder.name for run in group.runs} for group in groups] == [{"b", "c"}, {"a"}]
