import json
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.beside_paper import agreements, blocks, paper_table
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.statistics import summary

from .fake_runs import compare_one, write_run, write_study

STRATEGIES = ("x_x_mono", "x_y", "hybrid")


def test_ours_stands_beside_the_same_benchmark_of_the_paper(tmp_path: Path) -> None:
    comparison = compare_one(write_study(tmp_path, STRATEGIES, seeds=2, benchmark="mlqa_r"))

    columns, found, _ = blocks(comparison)

    assert [block.title for block in found] == [
        "These runs, mlqa_r", "Paper, XLM-R, mlqa_r", "Paper, LaBSE, mlqa_r",
    ]  # fmt: skip
    assert columns[-1] == RANK_DISTANCE_COLUMN
    for e in comparison.experiments:
        for column in columns:
            assert found[0].rows[e.strategy][column] == summary(e, column).mean  # type: ignore[union-attr]
    assert found[1].rows["hybrid"][Column("cross_lingual", "map")] == 0.623
    assert found[1].change("hybrid", RANK_DISTANCE_COLUMN) == 227 - 288
    assert "The paper has no" not in paper_table(comparison)


def test_another_benchmark_stands_beside_xquad_r_and_says_so(tmp_path: Path) -> None:
    page = paper_table(compare_one(write_study(tmp_path, STRATEGIES, seeds=1)))

    assert "Paper, XLM-R, xquad_r" in page
    assert "The paper has no world_facts" in page
    assert ">0.705<br>" in page  # XLM-R, hybrid, cross-lingual


def test_agreement_counts_the_signs(tmp_path: Path) -> None:
    """As in the paper, but hybrid loses within a language; the study's x_y and hybrid lower the distance."""
    for strategy, mo in zip(STRATEGIES, (0.80, 0.79, 0.70), strict=True):
        file = write_run(tmp_path / strategy, strategy, 1) / "metrics.json"
        metrics = json.loads(file.read_text("utf-8"))
        metrics["monolingual"]["map"] = mo
        file.write_text(json.dumps(metrics), "utf-8")
    columns, found, _ = blocks(compare_one(tmp_path))

    first, _ = agreements(columns, found)

    assert first == (
        "Paper, XLM-R, xquad_r: against x_x_mono our runs change in the same direction in 7 of 8 cells; "
        "otherwise in hybrid mAP Mo."
    )


@pytest.mark.parametrize("strategies", [("x_x_mono",), ("untrained",), ("en_en", "x_x")])
def test_too_few_strategies_make_no_table(tmp_path: Path, strategies: tuple[str, ...]) -> None:
    assert paper_table(compare_one(write_study(tmp_path, strategies, seeds=1))) == ""


def test_hybrid_of_the_papers_alpha_is_taken(tmp_path: Path) -> None:
    for alpha in (0.25, 0.5, 0.75):
        write_run(tmp_path / str(alpha), "hybrid", 1, alpha=alpha)
    write_run(tmp_path / "m", "x_x_mono", 1)

    assert "Our hybrid has alpha = 0.5" in paper_table(compare_one(tmp_path))
