"""Where a run logs to: train_metrics.csv, Weights & Biases, TensorBoard."""

import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.secrets import HIDDEN, is_secret_name, without_secrets
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.sweeps.job import label_of_folder
from hybrid_retrieval.training.csv_logger import TrainMetricsCSV
from hybrid_retrieval.training.tensorboard_logger import TensorBoardRun
from hybrid_retrieval.training.wandb_logger import MODES, WandbRun, run_id

TRAIN_METRICS_FILE = "train_metrics.csv"
_LONGEST_TAG = 64  # W&B refuses longer ones


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


def finish_loggers(trainer: pl.Trainer) -> None:
    """End the logs of a run that succeeded."""
    for each in trainer.loggers:
        each.finalize("success")
        if isinstance(each, WandbRun):
            each.finish()


def sync_command(trainer: pl.Trainer) -> str:
    """The command that uploads the run to W&B; "" where there is nothing to upload."""
    return next((each.sync_command for each in trainer.loggers if isinstance(each, WandbRun)), "")


def _sweep_folder() -> Path | None:
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).absolute()
