"""Checkpoint files: written whole or not at all, able to tell that they are whole, with the one before kept.

A checkpoint is what `torch.save` writes, a zip archive, whose comment seals it: the schema of the file and
the SHA-256 of all bytes before. Neither `torch.load` nor its `weights_only` notice a flipped bit in a weight.
"""

import hashlib
import logging
import os
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from hybrid_retrieval.errors import StorageError, UserError
from hybrid_retrieval.storage_errors import writing

LAST_CHECKPOINT = "last.ckpt"
PREVIOUS_CHECKPOINT = "previous.ckpt"
DAMAGED_CHECKPOINT = "damaged.ckpt"
SCHEMA = 1
_SEAL = re.compile(rb"hybrid-retrieval checkpoint (\d+) sha256 ([0-9a-f]{64})\Z")
_DIGEST = 64  # hexadecimal digits at the end of the file
_BLOCK = 1 << 22
_THEN = "go on from the checkpoint before, which is as it was, with resume=auto"

logger = logging.getLogger(__name__)


def write_checkpoint(content: Any, file: Path, *, before: Path | None = None) -> None:
    """Write a checkpoint beside its place, sealed and on the disk, then put it there at once.

    Args:
        content: anything that `torch.save` takes.
        file: replaced; missing parents are made.
        before: takes the place of what `file` was.

    Raises:
        StorageError: the file system does not take it; what was there before is still there.
    """
    temporary = file.with_name(f".{file.name}.tmp")  # one name: what a kill leaves is overwritten
    try:
        with writing(file, then=_THEN):
            file.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w+b") as opened:
                torch.save(content, opened)
                _seal(opened)
                opened.flush()
                os.fsync(opened.fileno())
            if before is not None and file.exists():
                _keep(file, before)
            os.replace(temporary, file)
            _sync_folder(file.parent)
    except StorageError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; None where none was ever written.

    A damaged one is moved out of the way, to `damaged.ckpt`, with a warning.

    Args:
        folder: `checkpoints/` of a run.

    Raises:
        UserError: there are checkpoints, and none is whole; or it is of another version.
    """
    found: list[str] = []
    for file in (folder / LAST_CHECKPOINT, folder / PREVIOUS_CHECKPOINT):
        if not file.is_file():
            continue
        damage = damage_of(file)
        if damage is None:
            if found:
                _move_damaged(folder / LAST_CHECKPOINT, file, found[0])
            return file
        found.append(f"{file} {damage}")
    if not found:
        return None
    raise UserError(
        f"no checkpoint of this run is whole: {'; '.join(found)}. Put back a copy of one, or start again "
        "with resume=false in another folder."
    )


def damage_of(file: Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence that begins with its name; None if nothing.

    One without a seal, from before there were any, is checked by the sums that its archive holds of each
    tensor.

    Raises:
        UserError: it is of a schema that this version does not read.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - 256))
            seal = _SEAL.search(opened.read())
            if seal is None:
                return _damage_of_unsealed(file)
            opened.seek(0)
            if _digest(opened, size - _DIGEST) != seal[2]:
                return "is damaged (its bytes are not those that were written)"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if int(seal[1]) != SCHEMA:
        raise UserError(
            f"{file} has schema {int(seal[1])}, and this version of hybrid-retrieval reads {SCHEMA}: go on "
            "with the version that wrote it, or start again with resume=false in another folder."
        )
    return None


def _damage_of_unsealed(file: Path) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            torn = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return "is cut off"
    return None if torn is None else f"is damaged (in {torn})"


def _seal(opened: IO[bytes]) -> None:
    """Append the comment of the archive, whose length is its last field before."""
    opened.seek(0, os.SEEK_END)
    seal = f"hybrid-retrieval checkpoint {SCHEMA} sha256 ".encode()
    opened.seek(-2, os.SEEK_END)
    opened.write((len(seal) + _DIGEST).to_bytes(2, "little") + seal)
    size = opened.tell()
    opened.seek(0)
    digest = _digest(opened, size)
    opened.seek(size)
    opened.write(digest)


def _digest(opened: IO[bytes], size: int) -> bytes:
    """SHA-256, hexadecimal, of so many bytes from where the file stands."""
    found = hashlib.sha256()
    while size > 0 and (block := opened.read(min(size, _BLOCK))):
        found.update(block)
        size -= len(block)
    return found.hexdigest().encode()


def _keep(file: Path, before: Path) -> None:
    """Make `before` a second name of the file, so that there is no moment without one."""
    link = before.with_name(f".{before.name}.tmp")
    try:
        link.unlink(missing_ok=True)
        os.link(file, link)
    except OSError:  # a file system without hard links
        os.replace(file, before)
    else:
        os.replace(link, before)


def _move_damaged(damaged: Path, whole: Path, what: str) -> None:
    logger.warning("%s: going on from %s, the one before", what, whole)
    with suppress(OSError):  # the next checkpoint replaces it
        os.replace(damaged, damaged.with_name(DAMAGED_CHECKPOINT))


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk too, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
