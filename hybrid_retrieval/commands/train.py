"""`hybrid-retrieval train`: train, save and evaluate one model."""

import sys
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.sweeps.cost import cost_of
from hybrid_retrieval.sweeps.job import label_of_folder
from hybrid_retrieval.sweeps.recorded_run import is_first_process, recorded_run
from hybrid_retrieval.sweeps.run_record import RunRecord


def run(cfg: DictConfig) -> None:
    """Train as configured; the last two printed lines are the paths of model/ and metrics.json.

    Args:
        cfg: `conf/train.yaml`.

    Raises:
        UserError: the configuration, the data or the machine do not fit.
        RunFailedError: training came to an end that its message tells.
    """
    if cfg.dry_run:
        raise UserError("--dry-run tells the jobs of a sweep: add -m.")
    folder = Path(HydraConfig.get().runtime.output_dir)
    hash_ = configuration_hash(cfg)
    record = RunRecord(
        hash_, label_of_folder(folder, hash_), max_steps=cfg.trainer.max_steps, cost=cost_of(cfg)
    )
    with recorded_run(folder, record, resume=cfg.resume) if is_first_process() else nullcontext():
        model, metrics = _train(cfg, folder)
    if model is not None:
        sys.stdout.write(f"{model}\n" + (f"{metrics}\n" if metrics else ""))
        sys.stdout.flush()


def _train(cfg: DictConfig, folder: Path) -> tuple[Path | None, Path | None]:
    # Seconds of imports.
    from hybrid_retrieval.training.local_processes import starts_processes, train_in_processes  # noqa: PLC0415
    from hybrid_retrieval.training.run import train  # noqa: PLC0415

    return train_in_processes(cfg, folder) if starts_processes(cfg.trainer) else train(cfg, folder)
