"""A disk that is full, or a folder that cannot be written, as one message that names it.

What writers raise differs: an `OSError` that knows no file (a write), or not even its number (NumPy's
`tofile`); a `SafetensorError`; a `RuntimeError` (torch.save, FAISS); an `OperationalError` (SQLite).
"""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hybrid_retrieval.errors import StorageError, UserError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
BROKEN = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO)
GOES_ON = "run the same line again, which goes on where this one stopped"
_NUMBERS = (*NO_SPACE, *NOT_WRITABLE, *BROKEN)

_RUST = re.compile(r"(?:\(os error |\bOs \{ code: )(\d+)")  # the second: safetensors 0.5
_NO_SPACE_SAYINGS = (
    re.compile(r"^\d+ requested and \d+ written$"),  # NumPy
    re.compile(r"inline_container\.cc|PytorchStreamWriter|iostream error"),  # torch.save
    re.compile(r"^database or disk is full$"),  # SQLite
)
_READ_ONLY_SAYINGS = (re.compile(r"^attempt to write a readonly database$"),)


@contextmanager
def writing(path: Path, *, then: str = "", instead: str = "") -> Iterator[None]:
    """Say in one message that what the body writes could not be written.

    Args:
        path: the file or the folder that is written.
        then: what to do once there is room; "" is to run the same line again.
        instead: the setting that names another folder, such as "paths.cache=..."; "" for none.

    Raises:
        StorageError: in place of what a writer raises for a disk that is full, read-only or broken.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = storage_error_number(error, within=path)
        if number is None:
            raise
        raise StorageError(_message(path, number, then, instead)) from error


@contextmanager
def storage_errors_explained(*folders: Path | str | None) -> Iterator[None]:
    """As `writing`, where it is not known what is written: for a whole command.

    Args:
        folders: what may be written; where the error names no file, the fullest of them is named.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explained = storage_error_of(error, *folders)
        if explained is None:
            raise
        raise explained from error


def storage_error_of(error: BaseException, *folders: Path | str | None) -> StorageError | None:
    """The failure of a file system that an exception tells of, as one message; None for others.

    Args:
        error: with what it was raised from.
        folders: as for `storage_errors_explained`.
    """
    number = storage_error_number(error)
    if number is None:
        return None
    named = next((name for each in _chain(error) if (name := getattr(each, "filename", None))), None)
    if isinstance(named, str | bytes):
        path = Path(os.fsdecode(named))
        if number in (errno.EACCES, errno.EPERM):
            fix = "Make it readable, and its folder writable, or choose another folder"
            return StorageError(f"{path}: {os.strerror(number)}. {fix}.")
        return StorageError(_message(path, number))
    return StorageError(_message(_fullest(folders), number)) if number in NO_SPACE else None


def storage_error_number(error: BaseException, *, within: Path | None = None) -> int | None:
    """The number (`errno`) of the failure of a file system that an exception tells of; None for others.

    Args:
        error: with what it was raised from.
        within: a file that must not be read elsewhere is no failure of what is written here.
    """
    for each in _chain(error):
        number = _number(each)
        if number is None:
            continue
        name = getattr(each, "filename", None)
        if number in NOT_WRITABLE and within is not None and isinstance(name, str):
            # A folder that is put in place has temporary siblings.
            if Path(os.path.abspath(name)).is_relative_to(Path(os.path.abspath(within)).parent):
                return number
            continue
        return number
    return None


def reserve(file: IO[bytes], size: int) -> None:
    """Take the room of a file that is to be mapped and written: a page for which there is none kills.

    Args:
        file: opened for writing.
        size: bytes.

    Raises:
        OSError: there is no room.
    """
    if size == 0 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise


class WarnOnce:
    """Lets what goes on without a file go on: a `StorageError` of the body is a warning, until one succeeds.

    Args:
        log: gets the warning.
        what: goes on, the beginning of the warning.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what = log, what
        self._warned = False

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """Run the body."""
        try:
            yield
        except StorageError as error:
            if not self._warned:
                self._log.warning("%s: %s", self._what, error)
            self._warned = True
        else:
            self._warned = False


def tell_once_of_log_files() -> None:
    """Have log files that cannot be written say so once, in one line, not with a traceback a record."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _TellOnce(handler)  # type: ignore[method-assign]


class _TellOnce:
    """Takes the place of `handleError` of a log file."""

    def __init__(self, handler: logging.FileHandler) -> None:
        self._handler = handler
        self._told = False

    def __call__(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if error is None or storage_error_number(error) is None:
            logging.Handler.handleError(self._handler, record)
        elif not self._told:
            self._told = True
            sys.stderr.write(f"{self._handler.baseFilename} could not be written: {reason(error)}\n")


def reason(error: BaseException) -> str:
    """Why something could not be written, in words: "No space left on device"."""
    number = storage_error_number(error)
    return os.strerror(number) if number is not None else str(error) or type(error).__name__


def _message(path: Path, number: int, then: str = "", instead: str = "") -> str:
    where = _existing(path)
    then = then or "run the same line again"
    other = f", or choose another folder with {instead}" if instead else ""
    if number in NO_SPACE:
        fix = f"Make room in {where} ({_free(where)}), and {then}{other}"
    elif number in NOT_WRITABLE:
        fix = f"Make {where} writable, and {then}{other or ', or choose another folder'}"
    else:
        fix = f"The device of {where} is broken or gone: when it is there again, {then}{other}"
    return f"{path} could not be written: {os.strerror(number)}. {fix}."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from, or after."""
    seen = set[int]()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _NUMBERS else None
    text = str(error)
    if found := _RUST.search(text):
        return int(found[1]) if int(found[1]) in _NUMBERS else None
    if not isinstance(error, OSError | RuntimeError) and type(error).__name__ != "OperationalError":
        return None
    if any(saying.search(text) for saying in _NO_SPACE_SAYINGS):
        return errno.ENOSPC
    if any(saying.search(text) for saying in _READ_ONLY_SAYINGS):
        return errno.EROFS
    return next((number for number in _NUMBERS if os.strerror(number) in text), None)


def _existing(path: Path) -> Path:
    """The folder of a path that is there."""
    path = Path(os.path.abspath(path)).parent
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _free(folder: Path) -> str:
    try:
        found = os.statvfs(folder)
    except OSError:
        return "it is not known how much is free"
    return f"{found.f_bavail * found.f_frsize / 1e6:,.1f} MB are free"


def _fullest(folders: tuple[Path | str | None, ...]) -> Path:
    """The folder with the least room; of these, the temporary folder and the working directory."""
    import tempfile  # noqa: PLC0415

    def room(path: Path) -> int:
        try:
            found = os.statvfs(_existing(path / "x"))
        except OSError:
            return sys.maxsize
        return found.f_bavail * found.f_frsize

    try:
        others = [Path(tempfile.gettempdir()), Path.cwd()]
    except OSError:  # not even that
        others = []
    return min([*(Path(folder) for folder in folders if folder), *others], key=room)
