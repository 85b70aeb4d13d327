"""Which arithmetic the hardware does well."""

import torch


def best_precision(accelerator: str) -> str:
    """Lightning's name of the fastest precision that trains well on this machine.

    bf16 where the hardware multiplies it: GPUs from Ampere on, CPUs with AMX. A CPU without AMX emulates bf16
    and is two to seven times slower with it, so it gets float32.

    Args:
        accelerator: Lightning's accelerator, "auto" for whatever there is.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator in ("auto", "cpu") and torch.cpu._is_amx_tile_supported():
        return "bf16-mixed"
    return "32-true"
