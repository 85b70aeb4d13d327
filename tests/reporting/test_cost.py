import json
import math
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.cost import costs, duration
from hybrid_retrieval.reporting.html_tables import cost_table
from hybrid_retrieval.reporting.training_curves import read_training
from hybrid_retrieval.sweeps.run_record import RunRecord

from .fake_runs import compare_one, write_run


def change(folder: Path, **facts: object) -> None:
    file = folder / "metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["run"].update(facts)
    file.write_text(json.dumps(metrics), "utf-8")


def test_sums_and_means_by_hand(tmp_path: Path) -> None:
    """Two seeds of 100 and 140 s on 2 devices each, 60 steps of 32 pairs."""
    for seed, seconds in ((1, 100.0), (2, 140.0)):
        folder = write_run(
            tmp_path / str(seed), "x_y", seed, config={"trainer": {"devices": 2, "num_nodes": 1}}
        )
        change(folder, train_seconds=seconds)
        (folder / "train_metrics.csv").write_text(
            f"step,train/pairs_per_second\n10,{seed * 10}\n20,{seed * 20}\n", encoding="utf-8"
        )
    comparison = compare_one(tmp_path)
    training = {run: read_training(run.training_folder) for run in comparison.runs}

    cost = costs(comparison, training)["x_y"]

    assert (cost.runs, cost.steps, cost.pairs, cost.device, cost.devices) == (2, 60, 1920, "cpu", 2)
    assert cost.seconds == pytest.approx(120)
    assert cost.steps_per_second == pytest.approx(0.5)
    assert cost.total_hours == pytest.approx(480 / 3600)
    assert cost.pairs_per_second == 20
    assert cost.kilowatt_hours is None
    table = cost_table({"x_y": cost})
    assert ">unknown<" in table
    assert ">8 min 00 s<" in table


def test_energy_is_told_only_where_every_run_measured_it(tmp_path: Path) -> None:
    change(write_run(tmp_path / "1", "x_y", 1), energy_joules=3.6e6)
    change(write_run(tmp_path / "2", "x_y", 2), energy_joules=1.8e6)
    write_run(tmp_path / "3", "hybrid", 1)
    change(write_run(tmp_path / "4", "hybrid", 2), energy_joules=1.0)

    found = costs(compare_one(tmp_path), {})

    assert found["x_y"].kilowatt_hours == pytest.approx(1.5)
    assert found["hybrid"].kilowatt_hours is None


def test_a_resumed_run_confesses_that_only_its_last_part_is_counted(tmp_path: Path) -> None:
    RunRecord(hash="0", restarts=1).write(write_run(tmp_path / "1", "x_y", 1))
    RunRecord(hash="0").write(write_run(tmp_path / "2", "x_y", 2))

    found = costs(compare_one(tmp_path), {})

    assert found["x_y"].resumed == 1
    assert math.isnan(found["x_y"].steps_per_second)  # all steps in a part of the time
    assert "only the last part is counted: 1 of x_y." in cost_table(found)


def test_what_is_not_recorded_is_unknown(tmp_path: Path) -> None:
    change(write_run(tmp_path, "x_y", 1, config={"optim": {}}), train_seconds=float("nan"))

    table = cost_table(costs(compare_one(tmp_path), {}))

    assert table.count(">unknown<") == 5  # time, steps/s, pairs/s, time of all runs, energy
    assert "? × cpu" in table


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3.21, "3.2 s"),
        (59.4, "59 s"),
        (61, "1 min 01 s"),
        (3600 * 5 + 125, "5 h 02 min"),
        (float("nan"), "unknown"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert duration(seconds) == words
