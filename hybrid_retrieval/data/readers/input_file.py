"""Files of the user's, opened with bounds on what reading them may take."""

import gzip
import io
import stat
from pathlib import Path
from typing import IO, BinaryIO, cast

from hybrid_retrieval.errors import UserError

LONGEST_LINE = 1 << 25
"""Bytes of a line, and of a text in any format: more is no text for a retriever."""
LARGEST_WHOLE = 1 << 30
"""Bytes of a file that is held in memory as a whole, as JSON that is not JSON lines."""

_EXPANSION = 200  # text is compressed 3 to 20 times; DEFLATE reaches 1,032 on zeros
_FREE = 1 << 22  # bytes that any file may expand to
_BUFFER = 1 << 16


def open_input(path: Path) -> BinaryIO:
    """Open a file for reading; `.gz` is decompressed.

    Reading the content of a damaged `.gz` raises EOFError, gzip.BadGzipFile or zlib.error.

    Args:
        path: the file; a pipe or a device is refused, as it cannot be read twice.

    Raises:
        UserError: it cannot be opened; and, when it is read, that a `.gz` expands beyond all texts.
    """
    check_input(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise cannot_be_read(path, error) from None
    # BufferedReader is a BinaryIO in all but name.
    return (
        cast(BinaryIO, io.BufferedReader(_Decompressed(path, file), _BUFFER))
        if path.suffix == ".gz"
        else file
    )


def check_input(path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        UserError: it is a folder, a pipe or a device, is not there, or cannot be reached.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except OSError as error:
        raise cannot_be_read(path, error) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UserError(f"{path}: {kind}, not a file. Put the file in its place, or remove it.")


def cannot_be_read(path: Path, error: OSError) -> UserError:
    """What to say of a file that the system does not give."""
    return UserError(
        f"{path}: cannot be read ({error.strerror or error}). Check the file and its permissions."
    )


def check_expansion(path: Path, size: int, of: int, free: int = _FREE) -> None:
    """Refuse a compressed file that expands as no text does: it would fill the memory or the disk.

    Args:
        path: the file.
        size: bytes that came of it.
        of: bytes that were read of it.
        free: bytes that any file may expand to.

    Raises:
        UserError: it is one.
    """
    if size > free and size > _EXPANSION * of:
        raise UserError(
            f"{path}: expands to more than {_EXPANSION} times its size, which no text does. Is it the file "
            "that it should be? If so, decompress it, or write it anew without compression."
        )


def line_too_long(path: Path, number: int) -> UserError:
    """What to say of a line of more than `LONGEST_LINE` bytes."""
    return UserError(
        f"{path}:{number}: the line has more than {LONGEST_LINE >> 20} MiB. Are the line ends lost, or is it "
        "another kind of file? A query or a passage is far shorter."
    )


class _Decompressed(io.RawIOBase):
    """The content of a gzip file."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._content = gzip.GzipFile(fileobj=file, mode="rb")
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._content.read1(len(buffer))
        buffer[: len(data)] = data
        self._size += len(data)
        check_expansion(self._path, self._size, self._file.tell())
        return len(data)

    def close(self) -> None:
        self._content.close()
        self._file.close()
        super().close()
