"""What a run asks of SLURM: `launcher` of its configuration, filled in from `trainer`."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.number_options import check_number

_GPU = ("gpu", "cuda")
_POSITIVE = ("timeout_min", "array_parallelism", "poll_seconds")
_POSITIVE_OR_NULL = ("mem_gb", "cpus_per_task", "nodes", "tasks_per_node")


def sbatch_parameters(cfg: DictConfig) -> dict[str, Any]:
    """Parameters of submitit's `SlurmExecutor` for a run.

    Nodes follow `trainer.num_nodes`, processes of a node `trainer.devices`, and GPUs of a node
    `trainer.devices` where `trainer.accelerator` is gpu, unless they are set. `trainer.accelerator=auto` asks
    for none, as the machine that submits knows nothing of the nodes.

    Args:
        cfg: of a run, with `launcher` and `trainer`.

    Raises:
        UserError: a value is out of range, or processes do not fit devices.
    """
    launcher, trainer = cfg.launcher, cfg.trainer
    for name in _POSITIVE + _POSITIVE_OR_NULL:
        check_number(f"launcher.{name}", launcher[name], least=0, above=True, null=name in _POSITIVE_OR_NULL)
    for name in ("signal_delay_s", "requeues"):
        check_number(f"launcher.{name}", launcher[name], least=0, whole=True)
    gpus = launcher.gpus_per_node
    tasks = launcher.tasks_per_node or _tasks(trainer.devices, gpus)
    if gpus is None and trainer.accelerator in _GPU:
        gpus = tasks
    optional = {
        "partition": launcher.partition,
        "account": launcher.account,
        "qos": launcher.qos,
        "constraint": launcher.constraint,
        "cpus_per_task": launcher.cpus_per_task,
        "gpus_per_node": gpus or None,
        "mem": None if launcher.mem_gb is None else f"{round(launcher.mem_gb * 1024)}MB",
    }
    return {
        **{name: value for name, value in optional.items() if value is not None},
        "time": int(launcher.timeout_min),
        "nodes": launcher.nodes or trainer.num_nodes,
        "ntasks_per_node": tasks,
        "signal_delay_s": launcher.signal_delay_s,
        "array_parallelism": launcher.array_parallelism,
        "setup": [str(line) for line in launcher.setup] or None,
        "additional_parameters": OmegaConf.to_container(launcher.additional),
        "stderr_to_stdout": True,
        # A process that ends would leave the others waiting for it.
        "srun_args": ["--kill-on-bad-exit=1", "--wait=60"],
    }


def _tasks(devices: Any, gpus: int | None) -> int:
    if isinstance(devices, int) and devices > 0:
        return devices
    if devices == -1 and gpus:
        return gpus
    raise UserError(
        f"trainer.devices={devices} does not say how many processes a job needs: set it to a number, or set "
        "launcher.gpus_per_node or launcher.tasks_per_node."
    )
