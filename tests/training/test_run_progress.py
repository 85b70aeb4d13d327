"""What `run.json` says of the validations and the checkpoints of a run."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid_retrieval.errors import StorageError
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training import last_checkpoint
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, write_checkpoint
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


@pytest.mark.parametrize(("failing", "kept"), [(1, None), (2, 2)])
def test_checkpoint_counts_when_it_is_on_the_disk(  # noqa: PLR0917 (fixtures)
    command: Command,
    own_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
    kept: int | None,
) -> None:
    """Not while it is written; nor do the weights of the best validation, from which no run goes on."""
    saved: list[Path] = []

    def write(content: Any, file: Path, *, before: Path | None = None) -> None:
        saved.append(file)
        if [each.name for each in saved].count(LAST_CHECKPOINT) == failing:
            raise StorageError("no room")
        write_checkpoint(content, file, before=before)

    monkeypatch.setattr(last_checkpoint, "write_checkpoint", write)
    folder = tmp_path / "run"
    overrides = ["trainer.val_check_interval=1", "trainer.checkpoint_every_n_steps=2", "evaluate=false"]
    outcome = command(
        "train", *own_data_overrides(own_data), *overrides, "trainer.monitor=val/loss",
        f"hydra.run.dir={folder}",
    )  # fmt: skip

    assert outcome.status == 2, outcome
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    record = RunRecord.read(folder)
    assert record is not None
    assert record.checkpoint_step == kept
    file = folder / "checkpoints" / LAST_CHECKPOINT
    assert (torch.load(file, weights_only=True)["global_step"] if file.exists() else None) == kept
