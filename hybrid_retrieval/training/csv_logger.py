"""The training log as one CSV in the run folder."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class TrainMetricsCSV(Logger):
    """Writes one row a logged step, one column a metric, blank where a step did not log it.

    Unlike Lightning's own CSV logger it goes on with the file of an interrupted run: rows of earlier steps
    stay. The file is replaced at once, so a reader never sees half of it.

    Args:
        file: the CSV file.
        resume: whether to keep the rows an earlier run wrote.
    """

    def __init__(self, file: Path, *, resume: bool = False) -> None:
        super().__init__()
        self.file = file
        self._rows: dict[int, dict[str, Any]] = {}
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
        self.save()

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in `.hydra/`."""

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        columns = sorted({name for row in self._rows.values() for name in row} - {"step", "epoch"})
        temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        with temporary.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, ["step", "epoch", *columns])
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))
        os.replace(temporary, self.file)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        if self._rows:
            self.save()
