"""What a model's folder says of its training, so that an evaluation elsewhere can tell."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError

_FILE = "hybrid_retrieval.json"
_SCHEMA = 1


def write_record(folder: Path, run: Mapping[str, Any]) -> None:
    """Write it into a model's folder.

    Args:
        folder: exists.
        run: strategy, data, seed and such, as in the key `run` of metrics.json.
    """
    with atomic_file(folder / _FILE) as new:
        new.write_text(json.dumps({"schema": _SCHEMA, "run": run}, indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any] | None:
    """What `write_record` wrote into the folder of a model; None where it has none.

    Raises:
        UserError: it is damaged, or another version's.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        run: dict[str, Any] = content["run"]
        schema = content.get("schema", 1)  # the first version wrote none
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}). Delete it, or train again.") from error
    if schema != _SCHEMA:
        raise UserError(
            f"{file} has schema {schema}, and this version of hybrid-retrieval reads {_SCHEMA}: "
            "evaluate with the version that wrote it, or delete the file, and metrics.json will not tell how "
            "the model was trained."
        )
    return run
