"""`last.ckpt`: the newest state of a run, from which it goes on as if nothing had happened."""

import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from hybrid_retrieval.training.preemption import Preemption

LAST_CHECKPOINT = "last.ckpt"


class LastCheckpoint(Checkpoint):
    """Saves every so many steps, at the last one, and when asked to; always the same file.

    Where a validation follows a step, the state is saved after it. One saved before it would go on without
    that validation, whose numbers and whose part in choosing the best model would be lost. As a Lightning
    `Checkpoint` it comes after all other callbacks, so that what they hold is saved as it is after the step.
    A run that early stopping has ended is not saved, as it would train further.

    Args:
        file: replaced.
        every: steps between two checkpoints.
        validate_every: steps between two validations; None: there are none.
        preemption: saved in any case when it is leaving.
    """

    def __init__(
        self,
        file: Path,
        every: int,
        validate_every: int | None,
        preemption: Preemption,
    ) -> None:
        self.file = file
        self.every = every
        self.validate_every = validate_every
        self.preemption = preemption

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Save if it is time, unless a validation follows."""
        if self.validate_every is None or trainer.global_step % self.validate_every:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if it is time."""
        if trainer.state.fn is TrainerFn.FITTING and not trainer.sanity_checking:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps or self.preemption.leaving
        if due and not trainer.should_stop:
            trainer.save_checkpoint(self.file, weights_only=False)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then puts it there at once.

    Lightning's own writes it to the machine's folder of temporary files. From there a move to another file
    system, as a cluster's shared one, is a copy, which a kill cuts in two.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save.

        Args:
            checkpoint: anything that `torch.save` takes.
            path: of the file, replaced.
            storage_options: not taken.
        """
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO takes no storage_options.")
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.tmp")  # one name: what a kill leaves is overwritten
        with temporary.open("wb") as opened:
            torch.save(checkpoint, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(temporary, file)
