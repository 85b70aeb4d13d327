"""The data sets that a `data` configuration names: paths of one reader, or `data.sets`, each with its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.hub import HUB_ID

_KEYS = ("reader", "path", "languages", "options", "by_hand", "licence")


@dataclass(frozen=True)
class DataSet:
    """One data set to read.

    Attributes:
        reader: a name that `data=` takes.
        path: a folder, a data set of the hub, or None.
        languages: those to read, or None for all.
        options: of the reader.
        by_hand: how to get what cannot be downloaded, or None.
        licence: what the user says of it, to be recorded; or None.
    """

    reader: str
    path: str | None
    languages: list[str] | None
    options: Mapping[str, Any]
    by_hand: str | None = None
    licence: str | None = None

    @property
    def missing(self) -> bool:
        """Whether its folder has to be got by hand first."""
        path = str(self.path)
        return self.by_hand is not None and not is_url(path) and not Path(path).expanduser().exists()


def data_sets(cfg: DictConfig) -> list[DataSet]:
    """The data sets of a configuration, without the one that `leave_out` names.

    Args:
        cfg: `reader`, `path` (one or a list) and `options`; or `sets`, a list of `reader`, `path`,
            `languages`, `options`, `by_hand` and `licence`, whose relative folders lie in `path`;
            and, without `sets`, `licence`.

    Raises:
        UserError: `sets` is not such a list, a licence is no text, or `leave_out` names none of several sets.
    """
    left_out = cfg.get("leave_out")
    found = _all_sets(cfg)
    if left_out is None:
        return found
    names = set_names(cfg)
    if left_out not in names or len(names) < 2:
        several = f"one of {', '.join(names)}" if len(names) > 1 else "null, as there is only one data set"
        raise UserError(f"data.leave_out={left_out} must be {several}.")
    return [one for one, name in zip(found, names, strict=True) if name != left_out]


def set_names(cfg: DictConfig) -> list[str]:
    """What `leave_out` calls the data sets of a configuration, left out or not.

    The last part of the path; all of it where two would be called the same.
    """
    paths = [str(one.path if one.path is not None else one.reader) for one in _all_sets(cfg)]
    short = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return short if len(set(short)) == len(short) else paths


def _all_sets(cfg: DictConfig) -> list[DataSet]:
    sets = cfg.get("sets")
    if sets is None:
        options: dict[str, Any] = OmegaConf.to_container(cfg.options)  # type: ignore[assignment]
        languages = options.pop("languages", None)
        paths: Sequence[str | None] = list(cfg.path) if isinstance(cfg.path, ListConfig) else [cfg.path]
        licence = _licence(cfg.get("licence"), "data.licence")
        return [DataSet(cfg.reader, path, languages, options, licence=licence) for path in paths]
    entries = OmegaConf.to_container(sets) if isinstance(sets, ListConfig) else None
    if not isinstance(entries, list) or not entries:
        raise UserError("data.sets must be a list such as [{reader: jsonl, path: my-faq}], or null.")
    if cfg.path is not None and not isinstance(cfg.path, str):
        raise UserError("data.path must be one folder where data.sets names the data sets in it.")
    return [_data_set(entry, f"data.sets[{number}]", cfg.path) for number, entry in enumerate(entries)]


def is_url(path: str) -> bool:
    """Whether a path is of another file system, as in s3://bucket/corpora/name."""
    return "://" in path


def get_by_hand(sets: Sequence[DataSet]) -> str:
    """What to say of data sets that are missing."""
    where = "" if all(Path(str(one.path)).is_absolute() for one in sets) else "Set data.path to their folder."
    return " ".join([*(f"{one.path} is missing: {one.by_hand}." for one in sets), *filter(None, [where])])


def _data_set(entry: object, name: str, root: str | None) -> DataSet:
    if not isinstance(entry, dict) or not isinstance(entry.get("reader"), str):
        raise UserError(f"{name} must name a reader, as in {{reader: jsonl, path: my-faq}}, not {entry!r}.")
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown:
        raise UserError(f"{name}.{unknown[0]} is unknown; known: {', '.join(_KEYS)}.")
    return DataSet(
        entry["reader"],
        _path(entry.get("path"), root, by_hand=entry.get("by_hand") is not None),
        entry.get("languages"),
        entry.get("options") or {},
        entry.get("by_hand"),
        _licence(entry.get("licence"), f"{name}.licence"),
    )


def _licence(value: object, name: str) -> str | None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise UserError(f"{name} must be a text such as 'CC BY 4.0', or null; not {value!r}.")
    return value


def _path(path: str | None, root: str | None, *, by_hand: bool) -> str | None:
    """The folder of a set, in `data.path` if it is relative; a hub id stays, unless it is a folder there."""
    if path is None or root is None or is_url(path):
        return path
    if is_url(root):
        return f"{root.rstrip('/')}/{path}"
    folder = Path(root).expanduser() / Path(path).expanduser()
    return path if not folder.exists() and not by_hand and HUB_ID.fullmatch(path) else str(folder)
