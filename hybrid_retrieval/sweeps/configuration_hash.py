"""What makes two runs the same run: the part of a configuration that decides the result."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# What may differ between two runs of one result: where things lie, what is shown, how a run goes on.
_NO_INFLUENCE = (
    "hydra",
    "launcher",
    "logger",
    "paths",
    "resume",
    "rerun_failed",
    "dry_run",
    "check_memory",
    "halve_chunk",
    "save_checkpoints",
    "data.workers",
    "trainer.deterministic",  # the order of sums
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.checkpoint_every_n_steps",
)
_DIGITS = 12


def configuration_hash(cfg: DictConfig) -> str:
    """12 hexadecimal digits, equal for configurations that train and evaluate the same.

    Args:
        cfg: `conf/train.yaml`, composed; interpolations are resolved.
    """
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    for path in _NO_INFLUENCE:
        _drop(content, path.split("."))
    return _digest(content)


def overrides_hash(overrides: Iterable[str]) -> str:
    """12 hexadecimal digits of the overrides that have influence, in any order."""
    return _digest(sorted(override for override in overrides if has_influence(override.partition("=")[0])))


def has_influence(name: str) -> bool:
    """Whether a setting or group, by its name in an override, decides the result of a run."""
    plain = name.lstrip("+~").replace("/", ".")
    return not any(plain == other or plain.startswith(f"{other}.") for other in _NO_INFLUENCE)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _drop(content: Any, path: list[str]) -> None:
    if isinstance(content, Mapping) and path[0] in content:
        if len(path) == 1:
            del content[path[0]]  # type: ignore[attr-defined]
        else:
            _drop(content[path[0]], path[1:])
