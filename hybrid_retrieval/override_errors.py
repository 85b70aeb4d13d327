"""Hydra's complaints about a command line in words that help."""

import difflib
import re
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf

from hybrid_retrieval.config_folder import config_folder

_OPTIONS = (
    *(
        "-h",
        "--help",
        "--hydra-help",
        "--version",
        "-c",
        "--cfg",
        "--resolve",
        "-p",
        "--package",
        "-r",
        "--run",
    ),
    *("-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"),
    # Not --experimental-rerun, which unpickles a file.
    *("-cd", "--config-dir", "-i", "--info"),
)


def unknown_option(arguments: Sequence[str]) -> str | None:
    """The first argument that has the form of an option and is none of Hydra's."""
    return next((a for a in arguments if a.startswith("-") and a.split("=")[0] not in _OPTIONS), None)


def explain(error: Exception, verb: str, overrides: Sequence[str]) -> str:
    """One line on what is wrong with the overrides, and where to look.

    Args:
        error: what Hydra or OmegaConf raised.
        verb: whose configuration it is.
        overrides: as given.
    """
    return f"{_explain(error, verb, overrides)} See: hybrid-retrieval {verb} --help"


def _explain(error: Exception, verb: str, overrides: Sequence[str]) -> str:
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group}={choice}: choose from {', '.join(error.options)}."
    if isinstance(error, OverrideParseException):
        return (
            f"the override {error.override!r} cannot be read. Write name=value, and quote a value with "
            "special characters twice: 'name=\"a, b\"'."
        )
    message = " ".join(
        line.strip()
        for line in str(error).splitlines()
        if line.strip() and not line.strip().startswith(("full_key:", "object_type=", "reference_type="))
    )
    if found := re.search(r"Could not override '([^']+)'", message):
        close = difflib.get_close_matches(found[1], _settings(verb, overrides), n=1)
        return f"there is no setting {found[1]!r}" + (f"; did you mean {close[0]!r}?" if close else ".")
    return message if message.endswith(".") else f"{message}."


def _settings(verb: str, overrides: Sequence[str]) -> list[str]:
    """Every setting of a verb, `a.b.c`, and every group; with the groups that the overrides choose."""
    choices = [o for o in overrides if "=" in o and "." not in o.partition("=")[0] and "," not in o]
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        try:
            cfg = compose(verb, choices)
        except HydraException:
            cfg = compose(verb)
    return _keys(OmegaConf.to_container(cfg), "")


def _keys(node: object, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    keys: list[str] = []
    for key, value in node.items():
        keys += [f"{prefix}{key}", *_keys(value, f"{prefix}{key}.")]
    return keys
