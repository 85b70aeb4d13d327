"""A log for TensorBoard that never stands in the way of training."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.storage_errors import reason, storage_error_number, writing

logger = logging.getLogger(__name__)


class TensorBoardRun(TensorBoardLogger):
    """Lightning's logger; a disk that fills up ends the log, with one warning, not the run.

    Args:
        run_folder: of the run.
        name: of the folder in it.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, run_folder: Path, name: str) -> None:
        super().__init__(run_folder, name=name, version="")
        self._folder = run_folder / name
        self._gone = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self._folder}: {error.strerror}. Make it a folder that can be written, or choose another "
                "name with logger.tensorboard.folder=..."
            ) from error

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer, made at the first use, before the first step.

        Raises:
            StorageError: there is no room for its file.
        """
        with writing(self._folder, then="run the same line again, or with logger=csv"):
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars."""
        with self._tolerated():
            super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Log hyperparameters."""
        with self._tolerated():
            super().log_hyperparams(*args, **kwargs)

    @rank_zero_only
    def log_image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Log an image, uint8 (height, width, 3)."""
        with self._tolerated():
            self.experiment.add_image(name, pixels, step, dataformats="HWC")

    @rank_zero_only
    def save(self) -> None:
        """Write what waits."""
        with self._tolerated():
            super().save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what waits, and close the file; the next value opens another."""
        with self._tolerated():
            super().finalize(status)

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Lightning makes a ValueError of any
            if not self._gone:
                if storage_error_number(error) is None:
                    raise
                logger.warning("TensorBoard gets no more of this run: %s: %s", self._folder, reason(error))
            self._gone = True
