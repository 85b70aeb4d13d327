"""What `run.json` says of the validation of a run."""

import csv
from pathlib import Path

import pytest

from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.conftest import Command
from tests.own_data import own_data_overrides


@pytest.mark.parametrize(
    ("monitor", "watched", "mode"),
    [("null", "val/loss", "min"), ("val/map_multilingual", "val/map_multilingual", "max")],
)
def test_record_names_what_is_watched_and_keeps_its_best(  # noqa: PLR0917 (fixtures)
    command: Command, own_data: Path, tmp_path: Path, monitor: str, watched: str, mode: str
) -> None:
    # The learning rate is so high that the last validation is not the best one.
    overrides = ["trainer.max_steps=6", "trainer.val_check_interval=1", "optim.lr=0.3", "evaluate=false"]
    folder = tmp_path / "run"
    outcome = command(
        "train", *own_data_overrides(own_data), *overrides, f"trainer.monitor={monitor}",
        f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert outcome.status == 0, outcome

    record = RunRecord.read(folder)
    with (folder / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        values = [float(row[watched]) for row in csv.DictReader(file) if row[watched]]
    assert record is not None
    assert (record.watched, record.watched_mode) == (watched, mode)
    assert len(values) == 6
    best = (min if mode == "min" else max)(values)
    assert record.best[watched] == pytest.approx(best)
    assert values[-1] != best
