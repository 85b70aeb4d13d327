"""What decides how long a run takes, as far as the configuration says."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

# The first settings say what is computed, the others on what.
_SETTINGS = (
    "backbone.name",
    "global_batch_size",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accelerator",
    "trainer.precision",
    "adapter.name",
    "gradient_checkpointing",
    "compile",
    "loss.grad_cache",
)


def cost_of(cfg: DictConfig) -> dict[str, Any]:
    """The settings that decide how long a step takes; equal where steps take about the same time.

    Args:
        cfg: `conf/train.yaml`.
    """
    found = {name: OmegaConf.select(cfg, name) for name in _SETTINGS}
    return {
        name: value if isinstance(value, bool | int | None) else str(value) for name, value in found.items()
    }
