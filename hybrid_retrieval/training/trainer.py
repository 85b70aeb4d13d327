"""The Lightning trainer of a run: precision, checkpoints, loggers, early stopping."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.launch import name_first_node
from hybrid_retrieval.training.assemble import Parts
from hybrid_retrieval.training.batch_type_loss import BatchTypeLoss
from hybrid_retrieval.training.check_options import MONITORED
from hybrid_retrieval.training.finite_guard import FiniteGuard
from hybrid_retrieval.training.fsdp2 import FSDP2, FSDP2Strategy
from hybrid_retrieval.training.last_checkpoint import LastCheckpoint, SealedCheckpointIO
from hybrid_retrieval.training.loggers import loggers_of
from hybrid_retrieval.training.mapped_data import MappedData
from hybrid_retrieval.training.precision import training_precision, warn_of_emulation
from hybrid_retrieval.training.preemption import Preemption
from hybrid_retrieval.training.run_progress import RunProgress
from hybrid_retrieval.training.statistics import BatchStatistics
from hybrid_retrieval.training.step_seed import StepSeed
from hybrid_retrieval.training.throughput import Throughput
from hybrid_retrieval.training.time_estimate import TimeEstimate


def make_trainer(cfg: DictConfig, run_folder: Path, parts: Parts, *, has_validation: bool) -> pl.Trainer:
    """The trainer that a configuration asks for.

    Args:
        cfg: `conf/train.yaml`.
        run_folder: gets `checkpoints/` and the files of the loggers.
        parts: what is trained.
        has_validation: whether there is held-out data.

    Raises:
        UserError: the options do not fit together or the machine.
    """
    _quiet()
    name_first_node(os.environ)
    options: dict[str, Any] = OmegaConf.to_container(cfg.trainer)  # type: ignore[assignment]
    monitor, patience = options.pop("monitor"), options.pop("patience")
    every, interval = options.pop("checkpoint_every_n_steps"), options.pop("val_check_interval")
    progress = options.pop("enable_progress_bar")
    options["precision"] = training_precision(
        options["precision"], options["accelerator"], options["strategy"]
    )
    warn_of_emulation(options["precision"], options["accelerator"])
    if options["strategy"] == FSDP2:
        # Weights that are gathered in inference mode could not be trained afterwards.
        options |= {"strategy": FSDP2Strategy(), "inference_mode": False}
    validate = has_validation and interval is not None and interval <= options["max_steps"]
    preemption = Preemption(resumes=bool(cfg.resume))
    run_progress = RunProgress(run_folder, cfg.global_batch_size, monitor)
    callbacks: list[pl.Callback] = [
        BatchStatistics(parts.plan, 10 * options["log_every_n_steps"]),
        BatchTypeLoss(options["log_every_n_steps"]),
        Throughput(10 * options["log_every_n_steps"]),
        TimeEstimate(options["max_steps"], interval if validate else None),
        FiniteGuard(parts, run_folder),
        LearningRateMonitor(logging_interval="step"),
        StepSeed(cfg.seed),
        run_progress,
        MappedData.of(parts),
        preemption,
        *_best(run_folder, monitor),
    ]
    if cfg.save_checkpoints:
        every = every or options["max_steps"]
        validate_every = interval if validate else None
        folder, saved = run_folder / "checkpoints", run_progress.checkpoint_saved
        callbacks.append(LastCheckpoint(folder, every, validate_every, preemption, saved))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=1 if sys.stdout.isatty() else 10))
    if monitor and not validate:
        raise UserError(
            f"trainer.monitor={monitor} needs validation: set data.validation_fraction and "
            "data.validation_limit above 0, and trainer.val_check_interval to trainer.max_steps or less."
        )
    if monitor and patience:
        callbacks.append(EarlyStopping(monitor, mode=MONITORED[monitor], patience=patience))
    try:
        return pl.Trainer(
            **options,
            callbacks=callbacks,
            plugins=[SealedCheckpointIO()],
            logger=loggers_of(cfg, run_folder, parts.train),
            default_root_dir=run_folder,
            enable_progress_bar=progress,
            enable_model_summary=False,
            enable_checkpointing=bool(cfg.save_checkpoints or monitor),
            check_val_every_n_epoch=None,
            val_check_interval=interval if validate else None,
            limit_val_batches=1.0 if validate else 0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"trainer: {error}") from error


def _best(run_folder: Path, monitor: str | None) -> list[ModelCheckpoint]:
    if not monitor:
        return []
    return [
        ModelCheckpoint(
            run_folder / "checkpoints",
            filename="best",
            monitor=monitor,
            mode=MONITORED[monitor],
            save_weights_only=True,
            enable_version_counter=False,
        )
    ]


def _quiet() -> None:
    """Keep what tells the user something; drop Lightning's advertisements and known false alarms."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*exists and is not empty.*",
        ".*srun.*",
        ".*LeafSpec.*",
        ".*treespec.*",
        ".*is not resumable.*",
        ".*`anonymous`.*",
        ".*anonymous.*",
        ".*was called before the ``update`` method.*",  # no held-out triples, or none on this rank
    ):
        warnings.filterwarnings("ignore", message=message)
