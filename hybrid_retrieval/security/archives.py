"""Archives of others, unpacked: nothing lands outside the folder, and nothing is larger than expected.

The one place where something is unpacked. Only zip files are, which the wheels of the package index are; of
these, only the members that are asked for.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from hybrid_retrieval.errors import UserError

_CHUNK = 1 << 20
_REGULAR = (0, stat.S_IFREG)  # the kind of a member's file; 0 where the archive does not say
_DRIVE = re.compile(r"[A-Za-z]:")


def unpack(archive: Path, folder: Path, members: Collection[str], *, most: int) -> dict[str, Path]:
    """Unpack some members of a zip file into a folder, at the paths that they have in the archive.

    Args:
        archive: the file.
        folder: exists.
        members: names of the members.
        most: bytes that all members together may have, unpacked; no more is ever written.

    Returns:
        The path of each member.

    Raises:
        UserError: it is no zip file, is damaged or lacks a member; a member is no plain file, would lie
            outside the folder, is named twice, or all are larger than `most`. Nothing of it is left then.
    """
    written: dict[str, Path] = {}
    left = most
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in members:
                _check(opened, name, archive)
                left -= _write(opened, name, folder, left, archive)
                written[name] = folder / name
    except BaseException as error:
        for path in written.values():
            path.unlink(missing_ok=True)
        if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError | NotImplementedError | RuntimeError):
            raise UserError(f"{archive.name} cannot be unpacked: {error}. Get it again.") from error
        raise
    return written


def _check(opened: zipfile.ZipFile, name: str, archive: Path) -> None:
    """Refuse a member that is missing or ambiguous, no plain file, or outside the folder by its name."""
    found = [info for info in opened.infolist() if info.filename == name]
    if len(found) != 1:
        how = "has no member" if not found else f"has {len(found)} members"
        raise UserError(f"{archive.name} {how} {name!r}. It is not the archive that was expected.")
    parts = name.split("/")
    kind = stat.S_IFMT(found[0].external_attr >> 16)
    if (
        not all(part not in ("", ".", "..") for part in parts)
        or "\\" in name
        or "\0" in name
        or _DRIVE.match(name)
        or kind not in _REGULAR
    ):
        raise UserError(
            f"{archive.name}: {name!r} is a link, a device, a folder or lies outside the folder it would be "
            "unpacked to. Nothing was unpacked."
        )


def _write(opened: zipfile.ZipFile, name: str, folder: Path, most: int, archive: Path) -> int:
    """Write one member, of at most so many bytes, as a new file; the number of its bytes."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{target.parent} is a link out of {folder}: nothing is unpacked there.")
    size = 0
    try:
        out = target.open("xb")  # a file or a link that is there already is not written over
    except FileExistsError as error:
        raise UserError(f"{target} is there already: it is not written over.") from error
    try:
        with out, opened.open(name) as member:
            while chunk := member.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise UserError(
                        f"{archive.name}: {name} unpacks to more than the {most:,} bytes that were expected. "
                        "It was not unpacked."
                    )
                out.write(chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size
