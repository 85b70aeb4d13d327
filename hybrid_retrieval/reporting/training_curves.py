"""What a run logged while it trained: curves over steps, and the statistics of its batches."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.errors import UserError

TRAIN_METRICS_FILE = "train_metrics.csv"
CURVES = {
    "train/loss": ("Training loss", "lower is better"),
    "val/loss": ("Validation loss", "lower is better"),
    "val/map_monolingual": ("Validation mAP, monolingual", "higher is better"),
    "val/map_cross_lingual": ("Validation mAP, cross-lingual", "higher is better"),
    "val/map_multilingual": ("Validation mAP, multilingual", "higher is better"),
    "val/rank_distance": ("Validation rank distance", "ranks, lower is better"),
}
_ALIASES = {"train/loss_step": "train/loss", "val/loss_epoch": "val/loss"}

Curve = tuple[tuple[float, ...], tuple[float, ...]]


def read_training(folder: Path) -> dict[str, Curve]:
    """Read the columns of train_metrics.csv as (steps, values), blanks left out; empty without the file.

    Raises:
        UserError: the file is not the CSV that `train` writes.
    """
    file = folder / TRAIN_METRICS_FILE
    if not file.is_file():
        return {}
    columns: dict[str, list[tuple[float, float]]] = {}
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            if "step" not in (reader.fieldnames or []):
                raise UserError(f"{file}, line 1: no column `step`. Train again, or delete the file.")
            for row in reader:
                step = float(row["step"])
                for name, text in row.items():
                    if name not in {"step", "epoch"} and text:
                        columns.setdefault(_ALIASES.get(name, name), []).append((step, float(text)))
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{file}, line {reader.line_num}: not a row of numbers ({error}). Train again or delete it."
        ) from error
    return {
        name: (tuple(step for step, _ in points), tuple(value for _, value in points))
        for name, points in columns.items()
    }


def thinned(curve: Curve, points: int = 120) -> Curve:
    """At most that many points: means of neighbours, so that noise does not hide the course."""
    steps, values = curve
    if len(steps) <= points:
        return curve
    width = math.ceil(len(steps) / points)
    chunks = range(0, len(steps), width)
    return (
        tuple(_mean(steps[start : start + width]) for start in chunks),
        tuple(_mean(values[start : start + width]) for start in chunks),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
