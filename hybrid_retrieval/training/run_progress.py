"""Keeps `run.json` of a run up to date while it trains."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from hybrid_retrieval.storage_errors import WarnOnce
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training.check_options import MONITORED

_EVERY = 3.0

logger = logging.getLogger(__name__)


class RunProgress(pl.Callback):
    """Writes step, speed and the best validation of a run into its record, every few seconds at most.

    Only the first process of a run writes, and only where there is a record (`sweeps.recorded_run`). A disk
    that is full is worth a warning.

    Args:
        folder: of the run.
        pairs: of an optimiser step, over all devices.
        watched: the metric whose best value is kept; None: `val/loss`.
    """

    def __init__(self, folder: Path, pairs: int, watched: str | None = None) -> None:
        self.folder = folder
        self.pairs = pairs
        self.watched = watched or "val/loss"
        self._record: RunRecord | None = None
        self._storage = WarnOnce(logger, "training goes on")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write where the run starts."""
        self._record = RunRecord.read(self.folder) if trainer.is_global_zero else None
        self._warm: tuple[float, int] | None = None
        if self._record is not None:
            self._record.max_steps = trainer.max_steps
            self._record.watched = self.watched
            self._record.watched_mode = "max" if MONITORED.get(self.watched) == "max" else "min"
            self._write(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write step and speed, if the last time is long enough ago."""
        if self._record is None:
            return
        now, step = time.monotonic(), trainer.global_step
        if self._warm is None:  # the first step of a process, which warms up, is not counted
            self._warm = self._last = (now, step)
        elif now - self._last[0] >= _EVERY:
            self._measure(now, step)
            self._write(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what was validated: the best value so far of what is watched, the last ones of the others."""
        if self._record is None:
            return
        best = self._record.best
        for name, tensor in trainer.callback_metrics.items():
            if not name.startswith("val"):
                continue
            value = float(tensor)
            if name == self.watched and name in best and name in MONITORED:
                value = (min if MONITORED[name] == "min" else max)(value, best[name])
            best[name] = value
        self._write(trainer)

    def checkpoint_saved(self, trainer: pl.Trainer) -> None:
        """Write from which step the run would go on, now that the checkpoint is on the disk."""
        if self._record is not None:
            self._record.checkpoint_step = trainer.global_step
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rest."""
        if self._record is None:
            return
        if self._warm is not None:
            self._measure(time.monotonic(), trainer.global_step)
        self._write(trainer)

    def _measure(self, now: float, step: int) -> None:
        assert self._record is not None
        assert self._warm is not None
        (last, last_step), (start, first) = self._last, self._warm
        if step > last_step and now > last:
            self._record.pairs_per_second = self.pairs * (step - last_step) / (now - last)
        if step > first and now > start:
            self._record.steps_per_second = (step - first) / (now - start)
        self._last = (now, step)

    def _write(self, trainer: pl.Trainer) -> None:
        assert self._record is not None
        self._record.step = trainer.global_step
        with self._storage.tolerated():
            self._record.write(self.folder)
