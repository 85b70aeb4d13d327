"""The completion marker of a prepared model folder: size and sha256 of every file."""

import hashlib
import json
from pathlib import Path
from typing import Any

from hybrid_retrieval.errors import UserError

MANIFEST = "manifest.json"


def write_manifest(folder: Path, source: dict[str, Any]) -> None:
    """Write `manifest.json` for all files now in `folder`.

    Args:
        folder: a finished folder.
        source: where its content came from; kept under the key `source`.
    """
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {"source": source, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_manifest(folder: Path, fix: str) -> None:
    """Compare every file of `folder` with its manifest.

    Args:
        folder: a prepared folder.
        fix: what the user should do, appended to the message.

    Raises:
        UserError: the manifest or a file is missing, or differs in size or content.
    """
    manifest = folder / MANIFEST
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        expected = {name: (entry["size"], entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{manifest} is missing or unreadable ({error}); {fix}") from error
    for name, (size, sha256) in expected.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing; {fix}")
        if path.stat().st_size != size:
            raise UserError(f"{path} has {path.stat().st_size} bytes instead of {size}; {fix}")
        if _sha256(path) != sha256:
            raise UserError(f"{path} is corrupted: its sha256 is not the one in {MANIFEST}; {fix}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
