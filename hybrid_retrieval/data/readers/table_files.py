"""Which files of a folder hold a table, in which language and of which split."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pycountry

from hybrid_retrieval.data.readers.base import Split
from hybrid_retrieval.data.readers.fields import SPLIT_NAMES
from hybrid_retrieval.data.readers.records import Format, file_format
from hybrid_retrieval.errors import UserError

Patterns = str | Sequence[str]
Files = Patterns | Mapping[str, Patterns]

_LANGUAGE = r"(?P<language>[A-Za-z]{2,}(?:[-_][A-Za-z0-9]+)*)"
_PARTS = re.compile(r"(\*\*/|\*|\?|\{language\})")
_REGEX = {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}
_METADATA = frozenset({"dataset_infos.json", "dataset_info.json", "state.json", "config.json"})


@dataclass(frozen=True)
class TableFile:
    """A file of a data set.

    Attributes:
        path: where it is.
        name: its path within the folder, with "/".
        language: the language its name states, in the source's own words, or None.
        split: the split its name states, or None.
    """

    path: Path
    name: str
    language: str | None
    split: Split | None


def find_tables(root: Path, formats: Sequence[Format], files: Files | None = None) -> list[TableFile]:
    """The files of a data set, sorted by name.

    Without patterns, all files of the formats in the folder and below, hidden ones excepted. A name states
    its language where it, or a folder above it, is called after one (`en.csv`, `en/train.parquet`), and its
    split where a part of it is one: `train`, `validation`, `valid`, `dev` or `test`
    (`en/dev-00000-of-00001.parquet`).

    With patterns, the files that match one. `*` stands for any characters but "/", `**/` for any folders, and
    `{language}` for a language, in the source's own words. A mapping gives the patterns of each split.

    No file of a source whose files are all called train states a split: there, validation is drawn.

    Args:
        root: a folder, or one file.
        formats: those to look for.
        files: `data.options.files`.

    Raises:
        UserError: a pattern is not understood or matches no file, or there are no files.
    """
    if root.is_file():
        found = [TableFile(root, root.name, None, None)]
        if file_format(root) not in formats:
            raise UserError(f"data.path={root}: not a file that ends in {_endings(formats)}.")
        return found
    found = list(_matching(root, formats, files)) if files else list(_all(root, formats))
    if not found:
        scripts = sorted(path.name for path in root.glob("*.py"))
        told = f" Its script {scripts[0]} is not run: name the files that it makes." if scripts else ""
        raise UserError(f"data.path={root} holds no file that ends in {_endings(formats)}.{told}")
    if {file.split for file in found} == {"train"}:
        found = [TableFile(file.path, file.name, file.language, None) for file in found]
    return sorted(found, key=lambda file: file.name)


def download_patterns(
    formats: Sequence[Format],
    files: Files | None,
    languages: Sequence[str] | None = None,
    language_codes: Mapping[str, str] | None = None,
) -> list[str]:
    """What to download of a data set of the hub, as `fnmatch` has it.

    Args:
        formats: those to look for where there are no patterns.
        files: `data.options.files`.
        languages: those wanted where the patterns have `{language}`, or None for all.
        language_codes: what the source's names of languages stand for.
    """
    if not files:
        return [f"*.{known}{gz}" for known in formats for gz in ("", ".gz")]
    codes = language_codes or {}
    own = {
        code: [name for name, stands_for in codes.items() if stands_for == code] for code in languages or ()
    }
    names = [name for code, found in own.items() for name in found or [code]] or ["*"]
    patterns = (pattern.replace("**/", "*") for _, pattern in _patterns(files))
    return list(dict.fromkeys(pattern.replace("{language}", name) for pattern in patterns for name in names))


def _all(root: Path, formats: Sequence[Format]) -> Iterator[TableFile]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if file_format(path) in formats and path.is_file() and not hidden and path.name not in _METADATA:
            yield TableFile(path, name, _stated_language(name), stated_split(name))


def _matching(root: Path, formats: Sequence[Format], files: Files) -> Iterator[TableFile]:
    names = [(path, path.relative_to(root).as_posix()) for path in sorted(root.rglob("*")) if path.is_file()]
    taken: dict[str, str] = {}
    for split, pattern in _patterns(files):
        regex = re.compile("".join(_regex(part) for part in _PARTS.split(pattern)))
        matches = [(path, name, match) for path, name in names if (match := regex.fullmatch(name))]
        if not matches:
            some = ", ".join(name for _, name in names[:12]) or "none"
            raise UserError(
                f"{root}: no file matches data.options.files {pattern!r}. Its files: {some}. Correct the "
                "pattern."
            )
        for path, name, match in matches:
            if taken.setdefault(name, pattern) != pattern:
                raise UserError(
                    f"{path} matches both {taken[name]!r} and {pattern!r} of data.options.files. Let one "
                    "match."
                )
            if file_format(path) not in formats:
                raise UserError(
                    f"{path}: its name must end in {_endings(formats)}. Correct data.options.files."
                )
            yield TableFile(path, name, match.groupdict().get("language"), split or stated_split(name))


def _patterns(files: Files) -> Iterator[tuple[Split | None, str]]:
    by_split: Mapping[str, Patterns] = files if isinstance(files, Mapping) else {"": files}
    for split, patterns in by_split.items():
        if split and split not in SPLIT_NAMES:
            raise UserError(f"data.options.files: {split!r} is not a split: train, validation or test.")
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if not isinstance(pattern, str) or pattern.count("{language}") > 1:
                raise UserError(
                    f"data.options.files: {pattern!r} is not a pattern such as "
                    "'{language}/train-*.parquet', with {language} at most once."
                )
            yield SPLIT_NAMES.get(split), pattern


def _regex(part: str) -> str:
    return _LANGUAGE if part == "{language}" else _REGEX.get(part, re.escape(part))


def stated_split(name: str) -> Split | None:
    """The split that a part of a file's path names."""
    for part in reversed(PurePosixPath(name).parts):
        for word in re.split(r"[-_. ]", part.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def _stated_language(name: str) -> str | None:
    for part in reversed(PurePosixPath(name).parts):
        word = part.partition(".")[0]
        if word not in SPLIT_NAMES and _is_language(word.lower().replace("_", "-").partition("-")[0]):
            return word
    return None


@cache
def _is_language(word: str) -> bool:
    return len(word) == 2 and pycountry.languages.get(alpha_2=word) is not None


def _endings(formats: Sequence[Format]) -> str:
    return ", ".join(f".{known}" + ("" if known == "parquet" else "[.gz]") for known in formats)
