import json
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.comparability import box, not_comparable
from hybrid_retrieval.reporting.comparison import Comparison, compare_runs
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.sweeps.run_record import RunRecord

from .fake_runs import MIRACL, compare_one, write_run, write_study
from .test_report import Page


def test_runs_that_differ_in_the_strategy_alone_need_no_warning(comparison: Comparison) -> None:
    assert not_comparable([comparison]) == []
    assert "Not comparable" not in report([comparison])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("steps", 600, "different training steps"),
        ("global_batch_size", 64, "different pairs a batch"),
        ("backbone", "labse", "different backbone"),
        ("data", ["mmarco"], "different training data,"),
        ("data_fingerprints", ["abc"], "different version of the training data"),
        ("languages", ["ar", "de"], "different training languages"),
    ],
)
def test_what_else_differs_is_told_with_who(tmp_path: Path, key: str, value: object, words: str) -> None:
    write_run(tmp_path / "a", "x_x_mono", 1)
    file = write_run(tmp_path / "b", "x_y", 1) / "metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["run"][key] = value
    file.write_text(json.dumps(metrics), "utf-8")

    (sentence,) = not_comparable([compare_one(tmp_path)])

    assert words in sentence
    assert "x_x_mono" in sentence
    assert "x_y" in sentence


def test_other_benchmarks_and_what_was_not_evaluated_on_them(tmp_path: Path) -> None:
    write_study(tmp_path / "w", ("x_x_mono", "hybrid"), seeds=1)
    write_run(tmp_path / "m", "hybrid", 1, benchmark="miracl", settings=MIRACL, bias=())
    comparisons = compare_runs([tmp_path])

    first, second = not_comparable(comparisons)

    assert "different benchmarks (miracl, world_facts)" in first
    assert second == "x_x_mono was not evaluated on miracl."
    page = report(comparisons)
    assert page.count('class="warning"') == 1
    assert page.index('class="warning"') < page.index("<table")


def test_runs_without_a_result_are_told_with_their_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "done", "x_y", 1)
    RunRecord(hash="0", state="finished").write(tmp_path / "done")
    for place, (state, reason) in enumerate(
        [("failed", "out of memory"), *[("running", None)] * 4, ("stopped", "<b>time limit")]
    ):
        folder = tmp_path / f"job-{place}"
        folder.mkdir()
        RunRecord(hash=str(place), state=state, reason=reason, label=f"label-{place}").write(folder)  # type: ignore[arg-type]

    comparison = compare_one(tmp_path)

    assert comparison.missing == (
        "1 run failed and has no result: label-0 (out of memory).",
        "1 run was stopped and has no result: label-5 (<b>time limit).",
        "4 runs are still running and have no result: label-1, label-2, label-3 and 1 more.",
    )
    assert set(comparison.missing) <= set(comparison.caveats())
    found = box([comparison])
    assert "<h2>Missing</h2>" in found
    assert "&lt;b&gt;time limit" in found


def test_the_box_stays_small_and_its_texts_stay_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>" * 20
    for place, backbone in enumerate((evil, "x")):
        file = write_run(tmp_path / str(place), ("x_x_mono", "x_y")[place], 1) / "metrics.json"
        metrics = json.loads(file.read_text("utf-8"))
        metrics["run"]["backbone"] = backbone
        file.write_text(json.dumps(metrics), "utf-8")

    found = box([compare_one(tmp_path)])

    assert Page(found).count("script") == 0
    assert len(found) < 700
