"""A real search with the tiny backbone, killed in the middle of a trial."""

import json
import signal
from pathlib import Path

import pytest

from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.conftest import Command
from tests.integration.test_run import same_weights
from tests.sweeps.test_runs import start, wait_for

pytest.importorskip("optuna")


@pytest.mark.slow
def test_a_killed_search_ends_with_the_trials_and_weights_of_one_that_was_not(
    command: Command, command_cache: Path, tmp_path: Path
) -> None:
    line = [
        *("train", "-m", "sweep=search", "debug=fast", "backbone=tiny", "data=world_facts", "evaluate=false"),
        *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "data.languages=[de,en]"),
        *("trainer.max_steps=8", "trainer.val_check_interval=8", "trainer.checkpoint_every_n_steps=2"),
        *("hydra.sweeper.search.trials=2", "hydra.sweeper.search.startup=2"),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start([*line, f"hydra.sweep.dir={killed}"], command_cache)
    wait_for(lambda: any(killed.glob("trial001-*/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = json.loads((killed / "search.json").read_bytes())
    assert [trial["state"] for trial in before["trials"]] == ["complete"]

    outcome = command(*line, f"hydra.sweep.dir={killed}")

    assert outcome.status == 0, outcome
    assert command(*line, f"hydra.sweep.dir={whole}").status == 0
    expected = json.loads((whole / "search.json").read_bytes())
    assert json.loads((killed / "search.json").read_bytes()) == expected
    assert [trial["state"] for trial in expected["trials"]] == ["complete"] * 2
    folders = [trial["folder"] for trial in expected["trials"]]
    assert all(same_weights(whole / folder, killed / folder) for folder in folders)
    restarts = [RunRecord.read(killed / folder).restarts for folder in folders]  # type: ignore[union-attr]
    assert restarts == [0, 1]
