"""What the loggers of a run get of its evaluation: metrics, tables and heat maps."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np

from hybrid_retrieval.evaluation.results import SETTINGS
from hybrid_retrieval.training.tensorboard_logger import TensorBoardRun
from hybrid_retrieval.training.wandb_logger import WandbRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COST = ("train_seconds", "energy_joules")
_MAP_METRIC = "map"
_CONFUSION = "top@10"

Table = tuple[list[str], list[list[Any]]]


def log_evaluation(trainer: pl.Trainer, run_folder: Path, metrics: Mapping[str, Any]) -> None:
    """Log what the evaluation found: metrics, the language pairs and the confusion of languages.

    train_metrics.csv gets the metrics over all languages; W&B and TensorBoard those of each language, what
    the training cost and the heat maps, W&B also tables.

    Args:
        trainer: whose loggers.
        run_folder: of the run.
        metrics: of metrics.json; NaN or None where nothing defines a value.
    """
    overall, further = _overall(metrics), _by_language(metrics) | _cost(metrics)
    tables = {"test/language_pairs": _pair_table(metrics), "test/confusion": _confusion_table(metrics)}
    images: dict[str, np.ndarray] | None = None
    step = trainer.global_step
    for each in trainer.loggers:
        if not isinstance(each, WandbRun | TensorBoardRun):
            each.log_metrics(overall, step=step)
            continue
        each.log_metrics(overall | further, step=step)
        if images is None:
            images = _images(run_folder, metrics)
        if isinstance(each, TensorBoardRun):
            for name, pixels in images.items():
                each.log_image(name, pixels, step)
        else:
            import wandb  # noqa: PLC0415

            media: dict[str, Any] = {name: wandb.Image(pixels) for name, pixels in images.items()}
            for name, (columns, rows) in tables.items():
                if rows:
                    media[name] = wandb.Table(columns=columns, data=rows)
            if media:
                each.log_metrics(media, step=step)


def _overall(metrics: Mapping[str, Any]) -> dict[str, float]:
    values = {f"{setting}/{name}": v for setting in SETTINGS for name, v in metrics[setting].items()}
    values |= {f"language_bias/{name}": v for name, v in metrics["language_bias"].items()}
    return _known({"rank_distance": metrics["language_bias"].get("rank_distance"), **values})


def _by_language(metrics: Mapping[str, Any]) -> dict[str, float]:
    values: dict[str, Any] = {}
    for section in ("per_language", "per_document_language"):
        for code, found in metrics.get(section, {}).items():
            for name, value in found.items():
                inner = value if isinstance(value, Mapping) else {"": value}
                for key, v in inner.items():
                    values["/".join(filter(None, (section, code, name, key)))] = v
    return _known(values)


def _cost(metrics: Mapping[str, Any]) -> dict[str, float]:
    run = metrics.get("run") or {}
    return {f"run/{name}": run[name] for name in _COST if name in run}


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {f"test/{k}": v for k, v in values.items() if v is not None and not math.isnan(v)}


def _pair_table(metrics: Mapping[str, Any]) -> Table:
    """One row a pair of languages, monolingual ones too; one column a metric."""
    pairs = {
        (query, document): found
        for query, others in metrics.get("per_pair", {}).items()
        for document, found in others.items()
    }
    pairs |= {(x, x): found["monolingual"] for x, found in metrics.get("per_language", {}).items()}
    names = list(dict.fromkeys(name for found in pairs.values() for name in found))
    rows = [[*pair, *(_or_none(found.get(name)) for name in names)] for pair, found in sorted(pairs.items())]
    return ["query language", "document language", *names], rows


def _confusion_table(metrics: Mapping[str, Any]) -> Table:
    shares = (metrics.get("confusion") or {}).get(_CONFUSION, {})
    rows = [
        [query, document, _or_none(share)]
        for query, found in shares.items()
        for document, share in found.items()
    ]
    return ["query language", "result language", f"share of {_CONFUSION}"], rows


def _or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _images(run_folder: Path, metrics: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Heat maps, uint8 (height, width, 3), of those that the benchmark has."""
    from hybrid_retrieval.reporting.comparison import Comparison  # noqa: PLC0415 - matplotlib, scipy
    from hybrid_retrieval.reporting.experiments import group_runs  # noqa: PLC0415
    from hybrid_retrieval.reporting.figures.canvas import COLUMN  # noqa: PLC0415
    from hybrid_retrieval.reporting.figures.heat_figures import confusion_maps, heat_maps  # noqa: PLC0415
    from hybrid_retrieval.reporting.runs import Run  # noqa: PLC0415

    experiments = tuple(group_runs([Run(run_folder, run_folder, dict(metrics))]))
    comparison = Comparison(
        experiments, _MAP_METRIC, main=(), further=(), bias=(), differences=(), tests=0, untested=(), paper=()
    )
    found = {
        "test/language_pairs_map": heat_maps(comparison, width=COLUMN),
        "test/confusion_map": confusion_maps(comparison, width=COLUMN),
    }
    return {name: _pixels(figure) for name, figure in found.items() if figure is not None}


def _pixels(figure: "Figure") -> np.ndarray:
    return np.array(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
