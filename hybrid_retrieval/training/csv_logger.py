"""The training log as one CSV in the run folder."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.storage_errors import WarnOnce

logger = logging.getLogger(__name__)


class TrainMetricsCSV(Logger):
    """Writes one row a logged step, one column a metric, blank where a step did not log it.

    Unlike Lightning's own CSV logger it goes on with the file of an interrupted run: rows of earlier steps
    stay. The file is replaced at once, so a reader never sees half of it. A disk that is full does not stop
    training: the rows are kept, with one warning, and written with the next ones.

    Args:
        file: the CSV file.
        resume: whether to keep the rows an earlier run wrote.
    """

    def __init__(self, file: Path, *, resume: bool = False) -> None:
        super().__init__()
        self.file = file
        self._rows: dict[int, dict[str, Any]] = {}
        self._storage = WarnOnce(logger, "training goes on, and the log is kept in memory")
        if resume and file.is_file():
            with file.open(newline="", encoding="utf-8") as opened:
                for row in csv.DictReader(opened):
                    self._rows[int(row["step"])] = {k: v for k, v in row.items() if v}

    @property
    def name(self) -> str:
        """Lightning's name of the logger."""
        return "train_metrics"

    @property
    def version(self) -> str:
        """There is one file a run."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values to the row of `step`."""
        row = self._rows.setdefault(step or 0, {"step": step or 0})
        row.update({name: float(value) for name, value in metrics.items()})
        self._try_to_save()

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in `.hydra/`."""

    @rank_zero_only
    def save(self) -> None:
        """Write the file.

        Raises:
            StorageError: it cannot be written.
        """
        columns = sorted({name for row in self._rows.values() for name in row} - {"step", "epoch"})
        with atomic_file(self.file) as new, new.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, ["step", "epoch", *columns])
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left.

        Raises:
            StorageError: a run that succeeded cannot write its log.
        """
        if self._rows and status == "success":
            self.save()
        elif self._rows:
            self._try_to_save()

    def _try_to_save(self) -> None:
        with self._storage.tolerated():
            self.save()
