"""What `data.clean` says."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError

if TYPE_CHECKING:
    from hybrid_retrieval.data.cleaning.decontaminate import Decontamination

VERSION = 2  # of what the switches do; part of the fingerprint of a cleaned corpus
LOWEST_SIMILARITY = 0.5
SHOWN_CHARACTERS = 500
"""Of a text in an example, at most."""
SWITCHES = (
    "min_question_chars",
    "max_question_chars",
    "min_passage_chars",
    "max_passage_chars",
    "decontaminate",
    "same_text",
    "exact_duplicates",
    "near_duplicates",
)
"""In the order in which they act: a row counts for the first that removes it."""


@dataclass(frozen=True)
class CleaningSettings:
    """The switches of `data.clean`; all are off by default.

    Attributes:
        exact_duplicates: a row is removed whose question and passage are, after `normalise`, those of an
            earlier row of its language.
        near_duplicates: Jaccard similarity, in [0.5, 1], from which a row's passage repeats an earlier one of
            its language (`data.cleaning.near_duplicates`).
        min_question_chars: characters of the shortest question that stays.
        max_question_chars: characters of the longest.
        min_passage_chars: characters of the shortest passage that stays.
        max_passage_chars: characters of the longest.
        same_text: a row is removed whose passage is an untranslated copy (`data.cleaning.untranslated`).
        decontaminate: names of benchmarks; what shares text with them is removed in all languages.
    """

    exact_duplicates: bool = False
    near_duplicates: float | None = None
    min_question_chars: int | None = None
    max_question_chars: int | None = None
    min_passage_chars: int | None = None
    max_passage_chars: int | None = None
    same_text: bool = False
    decontaminate: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, cfg: DictConfig | Mapping[str, Any] | None) -> "CleaningSettings":
        """Check the settings of a configuration.

        Args:
            cfg: `data.clean`; None is all off, and so is a switch that is not there.

        Raises:
            UserError: an unknown switch, or a value that is none of its own.
        """
        if cfg is None:
            return cls()
        given: Any = OmegaConf.to_container(cfg) if isinstance(cfg, DictConfig) else cfg
        known = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping):
            raise UserError(f"data.clean must be a mapping of {', '.join(known)}, or null; not {given!r}.")
        if unknown := sorted(set(given) - set(known)):
            raise UserError(f"data.clean.{unknown[0]} is unknown; known: {', '.join(known)}.")
        for name in ("exact_duplicates", "same_text"):
            if not isinstance(given.get(name, False), bool):
                raise UserError(f"data.clean.{name} must be true or false, not {given[name]!r}.")
        _check_similarity(given.get("near_duplicates"))
        for kind in ("question", "passage"):
            _check_bounds(kind, given.get(f"min_{kind}_chars"), given.get(f"max_{kind}_chars"))
        return cls(**{**given, "decontaminate": _names(given.get("decontaminate"))})

    @property
    def on(self) -> tuple[str, ...]:
        """The switches that are on, in the order in which they act."""
        off = CleaningSettings()
        return tuple(name for name in SWITCHES if getattr(self, name) != getattr(off, name))


def _check_similarity(value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and LOWEST_SIMILARITY <= value <= 1):  # type: ignore[operator]
        raise UserError(
            f"data.clean.near_duplicates must be null or a similarity from {LOWEST_SIMILARITY} to 1, not "
            f"{value!r}. Set for example data.clean.near_duplicates=0.9."
        )


def _check_bounds(kind: str, lowest: object, highest: object) -> None:
    for name, value in (("min", lowest), ("max", highest)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(
                f"data.clean.{name}_{kind}_chars must be null or a number of characters, not {value!r}."
            )
    if isinstance(lowest, int) and isinstance(highest, int) and lowest > highest:
        raise UserError(
            f"data.clean.min_{kind}_chars={lowest} is greater than data.clean.max_{kind}_chars={highest}: "
            "no text would stay."
        )


def _names(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"data.clean.decontaminate must be a list of benchmarks such as [xquad_r], not {value!r}."
        )
    return tuple(sorted(set(names)))


@dataclass(frozen=True)
class Cleaning:
    """Settings, with what they need.

    Attributes:
        settings: the switches.
        decontamination: against the benchmarks that the settings name; None where they name none.
    """

    settings: CleaningSettings = CleaningSettings()
    decontamination: "Decontamination | None" = None

    @classmethod
    def prepare(cls, settings: CleaningSettings, paths: Any, hash_file: Callable[[Path], str]) -> "Cleaning":
        """Find the files of the benchmarks.

        Args:
            settings: the switches.
            paths: with the attributes `cache` and `benchmarks`, as in `conf/paths/`.
            hash_file: hex digest of a file.

        Raises:
            UserError: a benchmark is unknown, or its files are missing.
        """
        if not settings.decontaminate:
            return cls(settings)
        from hybrid_retrieval.data.cleaning.decontaminate import Decontamination  # noqa: PLC0415

        return cls(settings, Decontamination(settings.decontaminate, paths, hash_file))

    @property
    def recipe(self) -> list[Any] | None:
        """What the content of a corpus depends on; None when every switch is off."""
        if not self.settings.on:
            return None
        switches = {name: value for name, value in asdict(self.settings).items() if name in self.settings.on}
        if "near_duplicates" in switches:
            switches["near_duplicates"] = float(switches["near_duplicates"])
        benchmarks = self.decontamination.fingerprint if self.decontamination is not None else None
        return ["clean", VERSION, sorted(switches.items()), benchmarks]
