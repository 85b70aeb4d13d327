import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.alpha import alpha_sweeps, bend, trade_offs
from hybrid_retrieval.reporting.alpha_charts import alpha_columns, alpha_section
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.statistics import summary

from .fake_runs import compare_one, write_run

MO, MUL = Column("monolingual", "map"), Column("multilingual", "map")
Scores = tuple[float, float, float]
"""Monolingual mAP, multilingual mAP, rank distance."""
BENT: dict[float, Scores] = {
    0.0: (0.60, 0.30, 100), 0.25: (0.64, 0.295, 110), 0.5: (0.76, 0.28, 150), 0.75: (0.78, 0.20, 300),
    1.0: (0.80, 0.10, 500),
}  # fmt: skip


def write_scores(folder: Path, strategy: str, seed: int, scores: Scores, alpha: float | None = None) -> None:
    file = write_run(folder, strategy, seed, alpha=alpha, per_query=False, curves=False) / "metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["monolingual"]["map"], metrics["multilingual"]["map"] = scores[:2]
    metrics["language_bias"]["rank_distance"] = scores[2]
    file.write_text(json.dumps(metrics), "utf-8")


def sweep_of(folder: Path, scores: Mapping[float, Scores], noise: tuple[float, ...] = (0.0,)) -> Comparison:
    """A study of hybrid at each alpha; seed k has `noise[k]` more within a language, but at the ends."""
    for alpha, (mo, mul, distance) in scores.items():
        for seed, shift in enumerate(noise, start=1):
            moved = shift if 0 < alpha < 1 else 0.0
            name = folder / f"{alpha}-{seed}"
            write_scores(name, "hybrid", seed, (mo + moved, mul, distance), alpha)
    return compare_one(folder)


def test_the_bend_is_farthest_beyond_the_line_between_the_ends(tmp_path: Path) -> None:
    """At 0.5: (0.76 - 0.6) / 0.2 = 80 % and (0.28 - 0.1) / 0.2 = 90 %, 70 points more than the line's 100."""
    comparison = sweep_of(tmp_path, BENT)
    (sweep,) = alpha_sweeps(comparison)

    found = bend(sweep, MO, MUL)

    assert (found.alpha, found.error) == (0.5, None)
    assert found.excess == pytest.approx(0.7)
    assert "keeps 80% of what alpha = 1 gains in monolingual mAP" in found.words
    assert "90% of what alpha = 0 gains in multilingual mAP" in found.words
    assert "together 70 points more" in found.words
    assert "With one seed" in found.words
    assert trade_offs(comparison) == [(MO, MUL), (MO, RANK_DISTANCE_COLUMN)]
    lower_is_better = bend(sweep, MO, RANK_DISTANCE_COLUMN)
    assert lower_is_better.alpha == 0.5
    assert lower_is_better.excess == pytest.approx(0.8 + 350 / 400 - 1)


def test_the_error_of_the_bend_is_that_over_seeds(tmp_path: Path) -> None:
    """Shifts of -0.01, 0 and 0.01 are -5, 0 and 5 points of the 0.2 between the ends."""
    (sweep,) = alpha_sweeps(sweep_of(tmp_path / "calm", BENT, (-0.01, 0.0, 0.01)))
    calm = bend(sweep, MO, MUL)
    assert calm.error == pytest.approx(0.05 / math.sqrt(3))
    assert "standard error over seeds 2.9 points" in calm.words

    (sweep,) = alpha_sweeps(sweep_of(tmp_path / "wild", BENT, (-0.15, 0.15)))
    assert "That is within the spread of seeds" in bend(sweep, MO, MUL).words


def test_few_values_of_alpha_tell_no_bend(tmp_path: Path) -> None:
    (sweep,) = alpha_sweeps(sweep_of(tmp_path, {a: BENT[a] for a in (0.0, 0.25, 0.5, 1.0)}))

    found = bend(sweep, MO, MUL)

    assert found.alpha is None
    assert "cannot be told from 4 values of alpha; at least 5" in found.words


