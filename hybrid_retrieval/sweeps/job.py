"""A job of a sweep: a configuration, its hash, and the folder it has by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

FOLDER_DIGITS = 6
_LONGEST = 80
_PLAIN = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?|true|false|null", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: of Hydra, without those that only say where and how to run.
        cfg: what they compose to, resolved, without `hydra`.
        hash: `configuration_hash` of it.
        label: what tells it from the other jobs, for people.
        sweep_folder: of all jobs.
    """

    overrides: tuple[str, ...]
    cfg: DictConfig
    hash: str
    label: str
    sweep_folder: Path

    @property
    def name(self) -> str:
        """Of its folder: the label and the first digits of the hash."""
        return f"{self.label}-{self.hash[:FOLDER_DIGITS]}"

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self.sweep_folder / self.name


def label_of_folder(folder: Path, hash_: str) -> str:
    """The label of the job that has this folder, or its name where it is of no job."""
    return folder.name.removesuffix(f"-{hash_[:FOLDER_DIGITS]}")


def label(overrides: Sequence[str], varying: Sequence[str], strategy: str) -> str:
    """What varies, in short: `hybrid-alpha0.25-seed2`.

    A group is told by its choice, a setting by the last part of its name and its value.

    Args:
        overrides: of the job, `name=value`.
        varying: names to tell.
        strategy: told where nothing varies.
    """
    chosen = dict(override.split("=", 1) for override in overrides)
    parts = [_part(name.lstrip("+"), chosen[name]) for name in varying if name in chosen]
    return "-".join(filter(None, parts))[:_LONGEST].rstrip("-.") or strategy


def _part(name: str, value: str) -> str:
    if name == "data.leave_out":
        return "all" if value == "null" else f"without-{_part('name', value.rpartition('/')[2])}"
    words = re.sub(r"[^\w.+]+", "-", value).strip("-.")
    if "." not in name and not _PLAIN.fullmatch(value):
        return words  # the choice of a group
    if value.startswith(("{", "[")):
        return words or "none"
    return f"{name.rpartition('.')[2]}{words}"


def quoted(text: str) -> str:
    """A string as the value of an override, whatever it holds."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"
