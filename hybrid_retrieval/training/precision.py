"""Which arithmetic the hardware does well, and which choices of it would fail or train nothing."""

import logging

import torch

from hybrid_retrieval.bfloat16 import multiplies_bf16
from hybrid_retrieval.errors import UserError

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
# Other names that Lightning takes for them.
_SAME = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def training_device(accelerator: str) -> str:
    """The kind of device that Lightning takes: "cuda", "mps" or "cpu".

    Args:
        accelerator: Lightning's accelerator, "auto" for whatever there is.
    """
    if accelerator in ("gpu", "cuda", "mps", "cpu"):
        return "cuda" if accelerator == "gpu" else accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(accelerator: str) -> str:
    """Lightning's name of the fastest precision that trains well on this machine.

    bf16 where the hardware multiplies it: GPUs from Ampere on, CPUs with AMX or AVX512-BF16 (on one with the
    latter 1.8 times as fast as float32). Another CPU emulates bf16 and is two to seven times slower with it,
    so it gets float32.

    Args:
        accelerator: Lightning's accelerator, "auto" for whatever there is.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator in ("auto", "cpu") and multiplies_bf16():
        return "bf16-mixed"
    return "32-true"


def training_precision(asked: str | int, accelerator: str, strategy: str) -> str:
    """The precision to train with.

    Args:
        asked: `trainer.precision`; "auto" takes what is best.
        accelerator: `trainer.accelerator`.
        strategy: `trainer.strategy`.

    Returns:
        Lightning's name of it.

    Raises:
        UserError: the hardware or the strategy cannot do it, or it would train nothing.
    """
    name = _SAME.get(str(asked), str(asked))
    sharded = strategy == "fsdp2"
    if name == "auto":
        best = best_precision(accelerator)
        return "32-true" if sharded and best == "16-mixed" else best
    if name in ("bf16-true", "16-true"):
        mixed = name.replace("true", "mixed")
        raise UserError(
            f"trainer.precision={asked} keeps the weights in 16 bits, which rounds most steps of fine-tuning "
            f"away: use trainer.precision={mixed}, which keeps them in 32, or auto."
        )
    if name not in PRECISIONS:
        raise UserError(f"trainer.precision={asked} is not supported: use {', '.join(PRECISIONS)}.")
    if name == "16-mixed" and training_device(accelerator) == "cpu":
        raise UserError(
            f"trainer.precision={asked} needs a GPU, and this run is on a CPU: use trainer.precision=auto "
            f"(here {best_precision(accelerator)})."
        )
    if sharded and name == "16-mixed":
        raise UserError(
            f"trainer.precision={asked} does not work with trainer.strategy=fsdp2: use 32-true or bf16-mixed."
        )
    return name


def warn_of_emulation(precision: str, accelerator: str) -> None:
    """Warn of bf16 on hardware that does not multiply it.

    Args:
        precision: of `training_precision`.
        accelerator: `trainer.accelerator`.
    """
    device = training_device(accelerator)
    if precision == "bf16-mixed" and device != "mps" and (best := best_precision(device)) != precision:
        logger.warning("trainer.precision=%s is emulated here and slow; auto takes %s", precision, best)


def fused_optimizer(asked: bool, precision: str, clip: float | None) -> bool:
    """Whether AdamW can be the fused one.

    With 16-mixed the fused AdamW divides by the scale of the loss inside its step, where gradients cannot be
    clipped any more: Lightning refuses that at the first step. The unfused one does the same arithmetic.

    Args:
        asked: `optim.fused`.
        precision: of `training_precision`.
        clip: `trainer.gradient_clip_val`.
    """
    if asked and precision == "16-mixed" and clip:
        logger.info("AdamW is not fused: with precision 16-mixed, gradients of the fused one are not clipped")
        return False
    return asked
