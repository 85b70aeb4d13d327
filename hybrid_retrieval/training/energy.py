"""The energy that the GPUs of a run took, from the counters of their driver (NVML)."""

import ctypes
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist

_LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0


def gpu_joules(device: torch.device, library: Any | None = None) -> float | None:
    """Joules that a GPU took since its driver was loaded, whoever used it.

    Written from NVML's documentation (nvmlDeviceGetTotalEnergyConsumption, Volta and newer); not run on a
    GPU.
    The energy of a CPU is not told: its counters are of the whole machine, and mostly closed to users.

    Args:
        device: of this process.
        library: NVML; None loads the driver's.

    Returns:
        None for a device that is no GPU, and where the driver cannot tell (a MIG slice, an older GPU).
    """
    if device.type != "cuda":
        return None
    try:
        nvml = library or ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    name = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-")
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlInit_v2() != _SUCCESS:
        return None
    try:
        found = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{name}".encode(), ctypes.byref(handle)) == _SUCCESS
        told = found and (
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) == _SUCCESS
        )
    finally:
        nvml.nvmlShutdown()
    return millijoules.value / 1000 if told else None


def energy_of_run(trainer: pl.Trainer, before: float | None, after: float | None) -> dict[str, float]:
    """`energy_joules` for metrics.json, summed over the GPUs of all processes; {} unless every one can tell.

    Every process calls it.

    Args:
        trainer: of the run.
        before, after: `gpu_joules` of this process's device when training began and ended.
    """
    own = torch.nan if before is None or after is None else after - before
    if trainer.world_size > 1:
        if not (dist.is_available() and dist.is_initialized()):
            return {}  # the other processes are gone, and what their GPUs took with them
        total = torch.tensor(own, dtype=torch.float64, device=trainer.strategy.root_device)
        dist.all_reduce(total)
        own = float(total)
    return {"energy_joules": round(own, 1)} if own >= 0 else {}
