"""What the rows of the data set follow from."""

import hashlib
import json
import unicodedata
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from babel.core import get_global

_NO_ROWS = "statistics.py"


def generator_digest() -> str:
    """SHA-256 of the code, the templates and the versions of the data that the rows are generated from.

    Rows cannot change without it; it may change while the rows stay as they are.
    """
    versions = {
        "babel": metadata.version("babel"),
        "cldr": get_global("cldr")["version"],
        "pycountry": metadata.version("pycountry"),
        "unicode": unicodedata.unidata_version,  # upper and lower case
    }
    digest = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    for name, file in sorted(_files(resources.files(__package__), "")):
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".yaml")) and entry.name != _NO_ROWS:
            yield f"{prefix}{entry.name}", entry
