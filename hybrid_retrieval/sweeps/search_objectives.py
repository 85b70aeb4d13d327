"""What a search optimises: validation metrics of its trials, by name."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.reporting.training_curves import read_training
from hybrid_retrieval.sweeps.recorded_run import METRICS as METRICS_FILE
from hybrid_retrieval.sweeps.recorded_run import SETTINGS
from hybrid_retrieval.training.check_options import MONITORED

Direction = Literal["minimize", "maximize"]
_DIRECTIONS: dict[str, Direction] = {
    "min": "minimize",
    "max": "maximize",
    "lower": "minimize",
    "higher": "maximize",
}


class NoValueError(Exception):
    """A finished run without the value of an objective; the message says what is missing."""


@dataclass(frozen=True)
class Objective:
    """A metric and which way is better.

    Attributes:
        name: as in train_metrics.csv and run.json (`val/map_monolingual`), or the path in metrics.json
            (`multilingual.map`).
        direction: minimize or maximize.
    """

    name: str
    direction: Direction


def known_objectives(cfg: DictConfig) -> dict[str, Direction | None]:
    """The names that a run of this configuration will have, and which way is better; None: neither way."""
    found: dict[str, Direction | None] = {
        name: _DIRECTIONS[better]
        for name, better in MONITORED.items()
        if cfg.get("val_retrieval") is not None or not name.startswith("val_retrieval/")
    }
    if cfg.evaluate:
        found |= {f"{setting}.{metric}": "maximize" for setting in SETTINGS for metric in METRICS}
        found |= {
            f"language_bias.{name}": _DIRECTIONS.get(measure.better) for name, measure in BY_QUERY.items()
        }
    return found


def parse_objectives(given: Any, cfg: DictConfig) -> list[Objective]:
    """The objectives of a search.

    Args:
        given: `hydra.sweeper.search.objectives`: a name, `{name: minimize}` or maximize, or a list of such.
        cfg: that all trials share, without `hydra`.

    Raises:
        UserError: a name that runs will not have, a direction that makes models worse, or no validation.
    """
    entries: dict[str, Any] = {}
    for one in [given] if isinstance(given, str | Mapping) else given or []:
        entries |= dict(one) if isinstance(one, Mapping) else {str(one): None}
    if not entries:
        raise UserError(
            "hydra.sweeper.search.objectives is empty: name a metric, such as [val/map_multilingual]."
        )
    known = known_objectives(cfg)
    for name, way in entries.items():
        if name not in known:
            raise UserError(f"search objective {name} is unknown; known: {', '.join(known)}.{_needs(name)}")
        if way not in (None, "minimize", "maximize"):
            raise UserError(f"search objective {name}: {way} must be minimize or maximize.")
        if way is None and known[name] is None:
            raise UserError(
                f"search objective {name} is better neither way: say {{{name}: minimize}} or maximize."
            )
        if way is not None and known[name] not in (None, way):
            raise UserError(
                f"search objective {name}: {way} makes models worse; write {name}: {known[name]}."
            )
    if any(name.startswith(("val/", "val_retrieval/")) for name in entries):
        _check_validation(cfg)
    return [Objective(name, way or known[name] or "minimize") for name, way in entries.items()]


def benchmark_warnings(objectives: Sequence[Objective], cfg: DictConfig) -> list[str]:
    """What to say of objectives that are measured on a benchmark, which a search would tune to.

    The held-out rows of the training data are none.
    """
    found = []
    for group, prefix in (("benchmark", None), ("val_retrieval", "val_retrieval/")):
        names = [
            one.name
            for one in objectives
            if (one.name.startswith(prefix) if prefix else not one.name.startswith("val"))
        ]
        if names and OmegaConf.select(cfg, f"{group}.split") != "validation":
            found.append(
                f"{', '.join(names)}: measured on the benchmark {cfg[group].name}. The search tunes to it, "
                "so that its numbers are too good afterwards: report another benchmark, or search by val/*."
            )
    return found


def read_values(objectives: Sequence[Objective], run: Path, monitor: str | None) -> list[float]:
    """The values of a finished run: those of the weights that it kept.

    These are those of the validation that was best by `trainer.monitor`, or of the last one without it.

    Args:
        objectives: in this order.
        run: its folder.
        monitor: `trainer.monitor`.

    Raises:
        NoValueError: a value is missing, or no finite number.
        UserError: train_metrics.csv is damaged.
    """
    curves = read_training(run)
    step = None
    if monitor is not None and monitor in curves:
        steps, values = curves[monitor]
        step = steps[values.index((min if MONITORED[monitor] == "min" else max)(values))]
    found = []
    for one in objectives:
        if one.name.startswith("val"):
            curve = dict(zip(*curves.get(one.name, ((), ())), strict=True))
            value = curve.get(step if step is not None else max(curve, default=0.0))
            where = "train_metrics.csv" + ("" if step is None else f" at the best step, {step:.0f}")
        else:
            value, where = _of_metrics(run, one.name), METRICS_FILE
        if value is None or not math.isfinite(value):
            there = sorted(name for name in curves if name.startswith("val"))
            raise NoValueError(f"no {one.name} in {where}; validated were {', '.join(there) or 'no metrics'}")
        found.append(value)
    return found


def _of_metrics(run: Path, name: str) -> float | None:
    section, _, metric = name.partition(".")
    try:
        value = json.loads((run / METRICS_FILE).read_bytes())[section][metric]
        return None if value is None else float(value)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _needs(name: str) -> str:
    if name.startswith("val_retrieval/"):
        return " val_retrieval/* needs benchmark@val_retrieval=<name>."
    return " Those of metrics.json need evaluate=true." if "." in name else ""


def _check_validation(cfg: DictConfig) -> None:
    every, steps = cfg.trainer.val_check_interval, cfg.trainer.max_steps
    if every is None or every > steps:
        raise UserError(
            f"search objectives val/* need validation: set trainer.val_check_interval={every} to "
            f"trainer.max_steps={steps} or less."
        )
    if not cfg.data.validation_limit:
        raise UserError("search objectives val/* need validation: set data.validation_limit above 0.")
