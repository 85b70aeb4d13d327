"""`last.ckpt`: the newest state of a run, from which it goes on as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from hybrid_retrieval.training.checkpoint_file import (
    LAST_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    write_checkpoint,
)
from hybrid_retrieval.training.csv_logger import TrainMetricsCSV
from hybrid_retrieval.training.finite_guard import check_finite_weights
from hybrid_retrieval.training.preemption import Preemption


class LastCheckpoint(Checkpoint):
    """Saves every so many steps, at the last one, and when asked to; always the same file.

    Where a validation follows a step, the state is saved before it and marked, so that a run that goes on
    from it begins with this validation. At the last step Lightning would not do so: there the state is saved
    after it. As a Lightning `Checkpoint` it comes after all other callbacks, so that what they hold is saved
    as it is after the step. The step's row of `train_metrics.csv`, which Lightning logs next, is written
    before: a run that is killed in between would lack it. A run that early stopping has ended is not saved,
    as it would train further.

    Args:
        folder: of `last.ckpt`.
        every: steps between two checkpoints.
        validate_every: steps between two validations; None: there are none.
        preemption: saved in any case when it is leaving.
        saved: called on all processes when a checkpoint is whole and in its place.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        validate_every: int | None,
        preemption: Preemption,
        saved: Callable[[pl.Trainer], None],
    ) -> None:
        self.file = folder / LAST_CHECKPOINT
        self.every = every
        self.validate_every = validate_every
        self.preemption = preemption
        self.saved = saved
        self._before_validation = False
        preemption.save = self.save_before_validation

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Save if it is time, unless a validation follows the last step."""
        validates = self._validates(trainer.global_step)
        if not (validates and trainer.global_step == trainer.max_steps) and self._due(trainer):
            _log_step(trainer)
            self._save(trainer, before_validation=validates)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after the last step, or if the processes have just agreed to leave."""
        if trainer.state.fn is not TrainerFn.FITTING or trainer.sanity_checking or trainer.should_stop:
            return
        if trainer.global_step == trainer.max_steps or self.preemption.leaving:
            self._save(trainer, before_validation=False)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the epoch right that Lightning would go on in; mark a state that a validation follows."""
        _within_epoch(checkpoint["loops"]["fit_loop"], trainer.current_epoch)
        if self._before_validation:
            _mark(checkpoint["loops"]["fit_loop"])

    def save_before_validation(self, trainer: pl.Trainer) -> None:
        """Save in the middle of a validation, which begins anew when the run goes on."""
        self._save(trainer, before_validation=True)

    def _validates(self, step: int) -> bool:
        return self.validate_every is not None and step % self.validate_every == 0

    def _due(self, trainer: pl.Trainer) -> bool:
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps or self.preemption.leaving
        return due and not trainer.should_stop

    def _save(self, trainer: pl.Trainer, *, before_validation: bool) -> None:
        self._before_validation = before_validation
        with self.preemption.waiting_for(f"{self.file} to be written"):
            trainer.save_checkpoint(self.file, weights_only=False)
        self.saved(trainer)


class SealedCheckpointIO(TorchCheckpointIO):
    """Lightning's way to `write_checkpoint`.

    Lightning's own writes to the machine's folder of temporary files. From there a move to another file
    system, as a cluster's shared one, is a copy, which a kill cuts in two.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save.

        Args:
            checkpoint: anything that `torch.save` takes.
            path: of the file, replaced; that of the last checkpoint is kept as the previous one.
            storage_options: not taken.

        Raises:
            NotFiniteError: a weight is infinite or not a number; the file is left as it was.
            StorageError: the file cannot be written.
        """
        if storage_options is not None:
            raise TypeError("SealedCheckpointIO takes no storage_options.")
        file = Path(path)
        check_finite_weights(checkpoint, file)
        previous = file.with_name(PREVIOUS_CHECKPOINT) if file.name == LAST_CHECKPOINT else None
        write_checkpoint(checkpoint, file, before=previous)


def _log_step(trainer: pl.Trainer) -> None:
    """Write what Lightning logs of this step next into `train_metrics.csv` already."""
    connector = trainer._logger_connector
    if not connector.should_update_logs:
        return
    values = {name: float(value) for name, value in connector.metrics["log"].items()}
    for each in trainer.loggers:
        if isinstance(each, TrainMetricsCSV):
            each.log_metrics(
                {"epoch": trainer.current_epoch, **values}, trainer.fit_loop.epoch_loop._batches_that_stepped
            )


def _within_epoch(loop: dict[str, Any], epoch: int) -> None:
    """Make the state of Lightning's loops that of an epoch which has begun.

    After a start from the end of an epoch Lightning (2.6) does not count the next one as begun; a start from
    the end of that one would then stay in it.
    """
    for count in loop["epoch_progress"].values():
        count |= {"ready": epoch + 1, "started": epoch + 1, "processed": epoch, "completed": epoch}


def _mark(loop: dict[str, Any]) -> None:
    """Make the state of Lightning's loops that of a validation which has begun its first batch.

    Lightning begins a validation that was cut with the batch that was not completed; the step before counts
    as completed, though its callbacks still run.
    """
    steps = loop["epoch_loop.batch_progress"]
    for count in (steps["total"], steps["current"]):
        count["completed"] = count["processed"]
    validation = loop["epoch_loop.val_loop.batch_progress"]
    done = validation["total"]["completed"]
    validation["total"] = {"ready": done + 1, "started": done + 1, "processed": done, "completed": done}
    validation["current"] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    validation["is_last_batch"] = False
