"""Weights, losses and gradients that are infinite or not a number: told in full, and never saved."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, damage_of
from hybrid_retrieval.training.finite_guard import NotFiniteError
from hybrid_retrieval.training.last_checkpoint import SealedCheckpointIO
from tests.conftest import Command
from tests.own_data import own_data_overrides


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [LAST_CHECKPOINT, "best.ckpt"])
def test_spoilt_weights_are_not_saved(tmp_path: Path, name: str, bad: float) -> None:
    """Neither in the place of the last checkpoint nor of the best one."""
    file = tmp_path / "checkpoints" / name
    weights = torch.ones(50)
    content: dict[str, Any] = {"global_step": 3, "state_dict": {"weight": weights, "steps": torch.tensor(3)}}
    SealedCheckpointIO().save_checkpoint(content, file)
    before = file.read_bytes()

    weights[17] = bad
    with pytest.raises(NotFiniteError, match="after step 3: weight holds numbers that are infinite or none"):
        SealedCheckpointIO().save_checkpoint(content, file)

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [name]


def test_message_of_a_run_that_diverges(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the step, the batch, the last whole checkpoint and settings; the run goes on from there."""
    line = ["train", *own_data_overrides(own_data), "trainer.checkpoint_every_n_steps=1", "evaluate=false"]
    line += [f"hydra.run.dir={tmp_path}", "resume=auto"]
    norm = DualEncoder.gradient_norm
    languages: list[str] = []

    def bad_at_step_2(model: DualEncoder) -> torch.Tensor:
        if model.trainer.global_step < 2:
            return norm(model)
        assert model.batch is not None
        languages.append("monolingual" if model.batch.monolingual else "cross-lingual")
        return norm(model) * math.nan

    with monkeypatch.context() as patched:
        patched.setattr(DualEncoder, "gradient_norm", bad_at_step_2)
        outcome = command(*line)

    assert outcome.status == 1
    (error,) = [each for each in outcome.err.splitlines() if each.startswith("error: ")]
    checkpoint = tmp_path / "checkpoints" / LAST_CHECKPOINT
    for words in (
        "training stopped at step 2: ",
        "the norm of its gradient nan",
        f"its batch, {languages[0]} in ",
        "of the rows numbers ",
        "bad_batch.json",
        "optim.lr",
        f"Its last whole checkpoint is {checkpoint}, of step 2: resume=true goes on from there",
    ):
        assert words in error
    for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT):
        file = checkpoint.with_name(name)
        assert damage_of(file) is None
        saved = torch.load(file, weights_only=True)
        assert all(value.isfinite().all() for value in saved["state_dict"].values())
    assert command(*line).status == 0


def test_without_a_checkpoint(command: Command, own_data: Path, tmp_path: Path) -> None:
    """A learning rate beyond all reason spoils the weights in the first step, which nothing may save."""
    line = ["train", *own_data_overrides(own_data), "optim.lr=1e38", "optim.warmup=0", "evaluate=false"]
    outcome = command(*line, "trainer.checkpoint_every_n_steps=1", f"hydra.run.dir={tmp_path}")

    assert outcome.status == 1
    (error,) = [each for each in outcome.err.splitlines() if each.startswith("error: ")]
    assert "There is no whole checkpoint of this run yet." in error
    assert "optim.lr is too high" in error
    assert not (tmp_path / "checkpoints" / LAST_CHECKPOINT).exists()
    assert not (tmp_path / "model").exists()
