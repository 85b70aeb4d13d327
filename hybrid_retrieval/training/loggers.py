"""Where a run logs to: train_metrics.csv, Weights & Biases, TensorBoard."""

import hashlib
import importlib.util
import logging
import math
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.results import SETTINGS
from hybrid_retrieval.security.secrets import HIDDEN, is_secret_name, without_secrets
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.sweeps.job import label_of_folder
from hybrid_retrieval.training.csv_logger import TrainMetricsCSV
from hybrid_retrieval.training.tensorboard_logger import TensorBoardRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN_METRICS_FILE = "train_metrics.csv"
MODES = ("offline", "online", "disabled")
_LONGEST_TAG = 64  # W&B refuses longer ones
_MAP_METRIC = "map"
_CONFUSION = "top@10"

logger = logging.getLogger(__name__)

Table = tuple[list[str], list[list[Any]]]


class WandbRun(WandbLogger):
    """A run on Weights & Biases that never stands in the way of training.

    Where `mode` is online and the server is not reached within `init_timeout`, it goes on offline, with a
    warning. A run that breaks off is finished as failed, so that the next one of a sweep in this process does
    not go on in it.

    Args:
        run_folder: gets `wandb/`.
        mode: offline or online.
        init_timeout: seconds to reach the server in.
        finish_timeout: seconds to upload the rest in, at the end.
        **init: of `wandb.init`.
    """

    def __init__(
        self, run_folder: Path, mode: str, *, init_timeout: float, finish_timeout: float, **init: Any
    ) -> None:
        import wandb  # noqa: PLC0415 - half a second to import

        settings = wandb.Settings(
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            disable_git=True,  # a remote's address may hold a password; the revision is in the configuration
            save_code=False,
        )
        # Not `offline=`, which would set WANDB_MODE for the rest of the process.
        super().__init__(save_dir=run_folder, mode=mode, settings=settings, **init)
        self._wandb_init.pop("anonymous", None)  # its mere presence makes wandb warn
        self.run_folder = run_folder

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of `wandb`, begun at the first use.

        Raises:
            UserError: online without a login.
        """
        if self._experiment is not None:
            return self._experiment
        import wandb  # noqa: PLC0415

        if wandb.run is not None:
            wandb.run.finish(exit_code=1)
        if self.mode == "online":
            try:
                return super().experiment
            except wandb.errors.UsageError as error:
                raise UserError(
                    "logger.wandb.mode=online needs a login: set WANDB_API_KEY or run `wandb login`, or take "
                    f"logger.wandb.mode=offline. W&B says: {_first_line(error)}"
                ) from error
            except (wandb.errors.Error, OSError, TimeoutError) as error:
                logger.warning(
                    "Weights & Biases was not reached, so this run goes on offline (summary.md tells how to "
                    "upload it): %s",
                    _first_line(error),
                )
            wandb.teardown()  # it holds on to the id of the run
            self._wandb_init["mode"] = "offline"
        return super().experiment

    @property
    def mode(self) -> str:
        """Offline or online, as it came to be."""
        return str(self._wandb_init["mode"])

    @property
    def sync_command(self) -> str:
        """Uploads what the run logged offline, all its restarts; "" for an online run."""
        if self.mode == "online":
            return ""
        return f"wandb sync {shlex.quote(str(self.run_folder.absolute() / 'wandb'))}/offline-run-*-{self._id}"

    def finalize(self, status: str) -> None:
        """End a run that broke off; one that succeeded has its evaluation still to come."""
        super().finalize(status)
        if status != "success":
            self.finish(exit_code=1)

    def finish(self, exit_code: int = 0) -> None:
        """Write, or upload, what is left; nothing where the run has not begun."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)
            self._experiment = None


