"""A build in stages, so that a killed one goes on where it was."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.storage_errors import GOES_ON

_RECIPE = "recipe.json"


class Stages:
    """The folder of an unfinished build, and which of its stages are finished.

    A stage is finished when its marker lies there and every file that the marker names has its full size.

    Args:
        folder: made when it is not there; what an earlier build of another fingerprint left is removed.
        fingerprint: of what is built.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        try:
            known = json.loads((folder / _RECIPE).read_bytes()) == fingerprint
        except (OSError, ValueError):
            known = False
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _write(folder / _RECIPE, fingerprint)

    def complete(self, stage: str) -> bool:
        """Whether a stage is finished."""
        try:
            sizes = json.loads(self._marker(stage).read_bytes())
            return all((self.folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError):
            return False

    def empty(self, name: str) -> Path:
        """A new folder in the place of what an unfinished stage left."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, stage: str, paths: Iterable[Path]) -> None:
        """Mark a stage as finished.

        Args:
            stage: its name.
            paths: its files, or folders of them.
        """
        files = [f for path in paths for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()]
        _write(
            self._marker(stage),
            {file.relative_to(self.folder).as_posix(): file.stat().st_size for file in files},
        )

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _marker(self, stage: str) -> Path:
        return self.folder / f"{stage}.done"


def _write(path: Path, content: object) -> None:
    with atomic_file(path, then=GOES_ON) as new:
        new.write_text(json.dumps(content, indent=1), encoding="utf-8")
