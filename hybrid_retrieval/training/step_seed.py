"""Random numbers of the model that depend on the step, not on what came before it."""

from typing import Any

import lightning.pytorch as pl
import torch

from hybrid_retrieval.sampling.counter_random import stream_key


class StepSeed(pl.Callback):
    """Seeds torch before every step from (seed, rank, step), so that a resumed run drops out the same units.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the CPU and every GPU."""
        key = stream_key(self.seed, "dropout", trainer.global_rank, trainer.global_step)
        torch.manual_seed(int(key) % 2**63)
