"""What a configuration may not hold: Python to call, and secrets.

Nothing of ours is made from a `_target_`. Hydra's own parts are: launchers, sweepers, callbacks and the
handlers of logging, which settings under `hydra.` choose. Hydra refuses some targets (`os.system`); here
everything is refused but what is known to be good.
"""

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.secrets import has_password, holds_secret
from hybrid_retrieval.security.terminal import plain

PLUGIN = re.compile(
    r"(?:hydra\._internal\.core_plugins|hydra_plugins\.\w+)\.\w+\.[A-Z]\w*(?:Launcher|Sweeper|Sampler)"
)
"""Classes of Hydra plugins, which must be installed to be found. Hydra makes no others into plugins."""
CALLBACKS = (
    "hybrid_retrieval.sweeps.taken_folder.RefuseTakenFolder",
    "hydra.experimental.callbacks.LogJobReturnCallback",
)
LOGGING = (
    "colorlog.ColoredFormatter",
    "logging.FileHandler",
    "logging.Formatter",
    "logging.NullHandler",
    "logging.StreamHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.handlers.TimedRotatingFileHandler",
    "rich.logging.RichHandler",
)
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_PLUGIN_NODES = ("hydra.launcher._target_", "hydra.sweeper._target_", "hydra.sweeper.sampler._target_")
_LOGGING_NODES = ("hydra.job_logging", "hydra.hydra_logging")
_ENVIRONMENT = "hydra.job.env_set"
# Variables by which a program that is started, or Python itself, loads code.
_LOADS_CODE = re.compile(
    r"(?:LD|DYLD|PYTHON|GIT|NUMBA|HYDRA)_?\w*|PATH|BASH_ENV|ENV|IFS|PERL\w*|EDITOR|PAGER"
)
_DEEPEST = 40


def check_configuration(cfg: DictConfig, environment: Mapping[str, str]) -> None:
    """Refuse a configuration that names Python to call, or holds a secret.

    Args:
        cfg: composed, with `hydra`; nothing has been made of it.
        environment: variables of this process, whose secrets must not stand in it.

    Raises:
        UserError: the message names the setting and not its value if that is secret.
    """
    for path, value, written in _leaves(cfg, "", _DEEPEST):
        name = path.rpartition(".")[2]
        if reason := _calls(path, name, value):
            raise UserError(f"{plain(path)}={plain(str(value))}: {reason}")
        if path.startswith(f"{_ENVIRONMENT}.") and _LOADS_CODE.fullmatch(name.upper()):
            raise UserError(
                f"{plain(path)}: this variable has programs load other code, which a configuration must not "
                "do. Set it in the shell that starts hybrid-retrieval."
            )
        # A reference such as ${oc.env:HF_TOKEN} is written down as it stands, without what it refers to.
        if isinstance(value, str) and (
            holds_secret(name, value, environment) if written else has_password(value)
        ):
            raise UserError(
                f"{_setting(path, value)} holds a key, token or password, and the configuration is written "
                "into the run folder. Take it out and set it in the environment (WANDB_API_KEY, HF_TOKEN, "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or in the store's own configuration file."
            )


@contextmanager
def checked_configurations() -> Iterator[None]:
    """Have Hydra check every configuration that it composes, before it makes or writes anything of it.

    Hydra has no public place for this: a callback is itself made from a configuration that was not checked.
    """
    original = ConfigLoaderImpl.load_configuration

    @functools.wraps(original)
    def load_checked(self: ConfigLoaderImpl, *args: Any, **options: Any) -> DictConfig:
        cfg = original(self, *args, **options)
        check_configuration(cfg, os.environ)
        return cfg

    ConfigLoaderImpl.load_configuration = load_checked  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = original  # type: ignore[method-assign]


def _calls(path: str, name: str, value: object) -> str | None:
    """Why a setting is refused that names something to call; None for all others."""
    text = str(value)
    if name == "_target_":
        plugin = path in _PLUGIN_NODES and PLUGIN.fullmatch(text)
        callback = path.startswith("hydra.callbacks.") and text in CALLBACKS
        return (
            None if plugin or callback else "a configuration cannot name Python to run. Leave _target_ out."
        )
    if path.startswith(_LOGGING_NODES):
        if name in ("()", "class") and text not in LOGGING:
            return f"this is not used for logging. Choose from {', '.join(LOGGING)}."
        if name == "." or (text.startswith(("ext://", "cfg://")) and text not in STREAMS):
            return f"logging takes no objects from a configuration but {' and '.join(STREAMS)}."
    return None


def _setting(path: str, value: str) -> str:
    """The name of a setting, also of one that stands in Hydra's list of overrides."""
    return plain(value.partition("=")[0] if path.startswith("hydra.overrides.") else path)


def _leaves(node: DictConfig | ListConfig, path: str, deepest: int) -> Iterator[tuple[str, Any, bool]]:
    """Every value, its dotted name, and whether it is written so; references resolved where they can be."""
    if not deepest or node._is_none() or node._is_missing():
        if not deepest:
            raise UserError(f"{plain(path)}: nested too deeply. Write the settings in fewer groups.")
        return
    names: Iterable[Any] = range(len(node)) if isinstance(node, ListConfig) else list(node.keys())
    for name in names:
        written = not OmegaConf.is_interpolation(node, name)
        try:
            value = node[name]
        except OmegaConfBaseException:  # refers to what Hydra fills in later
            value = node._get_node(name)._value()  # type: ignore[union-attr]
        inner = f"{path}.{name}" if path else str(name)
        if isinstance(value, dict | list | tuple):  # made by a resolver, such as oc.decode
            value = OmegaConf.create(list(value) if isinstance(value, tuple) else value)
        if isinstance(value, DictConfig | ListConfig):
            yield from _leaves(value, inner, deepest - 1)
        else:
            yield inner, value, written
