"""The training loss, by batch type."""

from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from hybrid_retrieval.data.collate import TrainBatch


class BatchTypeLoss(pl.Callback):
    """Logs `train/loss_monolingual` or `train/loss_cross_lingual`, at the step of such a batch alone.

    Lightning's `log` would repeat the value in the rows of later steps, whose batches are of the other type;
    what it repeats is lost when a run goes on from a checkpoint.

    Args:
        every: log after every so many steps, as the trainer does.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: TrainBatch,
        batch_idx: int,
    ) -> None:
        """Log the loss in the row of `train/loss`: the mean over ranks."""
        step = trainer.global_step
        if step % self.every and not trainer.should_stop:
            return
        loss: Tensor = trainer.strategy.reduce(outputs["loss"], reduce_op="mean")  # type: ignore[assignment]
        name = f"train/loss_{'monolingual' if batch.monolingual else 'cross_lingual'}"
        for logger in trainer.loggers:
            logger.log_metrics({name: float(loss)}, step=step - 1)  # Lightning counts them from 0
