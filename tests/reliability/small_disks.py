"""File systems of a few megabytes, in memory: real ones, that can be full or read-only."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = ".ballast"


class SmallDisk:
    """A mounted file system.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def free(self) -> int:
        """Bytes that can be written."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Take all room but so many bytes."""
        with (self.folder / BALLAST).open("ab", buffering=0) as ballast:
            size = self.free - leave
            while size > 0:
                try:
                    size -= ballast.write(bytes(min(size, 1 << 20)))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def make_room(self) -> None:
        """Give back what `fill` took."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def files(self) -> set[str]:
        """All files but that of `fill`, as paths in the file system."""
        found = (
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()
        )
        return {name for name in found if name != BALLAST}

    def full_before(
        self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, *, leave: int = 0, when: int = 1
    ) -> None:
        """Have the disk full when a function is called.

        Args:
            monkeypatch: undoes it.
            owner: module or class of the function.
            name: of the function.
            leave: bytes that are left.
            when: which call of the function.
        """
        call: Callable[..., object] = getattr(owner, name)
        calls = []

        def wrapped(*args: object, **options: object) -> object:
            calls.append(name)
            if len(calls) == when:
                self.fill(leave=leave)
            return call(*args, **options)

        monkeypatch.setattr(owner, name, wrapped)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Mounted read-only while the body runs."""
        _mount("-o", "remount,ro", str(self.folder))
        yield
        _mount("-o", "remount,rw", str(self.folder))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A file system of so many megabytes; skips the test where none can be mounted."""
    folder.mkdir(parents=True)
    done = _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    if done.returncode:
        pytest.skip(f"needs to mount a small file system, as root on Linux: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "-l", str(folder))


def _mount(*arguments: str) -> None:
    done = _run("mount", *arguments)
    assert done.returncode == 0, done.stderr


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
