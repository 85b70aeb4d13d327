"""A FAISS index in a folder: `<name>.json`, and the file `<name>-<digest>.faiss` that it names.

The JSON is replaced last, so the folder always holds a whole index, the old or the new one.

FAISS reads index files with native code that trusts them. Only a file whose size and SHA-256 stand in the
JSON is handed to it. That keeps truncated, damaged and foreign files out, but not a forger of both files:
read only index folders that you trust.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.faiss_library import explained, import_faiss
from hybrid_retrieval.storage_errors import writing

SCHEMA = 1


@dataclass(frozen=True)
class Contents:
    """What the JSON says of an index.

    Attributes:
        dimension: of each embedding.
        vectors: number of embeddings.
        fingerprint: of the embeddings.
        spec: the fields of `IndexSpec`.
        seconds: wall time of each step of building.
        metric: always the inner product.
    """

    dimension: int
    vectors: int
    fingerprint: str
    spec: dict[str, Any]
    seconds: dict[str, float]
    metric: str = "inner_product"


def write_folder(folder: Path, name: str, index: Any, contents: Contents) -> None:
    """Write an index, in place of one of that name; other files in the folder are left alone.

    Args:
        folder: made if it does not exist.
        name: of the JSON, without ".json".
        index: a FAISS index on the CPU.
        contents: what to say of it.
    """
    faiss = import_faiss()
    new = folder / f".{name}.{os.getpid()}.new"
    try:
        with writing(folder / name):
            folder.mkdir(parents=True, exist_ok=True)
            faiss.write_index(index, str(new))
            digest, size = _sha256(new), new.stat().st_size
            file = folder / f"{name}-{digest[:16]}.faiss"
            os.replace(new, file)
        stored = {"file": file.name, "bytes": size, "sha256": digest, "faiss": faiss.__version__}
        content = {"schema": SCHEMA, **asdict(contents), **stored}
        with atomic_file(folder / f"{name}.json") as described:
            described.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    for old in folder.glob(f"{name}-*.faiss"):
        if old != file:
            old.unlink(missing_ok=True)


def read_contents(folder: Path, name: str) -> Contents:
    """What `<name>.json` says, without reading the index.

    Raises:
        UserError: there is none, or it is damaged or of another version.
    """
    return _read_json(folder, name)[0]


def read_index(folder: Path, name: str) -> Any:
    """Read the FAISS index that `<name>.json` names.

    Raises:
        UserError: a file is missing, truncated or damaged.
    """
    contents, stored = _read_json(folder, name)
    file, again = folder / Path(stored["file"]).name, advice(folder)
    if not file.is_file():
        raise UserError(f"{file}: missing. {again}")
    if file.stat().st_size != stored["bytes"]:
        raise UserError(f"{file}: {file.stat().st_size} bytes instead of {stored['bytes']}. {again}")
    if _sha256(file) != stored["sha256"]:
        raise UserError(f"{file}: damaged: its SHA-256 is not the one in {name}.json. {again}")
    faiss = import_faiss()
    with explained(f"{file}: FAISS {faiss.__version__} cannot read it", again):
        index = faiss.read_index(str(file))
    if (index.d, index.ntotal) != (contents.dimension, contents.vectors):
        raise UserError(f"{folder / name}.json: does not describe {file.name}. {again}")
    return index


def delete(folder: Path, name: str) -> None:
    """Delete the index of a name, if there is one."""
    (folder / f"{name}.json").unlink(missing_ok=True)
    for file in folder.glob(f"{name}-*.faiss"):
        file.unlink(missing_ok=True)


def advice(folder: Path) -> str:
    """What to do about an index that cannot be used."""
    return f"Delete the index in {folder}, or set another index.folder, and it is built again."


def _read_json(folder: Path, name: str) -> tuple[Contents, dict[str, Any]]:
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise UserError(
                f"{path}: schema {content['schema']}, this version reads {SCHEMA}. {advice(folder)}"
            )
        contents = Contents(**{field.name: content[field.name] for field in fields(Contents)})
        stored = {key: content[key] for key in ("file", "bytes", "sha256")}
        if not all(isinstance(of, dict) for of in (contents.spec, contents.seconds)):
            raise TypeError("spec and seconds must be objects")
        return contents, {**stored, "file": str(stored["file"])}
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} holds no FAISS index: it has no {path.name}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error!r}). {advice(folder)}") from None


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
