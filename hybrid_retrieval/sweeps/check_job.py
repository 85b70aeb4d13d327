"""What can be said against a job of a sweep before the first one starts."""

from omegaconf import DictConfig

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training.check_options import check_options
from hybrid_retrieval.training.local_processes import SPAWNED, device_count, spawned_strategy


def started_by_slurm(config: DictConfig) -> bool:
    """Whether the launcher of a configuration, with `hydra`, has SLURM start the jobs."""
    return "slurm" in str(config.hydra.launcher._target_).rpartition(".")[2].lower()


def check_job(cfg: DictConfig, *, by_slurm: bool) -> None:
    """Refuse a job that would fail when it starts.

    Args:
        cfg: of the job, without `hydra`.
        by_slurm: whether SLURM starts the jobs: what this machine can do is not looked at then, as it may
            be a login node.

    Raises:
        UserError: the message names the setting and the fix.
    """
    (check_slurm_processes if by_slurm else check_local_processes)(cfg.trainer)
    if inner := spawned_strategy(str(cfg.trainer.strategy)):
        cfg = cfg.copy()
        cfg.trainer.strategy = inner
    check_options(cfg, this_machine=not by_slurm)


def check_local_processes(trainer: DictConfig) -> None:
    """Refuse strategies whose processes run the command line again, which is the whole sweep.

    Args:
        trainer: of a configuration.

    Raises:
        UserError: several devices, and such a strategy.
    """
    strategy = str(trainer.strategy)
    if strategy.endswith(("spawn", "fork", "notebook")) or (devices := device_count(trainer)) == 1:
        return
    spawned = "fsdp2_spawn" if strategy == "fsdp2" else "ddp_spawn"
    raise UserError(
        f"trainer.strategy={strategy} with {devices} devices starts its processes by running the command "
        f"line again, which in a multirun is the whole sweep. Use trainer.strategy={spawned}, whose "
        "processes the run starts itself, or launcher=slurm, where SLURM starts them."
    )


def check_slurm_processes(trainer: DictConfig) -> None:
    """Refuse strategies that start processes of their own where SLURM starts one for each device.

    Args:
        trainer: of a configuration.

    Raises:
        UserError: such a strategy.
    """
    if inner := spawned_strategy(str(trainer.strategy)):
        raise UserError(
            f"trainer.strategy={trainer.strategy}: SLURM starts the processes. Use trainer.strategy={inner}; "
            f"known for a single machine without SLURM: {', '.join(SPAWNED)}."
        )
