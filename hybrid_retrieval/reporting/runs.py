"""Finds evaluated runs on disk and reads them."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.terminal import plain_content

METRICS_FILE = "metrics.json"
SKIPPED_FOLDERS = {".hydra", "checkpoints", "model", "wandb", "lightning_logs"}
"""Folders in which no runs lie."""
SETTINGS = ("monolingual", "cross_lingual", "multilingual")
UNTRAINED = "untrained"
STRATEGY_ORDER = (UNTRAINED, "en_en", "x_x", "x_x_mono", "x_y", "hybrid")

_SCHEMA = 1
_SETTING_SECTIONS = ("sampler", "loss", "optim", "data", "trainer", "backbone")
# What may differ between two runs that repeat one experiment: where it ran, and what the "run" key holds.
_NOT_SETTINGS = {
    "_target_", "_partial_", "name", "seed", "alpha", "path", "folder", "model", "languages", "root",
    "max_steps", "accelerator", "devices", "num_nodes", "num_workers", "strategy", "precision", "logger",
    "callbacks", "log_every_n_steps", "enable_progress_bar", "enable_checkpointing", "enable_model_summary",
    "use_distributed_sampler",
}  # fmt: skip

_TERM, _TERM_OPTION = "loss.terms.", "loss.term_options."
OF_TERMS = (_TERM_OPTION, "loss.teacher")
"""How the keys of settings begin that a run has only with a term of the loss."""
TERMS_WITH_TEACHER = ("distillation", "teacher_alignment")
_OFF_AT_0 = ("loss.reverse", "data.hard_negatives")
_MEASURED = {"seed", "train_seconds", "energy_joules"}
# A setting that is off is as one that the run's version did not have yet.
_EMPTY: tuple[Any, ...] = ([], {}, "")


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluated model.

    Attributes:
        folder: holds metrics.json.
        training_folder: where the model was trained (.hydra, train_metrics.csv); the same folder unless the
            model was evaluated elsewhere afterwards.
        metrics: the content of metrics.json.
    """

    folder: Path
    training_folder: Path
    metrics: dict[str, Any]

    @property
    def benchmark(self) -> str:
        """Name of the benchmark it was evaluated on."""
        return str(self.metrics["benchmark"])

    @property
    def model(self) -> str:
        """The model as it was given to the evaluation."""
        return str(self.metrics["model"])

    @property
    def training(self) -> dict[str, Any] | None:
        """What `train` wrote about the run; None for a model that we did not train."""
        return self.metrics.get("run")

    @property
    def strategy(self) -> str:
        """Batch strategy, or "untrained"."""
        return str(self.training["strategy"]) if self.training else UNTRAINED

    @property
    def seed(self) -> int | None:
        """Seed of the training; None for a model that we did not train."""
        return int(self.training["seed"]) if self.training else None

    @property
    def train_languages(self) -> list[str]:
        """Languages it was trained on; none for a model that we did not train."""
        return list(self.training.get("languages", [])) if self.training else []

    @property
    def overrides(self) -> list[str]:
        """The overrides the training command was given; empty where Hydra's record is missing."""
        loaded = _read_yaml(self.training_folder / ".hydra" / "overrides.yaml") if self.training else None
        return [str(override) for override in loaded] if isinstance(loaded, list) else []

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration that Hydra recorded of the training; {} where there is none."""
        loaded = _read_yaml(self.training_folder / ".hydra" / "config.yaml") if self.training else None
        return loaded if isinstance(loaded, dict) else {}

    @cached_property
    def settings(self) -> dict[str, str]:
        """Everything that distinguishes this experiment from another one, but the seed; values as JSON."""
        if self.training is None:
            return {"strategy": UNTRAINED, "model": self.model}
        own = {k: v for k, v in self.training.items() if k not in _MEASURED}
        if self.strategy != "hybrid":
            own["alpha"] = None
        for section in _SETTING_SECTIONS:
            if isinstance(self.config.get(section), dict):
                own.update(_flatten(self.config[section], section))
        own = _without_what_is_off(own)
        if not own.get("trainer.monitor"):  # then no validation changes the model
            own.pop("trainer.val_check_interval", None)
        return {
            k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)
            for k, v in own.items()
            if v is not None and v is not False and v not in _EMPTY
        }


def find_runs(folders: Sequence[Path], benchmark: str | None = None) -> list[Run]:
    """Read every metrics.json in the folders and below them.

    Args:
        folders: run folders, or folders of runs (a Hydra multirun), in any mixture.
        benchmark: keep the runs on this benchmark only.

    Returns:
        Runs in a stable order, none twice.

    Raises:
        UserError: no run is found, or a metrics.json cannot be read.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder. Give run folders or a multirun folder that `train` wrote."
            )
        files = list(_metrics_files(folder))
        if not files:
            raise UserError(
                f"{folder}: no {METRICS_FILE} in this folder or below it. Give a folder that "
                "`hybrid-retrieval train` or `hybrid-retrieval evaluate` wrote, or run one of them first."
            )
        for file in files:
            found.setdefault(file.resolve(), _read_run(file))
    runs = list(found.values())
    if benchmark is not None:
        names = sorted({run.benchmark for run in runs})
        runs = [run for run in runs if run.benchmark == benchmark]
        if not runs:
            raise UserError(
                f"benchmark_name={benchmark}: no run on it. The runs found are on {', '.join(names)}."
            )
    return runs


