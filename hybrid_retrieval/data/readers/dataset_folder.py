"""A published data set as a local folder: the user's own copy, or the hub's files, downloaded once."""

import hashlib
import json
import logging
from collections.abc import Sequence
from fnmatch import fnmatch
from glob import escape
from pathlib import Path

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.hub import HUB_ID, Repository

logger = logging.getLogger(__name__)

HUB = "https://huggingface.co/datasets/"


def dataset_folder(
    path: str | None, patterns: Sequence[str], layout: str, revision: str | None = None
) -> Path:
    """The folder of a data set.

    What was downloaded is noted in the cache (`hub/`), with its commit, and used again without a connection;
    so a branch stays at the commit of the first download. Deleting the note asks the hub again.

    Args:
        path: a folder, or a file, in the layout of the hub's repository, or a hub id (`owner/name`).
        patterns: the files wanted from the hub, as `fnmatch` has them.
        layout: the files in words, for messages.
        revision: branch, tag or commit of the hub; None for the main branch.

    Raises:
        UserError: no such folder, no such data set, no such files in it, or the hub cannot be reached.
    """
    if not path:
        raise UserError(f"data.path is not set. Name a folder with {layout}, or a data set of the hub.")
    folder = Path(path).expanduser()
    if folder.exists():
        return folder
    if not HUB_ID.fullmatch(path):
        raise UserError(
            f"data.path={path} does not exist. Name a folder with {layout}, or a data set of the hub as "
            "owner/name."
        )
    note = _note(path, patterns, revision)
    return _noted(note) or _download(path, patterns, layout, revision, note)


def _note(hub_id: str, patterns: Sequence[str], revision: str | None) -> Path:
    wanted = hashlib.sha256(json.dumps([sorted(patterns), revision]).encode()).hexdigest()[:16]
    return cache_folder() / "hub" / f"{hub_id.replace('/', '--')}-{wanted}.json"


def _noted(note: Path) -> Path | None:
    """The folder of an earlier download that is still whole."""
    try:
        content = json.loads(note.read_bytes())
        folder = Path(content["folder"])
        whole = all((folder / name).stat().st_size == size for name, size in content["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return folder if whole else None


def _download(hub_id: str, patterns: Sequence[str], layout: str, revision: str | None, note: Path) -> Path:
    offline = f"or get {layout} from {HUB}{hub_id} on another machine and name their folder in data.path"
    repository = Repository(hub_id, "dataset", revision, offline)
    try:
        commit, names = repository.list_files()
    except UserError:
        if (cached := repository.cached(patterns)) is None:
            raise
        logger.warning(
            "%s: the hub was not asked; using the files in Hugging Face's cache, %s", hub_id, cached
        )
        return cached
    wanted = [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
    if not wanted:
        some = ", ".join(sorted(names)[:12]) or "none"
        raise UserError(
            f"{hub_id} on the hub has no file {' or '.join(patterns)}; its files are {some}. It may have "
            "been published anew: look at data.options.revision, or get the files by hand."
        )
    folder = repository.download([escape(name) for name in wanted], commit=commit)
    files = {name: (folder / name).stat().st_size for name in wanted}
    content = {
        "hub_id": hub_id,
        "revision": revision,
        "commit": commit,
        "folder": str(folder),
        "files": files,
    }
    note.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(note) as new:
        new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder
