"""Losses by batch type stand in the rows of their own steps alone."""

import csv
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.training.assemble import assemble
from tests.conftest import Command
from tests.own_data import own_data_overrides

COLUMNS = {"monolingual": "train/loss_monolingual", "cross_lingual": "train/loss_cross_lingual"}


@pytest.mark.parametrize("every", [1, 3])
def test_each_logged_step_has_the_loss_of_its_own_type_and_no_other(
    command: Command, own_data: Path, tmp_path: Path, every: int
) -> None:
    overrides = [
        *own_data_overrides(own_data),
        *(
            "trainer.max_steps=12",
            f"trainer.log_every_n_steps={every}",
            "evaluate=false",
            "sampler.alpha=0.5",
        ),
    ]
    assert command("train", *overrides, f"hydra.run.dir={tmp_path / 'run'}").status == 0

    with (tmp_path / "run" / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file) if row["train/loss"]}
    config = yaml.safe_load((tmp_path / "run" / ".hydra" / "overrides.yaml").read_text("utf-8"))
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        plan = assemble(compose("train", overrides=config)).plan
    kinds = {step: plan[step].kind.value for step in range(12)}
    assert set(kinds.values()) == set(COLUMNS)  # both occur, else nothing is shown
    assert set(rows) == set(range(every - 1, 12, every))
    for step, row in rows.items():
        own = kinds[step]
        (other,) = set(COLUMNS) - {own}
        assert row[COLUMNS[own]] == row["train/loss"]
        assert not row.get(COLUMNS[other])
