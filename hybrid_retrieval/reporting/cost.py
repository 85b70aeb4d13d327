"""What the training of each experiment cost: steps, time, speed, hardware, energy where it was measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hybrid_retrieval.reporting.charts import Training
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.runs import Run
from hybrid_retrieval.reporting.training_curves import Curve
from hybrid_retrieval.sweeps.run_record import RunRecord

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cost:
    """One experiment's cost; sums are over its runs (seeds), the others means or medians over them.

    Attributes:
        runs: how many.
        steps, pairs: optimiser steps of a run, and pairs of texts it saw.
        seconds: wall-clock time of a run's training with its validations; NaN where it is unknown.
        total_hours: of all runs, times the devices each had; NaN where it is unknown.
        steps_per_second: over the whole training; NaN where it is unknown, as for resumed runs.
        pairs_per_second: median of what was logged, without validation and the first step; NaN without.
        device: name of the GPU, or "cpu"; "unknown" for a model that was trained elsewhere.
        devices: GPUs or processes of a run; None where it is unknown.
        kilowatt_hours: of all runs, where every run measured it; None where it is unknown.
        resumed: runs that were resumed; their time and energy are those of the last part alone.
    """

    runs: int
    steps: int | None
    pairs: int | None
    seconds: float
    total_hours: float
    steps_per_second: float
    pairs_per_second: float
    device: str
    devices: int | None
    kilowatt_hours: float | None
    resumed: int


def costs(comparison: Comparison, training: Training) -> dict[str, Cost]:
    """The cost of each trained experiment, by label.

    Args:
        comparison: whose experiments.
        training: what each run logged.
    """
    return {e.label: _cost(e, training) for e in comparison.trained}


def duration(seconds: float) -> str:
    """ "12 s", "3 min 20 s" or "5 h 02 min"."""
    if not math.isfinite(seconds):
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _cost(experiment: Experiment, training: Training) -> Cost:
    facts = [run.training or {} for run in experiment.runs]
    seconds = [float(f.get("train_seconds", math.nan)) for f in facts]
    steps, batch = facts[0].get("steps"), facts[0].get("global_batch_size")
    speeds = [v for run in experiment.runs for v in _logged(training.get(run, {}), "train/pairs_per_second")]
    devices = [_devices(run) for run in experiment.runs]
    known = [d for d in devices if d is not None]
    hours = (
        [s * d / 3600 for s, d in zip(seconds, known, strict=True)]
        if len(known) == len(devices)
        else [math.nan]
    )
    energy = [_kilowatt_hours(f) for f in facts]
    records = [RunRecord.read(run.training_folder) for run in experiment.runs]
    measured = [e for e in energy if e is not None]
    mean_seconds = math.fsum(seconds) / len(seconds)
    resumed = sum(bool(record and record.restarts) for record in records)
    rate = steps / mean_seconds if steps and mean_seconds > 0 and not resumed else math.nan
    return Cost(
        runs=len(facts),
        steps=steps,
        pairs=steps * batch if steps and batch else None,
        seconds=mean_seconds,
        total_hours=math.fsum(hours),
        steps_per_second=rate,
        pairs_per_second=median(speeds) if speeds else math.nan,
        device=", ".join(dict.fromkeys(_device(run) for run in experiment.runs)),
        devices=max(known) if len(known) == len(devices) and known else None,
        kilowatt_hours=math.fsum(measured) if len(measured) == len(energy) else None,
        resumed=resumed,
    )


def _logged(columns: Mapping[str, Curve], name: str) -> Sequence[float]:
    return columns[name][1] if name in columns else ()


def _device(run: Run) -> str:
    """What it was evaluated on, which is what it was trained on where training evaluated it."""
    if run.folder != run.training_folder:
        return UNKNOWN
    return str((run.metrics.get("environment") or {}).get("device") or UNKNOWN)


def _devices(run: Run) -> int | None:
    """Devices over all nodes; "auto" is known for the CPU only, where it is one process."""
    trainer = run.config.get("trainer")
    if not isinstance(trainer, Mapping):
        return None
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if isinstance(devices, list):
        devices = len(devices)
    if devices == "auto" and _device(run) == "cpu":
        devices = 1
    return devices * nodes if isinstance(devices, int) and isinstance(nodes, int) and devices > 0 else None


def _kilowatt_hours(facts: Mapping[str, Any]) -> float | None:
    """`energy_joules` of metrics.json's run, where training measured it."""
    joules = facts.get("energy_joules")
    return float(joules) / 3.6e6 if isinstance(joules, int | float) else None
