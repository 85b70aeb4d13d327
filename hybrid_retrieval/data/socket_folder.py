"""Loader workers hand tensors over through Unix sockets in TMPDIR, whose path must be short for that."""

import logging
import multiprocessing.util
import os
import tempfile

from hybrid_retrieval.errors import UserError

logger = logging.getLogger(__name__)

LONGEST = 103
"""Bytes of a socket's path that every system takes: Linux has room for 108, macOS for 104, one is a zero."""

_NAMES = "/pymp-12345678/listener-12345678"  # what multiprocessing puts below the folder
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def keep_socket_paths_short() -> None:
    """Let multiprocessing make its sockets in a short folder where that of temporary files is too long.

    A worker that cannot make its socket says so on its standard error alone, and the batch never comes: the
    run would wait for ever. Job folders of clusters (`TMPDIR`) are often too long. Call it before workers
    start; they inherit the folder, and multiprocessing removes it at the end.

    Raises:
        UserError: no short folder can be written.
    """
    folder = tempfile.gettempdir()
    if _fits(folder):
        return
    for short in _SHORT:
        if os.access(short, os.W_OK | os.X_OK):
            logger.info("TMPDIR=%s is too long for sockets: those of loader workers are in %s", folder, short)
            tempfile.tempdir = short
            try:
                multiprocessing.util.get_temp_dir()  # made once in a process, then kept
            finally:
                tempfile.tempdir = folder
            return
    raise UserError(
        f"TMPDIR={folder} is too long a path for the sockets of loader workers, and no shorter folder can be "
        f"written: set TMPDIR to a path of at most {LONGEST - len(_NAMES)} bytes, or data.workers=0."
    )


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + len(_NAMES) <= LONGEST
