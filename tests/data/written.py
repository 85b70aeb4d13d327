"""What a piece of code writes, makes or removes, for tests of what must leave a folder alone."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
}
_watching: list[tuple[list[str], list[str]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    changed, opened = _watching[-1]
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        (changed if arguments[2] & _WRITE else opened).append(path)
    elif event in _CHANGES:
        names = [name for name in arguments[:2] if isinstance(name, str | bytes | os.PathLike)]
        changed.extend(os.path.abspath(os.fsdecode(name)) for name in names)


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[tuple[list[str], list[str]]]:
    """The paths that are changed in a block (written, locked, made, renamed, removed), and those read."""
    seen: tuple[list[str], list[str]] = [], []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.pop()


def under(folder: Path, paths: list[str]) -> list[str]:
    return [path for path in paths if Path(path) == folder or Path(path).is_relative_to(folder)]


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all that lies in a folder."""
    found = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def make_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python's own calls fail in a folder as on a read-only mount; tests may run as root."""
    real_mkdir, real_open = os.mkdir, os.open

    def refuse(path: Any) -> None:
        if isinstance(path, str | os.PathLike) and under(folder, [os.path.abspath(path)]):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def mkdir(path: Any, *rest: Any, **named: Any) -> None:
        if not os.path.exists(path):
            refuse(path)
        real_mkdir(path, *rest, **named)

    def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & _WRITE:
            refuse(path)
        return real_open(path, flags, *rest, **named)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", opened)