def _metrics_files(folder: Path) -> Iterator[Path]:
    for place, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED_FOLDERS)
        if METRICS_FILE in files:
            yield Path(place) / METRICS_FILE


def _read_run(file: Path) -> Run:
    try:
        metrics = plain_content(json.loads(file.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}, line {error.lineno}: not valid JSON ({error.msg}). Evaluate the model again."
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file}: cannot be read ({error}). Evaluate the model again.") from error
    if not isinstance(metrics, dict) or metrics.get("schema") != _SCHEMA:
        raise UserError(
            f"{file}: not a metrics.json of schema {_SCHEMA}. Evaluate the model with this version."
        )
    needed = ("model", "benchmark", "counts", *SETTINGS, "language_bias", "per_language", "per_pair")
    missing = [key for key in needed if key not in metrics]
    training = metrics.get("run")
    if training is not None:
        missing += [f"run.{key}" for key in ("strategy", "seed") if key not in training]
    if missing:
        raise UserError(f"{file}: no {', '.join(missing)}. Evaluate the model again with this version.")
    return Run(file.parent, _training_folder(file.parent, metrics), metrics)


def _training_folder(folder: Path, metrics: dict[str, Any]) -> Path:
    """The folder a trained model comes from, also when it was evaluated in another one."""
    if metrics.get("run") and not (folder / "train_metrics.csv").is_file():
        model = Path(str(metrics["model"]))
        for candidate in (folder, *folder.parents[:2], model.parent if model.is_absolute() else folder):
            if (candidate / "train_metrics.csv").is_file():
                return candidate
    return folder


def _flatten(section: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if key in _NOT_SETTINGS or str(key).endswith(("_dir", "_path")):
            continue
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}.{key}"))
        else:
            flat[f"{prefix}.{key}"] = value
    return flat


def _without_what_is_off(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without terms of weight 0, their options, an unused teacher, and what is off at 0."""
    on = {
        key.removeprefix(_TERM)
        for key, weight in settings.items()
        if key.startswith(_TERM) and weight not in (0, None)
    }
    kept = {
        key: value
        for key, value in settings.items()
        if not key.startswith((_TERM, _TERM_OPTION)) or key.split(".")[2] in on
    }
    for key in _OFF_AT_0:
        if kept.get(key) == 0:
            del kept[key]
    if on.isdisjoint(TERMS_WITH_TEACHER):
        kept.pop("loss.teacher_language", None)
    if on.isdisjoint(TERMS_WITH_TEACHER) or kept.get("loss.teacher") == "initial":  # as null
        kept.pop("loss.teacher", None)
    return kept


def _read_yaml(file: Path) -> Any:
    if not file.is_file():
        return None
    try:
        return plain_content(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not valid YAML ({error}). Restore the file or delete it.") from error
