"""A folder that appears complete or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid_retrieval.storage_errors import writing


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Fill a temporary sibling of `folder`, which takes the folder's place when the block ends.

    An existing folder is replaced as a whole, and stays as it is when the block raises. The temporary
    sibling is removed in either case. Every file gets the permissions that the umask gives.

    Args:
        folder: the folder to make; missing parents are made too.

    Yields:
        The temporary folder to write into.

    Raises:
        StorageError: the disk is full, read-only or broken.
    """
    with writing(folder):
        yield from _replaced(Path(os.path.abspath(folder)))


def _replaced(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unique = uuid.uuid4().hex[:12]
    new = folder.with_name(f".{folder.name}.new-{unique}")
    old = folder.with_name(f".{folder.name}.old-{unique}")
    new.mkdir()
    try:
        yield new
        # Some writers make files that only their owner can read.
        mode = new.stat().st_mode & 0o666
        for path in new.rglob("*"):
            if path.is_file():
                path.chmod(mode)
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(new, folder)
        except OSError:
            # Another process put its folder here in between: it is as complete as ours.
            if not folder.is_dir():
                if old.exists():
                    os.replace(old, folder)
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
