"""In which arithmetic texts are encoded for an evaluation."""

import torch

from hybrid_retrieval.bfloat16 import multiplies_bf16
from hybrid_retrieval.errors import UserError

PRECISIONS = ("auto", "float32", "bfloat16", "fast")


def check_precision(precision: object, option: str) -> str:
    """A precision that exists.

    Args:
        precision: as configured.
        option: its name, for the message.

    Raises:
        UserError: another one.
    """
    if precision not in PRECISIONS:
        raise UserError(f"{option}={precision} is unknown; known: {', '.join(PRECISIONS)}.")
    return str(precision)


def arithmetic(precision: str, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in.

    bfloat16 about halves the time on hardware that multiplies it: GPUs, and CPUs with AMX or AVX512-BF16. A
    CPU, on which published numbers are reproduced to the digit, uses it only where it is asked for.

    Args:
        precision: one of `PRECISIONS`; "auto" is bfloat16 on a GPU, else float32; "fast" is bfloat16 also on
            a CPU that multiplies it.
        device: where the encoder is.
    """
    by_default = device.type == "cuda" or (precision == "fast" and device.type == "cpu" and multiplies_bf16())
    if precision == "bfloat16" or (precision in ("auto", "fast") and by_default):
        return torch.bfloat16
    return torch.float32
