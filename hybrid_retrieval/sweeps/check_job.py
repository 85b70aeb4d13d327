"""What can be said against a job of a sweep before the first one starts."""

from omegaconf import DictConfig

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training.check_options import check_options
from hybrid_retrieval.training.local_processes import (
    SPAWNED,
    device_count,
    spawned_strategy,
    starts_processes,
)


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
    """Refuse several processes that the run does not start itself: each would run the whole sweep.

    Args:
        trainer: of a configuration.

    Raises:
        UserError: several nodes or devices, and processes that another program starts (torchrun, mpirun), or
            Lightning by running the command line again.
    """
    strategy, nodes = str(trainer.strategy), trainer.num_nodes
    if strategy.endswith(("spawn", "fork", "notebook")) or starts_processes(trainer):
        return
    if nodes in (1, "1") and (devices := device_count(trainer)) == 1:
        return
    what = f"{nodes} nodes" if nodes not in (1, "1") else f"{devices} devices"
    raise UserError(
        f"trainer.strategy={strategy} on {what}: in a multirun each process that is started from outside "
        "would run the whole sweep. Use trainer.strategy=ddp or fsdp2 on one machine and start the command "
        "once, without torchrun, or launcher=slurm, where SLURM starts the processes of each job."
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
