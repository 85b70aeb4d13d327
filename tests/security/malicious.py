"""Files that run a command when they are unpickled, imported or called: it makes a marker file."""

import pickle
import shlex
from pathlib import Path
from typing import Any

import torch


class Payload:
    """Makes a marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os  # noqa: PLC0415

        return os.system, (touch(self.marker),)


def touch(marker: Path) -> str:
    """The shell command of every payload."""
    return f"touch {shlex.quote(str(marker))}"


def python_code(marker: Path) -> str:
    """A module that makes the marker when it is imported."""
    return f"import os\nos.system({touch(marker)!r})\n"


def pickle_bytes(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def save_with_torch(file: Path, marker: Path, **others: Any) -> Path:
    """A file of `torch.save` that holds the payload beside what is expected there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**others, "payload": Payload(marker)}, file)
    return file