def loggers_of(cfg: DictConfig, run_folder: Path, data: Sequence[ParallelCorpus]) -> list[Logger]:
    """The loggers that a configuration asks for; none has written anything but an empty folder yet.

    Args:
        cfg: `conf/train.yaml`.
        run_folder: gets `train_metrics.csv`, `wandb/` and `tensorboard/`.
        data: what is trained on.

    Raises:
        UserError: an unknown mode, a package is missing, or TensorBoard's folder cannot be made.
    """
    loggers: list[Logger] = [TrainMetricsCSV(run_folder / TRAIN_METRICS_FILE, resume=bool(cfg.resume))]
    wandb, tensorboard = cfg.logger.get("wandb"), cfg.logger.get("tensorboard")
    if wandb is not None:
        if wandb.mode not in MODES:
            raise UserError(f"logger.wandb.mode={wandb.mode} is unknown; known: {', '.join(MODES)}.")
        if wandb.mode != "disabled":
            loggers.append(_wandb(cfg, run_folder, data))
    if tensorboard is not None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs a package: pip install tensorboard")
        loggers.append(TensorBoardRun(run_folder, tensorboard.folder))
    return loggers


def _wandb(cfg: DictConfig, run_folder: Path, data: Sequence[ParallelCorpus]) -> WandbRun:
    os.environ.setdefault("WANDB_SILENT", "true")
    settings = cfg.logger.wandb
    tags = [cfg.sampler.name, cfg.backbone.name, *(corpus.name for corpus in data), *settings.tags]
    sweep = _sweep_folder()
    hash_ = configuration_hash(cfg)
    alone = f"{cfg.sampler.name}-seed{cfg.seed}"
    return WandbRun(
        run_folder,
        settings.mode,
        init_timeout=settings.init_timeout,
        finish_timeout=settings.finish_timeout,
        id=run_id(run_folder, hash_),
        project=settings.project,
        name=alone if sweep is None else label_of_folder(run_folder, hash_),
        group=settings.group or (None if sweep is None else sweep.name),
        job_type="train",
        tags=list(dict.fromkeys(str(tag)[:_LONGEST_TAG] for tag in tags)),
        config=logged_configuration(cfg, os.environ)
        | {
            "configuration_hash": hash_,
            "git_revision": git_revision(),
            "data_fingerprints": {corpus.name: corpus.fingerprint for corpus in data},
        },
    )


def run_id(run_folder: Path, hash_: str) -> str:
    """16 hexadecimal digits: the same whenever a run of this configuration goes on in this folder."""
    return hashlib.sha256(f"{run_folder.resolve()}\n{hash_}".encode()).hexdigest()[:16]


def logged_configuration(cfg: DictConfig, environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration, resolved, without secrets (`security.secrets`)."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: HIDDEN if isinstance(v, str) and is_secret_name(str(k)) else clean(v)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [clean(each) for each in value]
        return without_secrets(value, environment) if isinstance(value, str) else value

    cleaned: dict[str, Any] = clean(OmegaConf.to_container(cfg, resolve=True))
    return cleaned


def git_revision() -> str | None:
    """The commit of the checkout this code runs from, `-dirty` where it was changed; None elsewhere."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def log_evaluation(trainer: pl.Trainer, run_folder: Path, metrics: Mapping[str, Any]) -> None:
    """Log what the evaluation found: metrics, the language pairs and the confusion of languages.

    train_metrics.csv gets the metrics over all languages; W&B and TensorBoard those of each language and the
    heat maps, W&B also tables.

    Args:
        trainer: whose loggers.
        run_folder: of the run.
        metrics: of metrics.json; NaN or None where nothing defines a value.
    """
    overall, by_language = _overall(metrics), _by_language(metrics)
    tables = {"test/language_pairs": _pair_table(metrics), "test/confusion": _confusion_table(metrics)}
    images: dict[str, np.ndarray] | None = None
    step = trainer.global_step
    for each in trainer.loggers:
        if not isinstance(each, WandbRun | TensorBoardRun):
            each.log_metrics(overall, step=step)
            continue
        each.log_metrics(overall | by_language, step=step)
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


def finish_loggers(trainer: pl.Trainer) -> None:
    """End the logs of a run that succeeded."""
    for each in trainer.loggers:
        each.finalize("success")
        if isinstance(each, WandbRun):
            each.finish()


def sync_command(trainer: pl.Trainer) -> str:
    """The command that uploads the run to W&B; "" where there is nothing to upload."""
    return next((each.sync_command for each in trainer.loggers if isinstance(each, WandbRun)), "")


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


def _sweep_folder() -> Path | None:
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).absolute()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