def test_ends_that_trade_nothing_have_no_bend(tmp_path: Path) -> None:
    (sweep,) = alpha_sweeps(sweep_of(tmp_path, {**BENT, 1.0: (0.80, 0.40, 500)}))

    assert bend(sweep, MO, MUL).alpha is None
    assert "do not trade" in bend(sweep, MO, MUL).words
    assert "multilingual mAP at alpha = 1" in bend(sweep, MO, MUL).words


def test_a_curve_inside_the_line_does_not_bend_outwards(tmp_path: Path) -> None:
    (sweep,) = alpha_sweeps(
        sweep_of(tmp_path, {**dict.fromkeys(BENT, (0.61, 0.11, 400)), 0.0: BENT[0.0], 1.0: BENT[1.0]})
    )

    assert bend(sweep, MO, MUL).words.startswith(
        "The trade-off between monolingual mAP and multilingual mAP does not"
    )


def test_parents_are_the_ends_and_stand_in_for_them(tmp_path: Path) -> None:
    write_scores(tmp_path / "y", "x_y", 1, BENT[0.0])
    write_scores(tmp_path / "m", "x_x_mono", 1, BENT[1.0])
    comparison = sweep_of(tmp_path, {0.5: BENT[0.5]})

    (sweep,) = alpha_sweeps(comparison)

    assert [(alpha, e.strategy) for alpha, e in sweep.curve] == [
        (0.0, "x_y"),
        (0.5, "hybrid"),
        (1.0, "x_x_mono"),
    ]
    assert sorted(alpha for alpha, _ in sweep.ends) == [0.0, 1.0]
    assert "cannot be told from 3 values" in alpha_section(comparison)


def test_another_budget_is_another_sweep_and_a_scheduled_alpha_has_no_place(tmp_path: Path) -> None:
    sweep_of(tmp_path / "a", BENT)
    for alpha, scores in BENT.items():
        write_scores(tmp_path / "b" / str(alpha), "hybrid", 1, scores, alpha)
        file = tmp_path / "b" / str(alpha) / "metrics.json"
        metrics = json.loads(file.read_text("utf-8"))
        metrics["run"]["steps"] = 120
        file.write_text(json.dumps(metrics), "utf-8")
    scheduled = tmp_path / "scheduled" / "metrics.json"
    write_scores(scheduled.parent, "hybrid", 1, BENT[0.5])
    metrics = json.loads(scheduled.read_text("utf-8"))
    metrics["run"]["alpha"] = "{start: 0.0, end: 1.0}"
    scheduled.write_text(json.dumps(metrics), "utf-8")

    sweeps = alpha_sweeps(compare_one(tmp_path))

    assert sorted(sweep.title for sweep in sweeps) == ["steps=120", "steps=60"]
    assert [len(sweep.curve) for sweep in sweeps] == [5, 5]
    assert alpha_sweeps(compare_one(tmp_path / "scheduled")) == []


def height_of_dot(mark: ET.Element) -> float:
    (dot,) = (shape for shape in mark if shape.attrib.get("class") == "dot")
    return float(dot.attrib["cy"])


def mean_of(experiment: Experiment, column: Column) -> float:
    found = summary(experiment, column)
    assert found is not None
    return found.mean


def test_values_drawn_are_those_of_the_table(tmp_path: Path) -> None:
    comparison = sweep_of(tmp_path, BENT, (-0.01, 0.01))
    page = alpha_section(comparison)
    panels = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]

    for panel, column in zip(panels[:4], alpha_columns(comparison), strict=True):
        drawn = {
            float(g.attrib["data-x"]): (float(g.attrib["data-value"]), height_of_dot(g))
            for g in panel.iter("g")
            if "data-x" in g.attrib
        }
        means = {a: mean_of(e, column) for a, e in zip(sorted(BENT), comparison.experiments, strict=True)}
        assert {a: v for a, (v, _) in drawn.items()} == pytest.approx(means)
        low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        scale = (drawn[low][1] - drawn[high][1]) / (means[high] - means[low] or 1)
        for value, y in drawn.values():
            assert y == pytest.approx(drawn[low][1] - scale * (value - means[low]), abs=0.15)
        assert len([c for c in panel.iter("circle") if c.attrib["class"] == "ring"]) == 2 * len(BENT)
        assert (panel.find(".//polygon[@class='band']") is not None) == (
            column == MO or column.setting == "cross_lingual"
        )
