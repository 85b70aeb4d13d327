import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.columns import Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.console import console_table
from hybrid_retrieval.reporting.csv_tables import csv_table
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.runs import SETTINGS
from hybrid_retrieval.reporting.statistics import best, summarise

from .fake_runs import METRICS, SKILLS, compare_one, write_run


def rows_of(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_table([comparison]))))


def test_csv_equals_numpy_over_the_files(study: Path, comparison: Comparison) -> None:
    rows = rows_of(comparison)

    assert len(rows) == len(SKILLS) * (len(SETTINGS) * len(METRICS) + 1)
    for row in rows:
        files = sorted(study.glob(f"{row['strategy']}-*/metrics.json"))
        values = [json.loads(f.read_text(encoding="utf-8"))[row["setting"]][row["metric"]] for f in files]
        assert float(row["mean"]) == pytest.approx(np.mean(values), rel=1e-12)
        assert int(row["n"]) == len(values)
        if len(values) == 1:
            assert not row["std"]
        else:
            assert float(row["std"]) == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_markdown_shows_the_numbers_of_the_csv(comparison: Comparison) -> None:
    found = {(r["strategy"], r["setting"], r["metric"]): r for r in rows_of(comparison)}
    lines = markdown([comparison]).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("| "))
    table = [[c.strip(" *") for c in line.strip("|").split("|")] for line in lines[first : first + 8]]
    header, body = table[0], table[2:]

    assert (header[0], header[-1]) == ("Strategy", "Seeds")
    assert [row[0] for row in body] == list(SKILLS)
    for row in body:
        strategy = row[0]
        for column, shown in zip(comparison.table, row[1:-1], strict=True):
            expected = found[strategy, column.setting, column.metric]
            mean, _, std = shown.partition(" ± ")
            assert mean == f"{float(expected['mean']):.{column.digits}f}"
            assert std == (f"{float(expected['std']):.{column.digits}f}" if expected["std"] else "")


def test_best_is_highest_but_lowest_for_rank_distance(comparison: Comparison) -> None:
    rows = rows_of(comparison)
    for column in comparison.table:
        means = {
            r["experiment"]: float(r["mean"])
            for r in rows
            if (r["setting"], r["metric"]) == (column.setting, column.metric)
        }
        top = (
            max(means, key=means.__getitem__)
            if column.higher_is_better
            else min(means, key=means.__getitem__)
        )
        assert top in best(comparison.experiments, column)


def test_values_that_look_equal_are_both_best(tmp_path: Path) -> None:
    write_run(tmp_path / "hybrid", "hybrid")
    for name in ("x_x_mono", "x_y"):
        file = write_run(tmp_path / name, name) / "metrics.json"
        metrics = json.loads(file.read_text(encoding="utf-8"))
        metrics["monolingual"]["map"] = 0.95001 if name == "x_y" else 0.95002
        file.write_text(json.dumps(metrics), encoding="utf-8")

    assert best(compare_one(tmp_path).experiments, Column("monolingual", "map")) == {"x_x_mono", "x_y"}


def test_summarise_one_value_has_no_spread() -> None:
    assert summarise([0.5]).std is None
    assert summarise([0.5, 0.7]).std == pytest.approx(0.2 / np.sqrt(2))


def test_undefined_values_are_not_shown_as_numbers(tmp_path: Path) -> None:
    file = write_run(tmp_path / "run", "x_y") / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    metrics["cross_lingual"] = dict.fromkeys(metrics["cross_lingual"], None)
    file.write_text(json.dumps(metrics), encoding="utf-8")

    comparison = compare_one(tmp_path)

    assert "| x_y |" in markdown([comparison])
    assert "mAP Cr" not in markdown([comparison])
    assert "n/a" not in markdown([comparison])
    assert not [r for r in rows_of(comparison) if r["setting"] == "cross_lingual"]


def test_console_table_fits_eighty_columns(study: Path) -> None:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(console_table(compare_one(study)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]

    assert all(re.search(rf"^ ?{strategy} +0\.\d{{3}}", shown, re.MULTILINE) for strategy in SKILLS)
    assert "Seeds" in shown
    assert "…" not in shown


def test_another_metric_takes_the_main_columns(study: Path) -> None:
    text = markdown([compare_one(study, metric="ndcg@10")])

    assert "| nDCG@10 Mo | nDCG@10 Cr | nDCG@10 Mul | R@1 Mo |" in text
    assert "cross-lingual nDCG@10" in text
    with pytest.raises(UserError, match=r"metric=bleu: .* no such metric\. It has: map, map@20"):
        compare_one(study, metric="bleu")


@pytest.mark.parametrize(("metric", "name"), [("map", "mAP"), ("recall@10", "R@10"), ("mrr@10", "MRR@10")])
def test_metric_names(metric: str, name: str) -> None:
    assert metric_name(metric) == name


def test_markdown_escapes_what_would_break_the_table(hostile: Comparison) -> None:
    for block in markdown([hostile]).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert "<script" not in markdown([hostile])
