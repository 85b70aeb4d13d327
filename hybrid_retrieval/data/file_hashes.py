"""Content hashes of large files, remembered by path, size and time of change."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.data.progress import Bar, Progress
from hybrid_retrieval.errors import StorageError

HashFile = Callable[[Path], str]
"""Hex digest of a file's content; raises OSError where it cannot be read."""

T = TypeVar("T")

_BLOCK = 1 << 24
_SETTLED_SECONDS = 2.0


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex; a `HashFile` that remembers nothing."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileHashes:
    """Hashes files; a file whose size and time of change are as they were is not read again.

    Args:
        cache: the cache folder; what is known of a file lies in `file-hashes/`. None remembers nothing.
        progress: where to show the file that is read.
    """

    def __init__(self, cache: Path | None, progress: Progress) -> None:
        self._folder = cache and cache / "file-hashes"
        self._progress = progress

    def __call__(self, path: Path) -> str:
        """SHA-256 of a file, hex.

        Raises:
            OSError: it cannot be read.
        """
        path = path.resolve()

        def read() -> str:
            bar = Bar(self._progress, f"checking {path.name}", path.stat().st_size)
            return _sha256(path, bar.advance)

        return remembered(self._folder, path, "sha256", read)


def remembered(folder: Path | None, path: Path, what: str, find: Callable[[], T]) -> T:
    """What was found in a file, without looking again while its size and time of change are as they were.

    Args:
        folder: where to keep it, in a file for each path; None keeps nothing.
        path: the file.
        what: names what is found; the last name is kept.
        find: looks; its value can be written as JSON.

    Raises:
        OSError: the file cannot be read; or what `find` raises.
    """
    path = path.resolve()
    state = _state(path)
    known = folder and folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"
    try:
        stored = json.loads(known.read_bytes()) if known else {}
        if stored["state"] == state:
            found: T = stored[what]
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    # A change within the resolution of the clock would not show in the time of change.
    settled = time.time() - state[1] / 1e9 > _SETTLED_SECONDS
    found = find()
    if known and settled and _state(path) == state:
        _write(known, {"path": str(path), "state": state, what: found})
    return found


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _sha256(path: Path, read: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            read(len(block))
    return digest.hexdigest()


def _write(path: Path, content: object) -> None:
    with suppress(OSError, StorageError):  # a cache that cannot be written: the file is read again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
