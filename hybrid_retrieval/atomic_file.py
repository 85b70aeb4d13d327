"""A file that appears complete or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hybrid_retrieval.storage_errors import writing


@contextmanager
def atomic_file(file: Path, *, then: str = "") -> Iterator[Path]:
    """Write a temporary sibling of `file`, which takes its place when the block ends.

    An existing file stays as it is when the block raises. The temporary sibling is removed in either case.

    Args:
        file: the file to make; its folder exists.
        then: as for `writing`.

    Yields:
        The temporary file to write.

    Raises:
        StorageError: the disk is full, read-only or broken.
    """
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}")
    try:
        with writing(file, then=then):
            yield temporary
            os.replace(temporary, file)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
