"""Public benchmarks: where their files come from, what they must hash to, and under which terms."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml  # type: ignore[import-untyped]

SOURCES_FILE = Path(__file__).parents[1] / "benchmarks" / "sources.yaml"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_NAME = re.compile(r"\w[\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_secure(url: str) -> bool:
    """Whether a URL may be fetched: https, or http from this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)


@dataclass(frozen=True)
class SourceFile:
    """A file to fetch, pinned by its content.

    Attributes:
        name: its name in the benchmark's folder.
        url: https (http only from this machine); what it serves must never change.
        size: bytes.
        sha256: of the whole file, 64 hexadecimal digits.

    Raises:
        ValueError: a name that leaves the folder, a URL that is not secure, or no pin.
    """

    name: str
    url: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a plain file name")
        if not is_secure(self.url):
            raise ValueError(f"{self.url} is not an https URL")
        if type(self.size) is not int or self.size < 1:
            raise ValueError(f"{self.name}: size {self.size!r} is not a positive whole number")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.name}: {self.sha256!r} is not a sha256 in lower-case hexadecimal")


@dataclass(frozen=True)
class Source:
    """Where a benchmark comes from.

    Attributes:
        name: what `benchmark=` takes.
        title: the benchmark's own name.
        homepage: URL.
        licence: in words.
        licence_url: the terms.
        citation: the paper.
        layout: the files that the benchmark's reader expects in its folder.
        by_hand: how to get what `files` does not hold; None when it holds everything.
        files: what can be fetched; empty when nothing can.
    """

    name: str
    title: str
    homepage: str
    licence: str
    licence_url: str
    citation: str
    layout: str
    by_hand: str | None
    files: tuple[SourceFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def contents(self) -> str:
        """Number and size of the files, in words."""
        return f"{len(self.files)} files, {megabytes(self.size)}"


def megabytes(size: int) -> str:
    """A number of bytes in megabytes, in words."""
    return f"{size / 1e6:.1f} MB"


def find_source(name: str) -> Source | None:
    """The source of a benchmark; None for one that needs no files of its own (world_facts, parallel)."""
    return sources(SOURCES_FILE).get(name)


@cache
def sources(path: Path) -> dict[str, Source]:
    """Read a catalogue (`benchmarks/sources.yaml`).

    Raises:
        ValueError: an entry is malformed; the catalogue is part of the package.
    """
    content: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = {}
    for name, fields in content.items():
        base = fields.pop("base", "")
        files = tuple(
            SourceFile(file, f"{base}{file}", size, sha256)
            for file, (size, sha256) in fields.pop("files", {}).items()
        )
        found[name] = Source(name=name, by_hand=fields.pop("by_hand", None), files=files, **fields)
        if not files and not found[name].by_hand:
            raise ValueError(f"{path}: {name} has neither files nor by_hand")
    return found
