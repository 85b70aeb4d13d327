"""The training log: one row a step, kept over an interruption."""

import csv
from pathlib import Path

import pytest

from hybrid_retrieval.training.csv_logger import TrainMetricsCSV


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_one_row_a_step_one_column_a_metric(tmp_path: Path) -> None:
    log = TrainMetricsCSV(tmp_path / "log.csv")
    log.log_metrics({"loss": 2.5, "epoch": 0}, step=0)
    log.log_metrics({"loss": 1.25, "epoch": 0}, step=10)
    log.log_metrics({"val/map": 0.5, "epoch": 0}, step=10)

    assert (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[0] == "step,epoch,loss,val/map"
    rows = read(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["0", "10"]
    assert [row["val/map"] for row in rows] == ["", "0.5"]
    assert [float(row["loss"]) for row in rows] == [2.5, 1.25]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_resumed_log_keeps_earlier_rows_and_replaces_repeated_steps(tmp_path: Path) -> None:
    first = TrainMetricsCSV(tmp_path / "log.csv")
    for step, loss in enumerate((3.0, 2.0, 1.5)):
        first.log_metrics({"loss": loss, "old": 7}, step=step)
    second = TrainMetricsCSV(tmp_path / "log.csv", resume=True)
    second.log_metrics({"loss": 1.75}, step=2)
    second.log_metrics({"loss": 1.0, "new": 0.1}, step=3)

    rows = read(tmp_path / "log.csv")
    assert [float(row["loss"]) for row in rows] == [3.0, 2.0, 1.75, 1.0]
    assert [row["new"] for row in rows] == ["", "", "", "0.1"]
    assert rows[0]["old"] == "7.0"


def test_without_resume_an_old_file_is_replaced(tmp_path: Path) -> None:
    TrainMetricsCSV(tmp_path / "log.csv").log_metrics({"loss": 1.0}, step=5)
    TrainMetricsCSV(tmp_path / "log.csv").log_metrics({"loss": 2.0}, step=1)

    assert [row["step"] for row in read(tmp_path / "log.csv")] == ["1"]


def test_values_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = {"a": 0.1, "b": 1 / 3, "c": 1e-17, "d": float(2**53)}
    TrainMetricsCSV(tmp_path / "log.csv").log_metrics(values, step=0)

    row = read(tmp_path / "log.csv")[0]
    assert {name: float(row[name]) for name in values} == values


@pytest.mark.parametrize("resume", [True, False])
def test_nothing_logged_writes_nothing(tmp_path: Path, resume: bool) -> None:
    TrainMetricsCSV(tmp_path / "log.csv", resume=resume).finalize("success")

    assert not (tmp_path / "log.csv").exists()
