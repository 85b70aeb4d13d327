"""Which CPUs multiply bfloat16, rather than to emulate it."""

import torch


def multiplies_bf16() -> bool:
    """Whether this machine's CPU has instructions for it: AMX or AVX512-BF16.

    With the latter a training step of multilingual-e5-small takes .56 of its time in float32, and encoding
    about as much; a CPU without either takes two to seven times as long.
    """
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
