"""Prepared corpora in object storage, copied to a local disk: texts are read at random, which needs one."""

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback  # type: ignore[import-untyped]

from hybrid_retrieval.data.object_store import open_store, reachable
from hybrid_retrieval.data.parallel import MANIFEST, Manifest, parse_manifest, read_manifest
from hybrid_retrieval.data.progress import Bar, Progress
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.sources.lock import exclusive

FILES_AT_ONCE = 4
_TEXTS = ("queries", "passages")
_SAFE_NAME = re.compile(r"[\w.+-]+")
_SAFE_FILE = re.compile(r"(?:\w[\w.+-]*/)*\w[\w.+-]*")
_LONGEST = 60  # characters of languages in a folder's name


@dataclass(frozen=True)
class RemoteCorpus:
    """A prepared corpus of another file system.

    Attributes:
        url: as the user gives it.
        manifest: of all languages.
        data: `corpus.json` as it is.
    """

    url: str
    manifest: Manifest
    data: bytes

    @classmethod
    def open(cls, url: str) -> "RemoteCorpus":
        """Read the manifest of a corpus.

        Args:
            url: of its folder, in any file system that fsspec knows.

        Raises:
            UserError: it cannot be read, or is no corpus of this version.
        """
        filesystem, root = open_store(url)
        where = f"{url.rstrip('/')}/{MANIFEST}"
        with reachable(where):
            try:
                data: bytes = filesystem.cat_file(f"{root}/{MANIFEST}")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise UserError(
                    f"{where} is not there. Name in data.path the copy of a folder that "
                    "`hybrid-retrieval prepare` has printed."
                ) from None
        manifest = parse_manifest(data, where, "Copy the prepared folder there again.")
        _check_names(manifest, where)
        return cls(url, manifest, data)

    def copy(self, languages: Sequence[str], cache: Path, progress: Progress) -> Path:
        """Copy the corpus in some of its languages, unless the cache has it.

        One process copies, while others that need it wait. What a killed one has copied is kept, file by
        file, and its next run goes on from there. A file that a copy in other languages has is not fetched
        again. Every file is checked against its size in the manifest, and against its SHA-256 where the
        manifest has a `sha256` of files.

        Args:
            languages: of the corpus.
            cache: the cache folder; the copy lies in `copies/`.
            progress: where to show it.

        Returns:
            The folder, for `ParallelCorpus.open`.

        Raises:
            UserError: a file cannot be read or differs from the manifest, or there is no room.
        """
        chosen = sorted(set(languages))
        manifest = self.manifest
        stem = f"{manifest.name}-{manifest.fingerprint[:16]}"
        folder = cache / "copies" / (stem if len(chosen) == len(manifest.languages) else _named(stem, chosen))
        if _is_copy(folder, manifest, chosen):
            progress.say(f"{manifest.name}: already copied to {folder}")
            return folder

        def waiting() -> None:
            progress.say(f"{manifest.name}: waiting for another process that copies it")

        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(folder.with_name(f".{folder.name}.lock"), waiting):
                if not _is_copy(folder, manifest, chosen):
                    self._copy(chosen, folder, stem, progress)
        except OSError as error:
            raise UserError(
                f"{error.filename or folder.parent}: {error.strerror or error}. {self.url} is copied to the "
                "cache: name a folder for it that can be written, on a local disk, with paths.cache=..."
            ) from error
        return folder

    def _copy(self, languages: Sequence[str], folder: Path, stem: str, progress: Progress) -> None:
        partial = folder.with_name(f".{folder.name}.partial")
        sizes = _files(self.manifest, languages)
        partial.mkdir(exist_ok=True)
        for name in sizes:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
        _link_others(folder.parent.glob(f"{stem}*"), partial, sizes)
        left = {name: size for name, size in sizes.items() if not _whole(partial / name, size)}
        needed, free = sum(left.values()), shutil.disk_usage(partial).free
        if free < needed:
            raise UserError(
                f"Copying {self.url} takes {needed / 1e9:.1f} GB in {folder.parent}, which has "
                f"{free / 1e9:.1f} GB left. Make room, choose another place (paths.cache=...) or fewer "
                "languages (data.languages)."
            )
        self._fetch(left, partial, Bar(progress, f"copying {self.manifest.name}", needed))
        text = json.dumps(_manifest_of(json.loads(self.data), languages, sizes), indent=1, ensure_ascii=False)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would not be copied
        os.replace(partial, folder)
        progress.say(f"{self.manifest.name}: {len(sizes)} files, {needed / 1e9:.1f} GB copied to {folder}")

    def _fetch(self, left: Mapping[str, int], partial: Path, bar: Bar) -> None:
        """Fetch files, a few at a time; each appears under its name when it is whole."""
        filesystem, root = open_store(self.url)
        hashes = json.loads(self.data).get("sha256") or {}
        transfer = _Transfer(bar)

        def fetch(name: str) -> None:
            source, target = f"{self.url.rstrip('/')}/{name}", partial / name
            new = target.with_name(f".{target.name}.part")
            with reachable(source):
                try:
                    filesystem.get_file(f"{root}/{name}", str(new), callback=transfer.of(left[name]))
                except FileNotFoundError:
                    raise UserError(f"{source} is missing. Copy the prepared folder there again.") from None
            _check(new, left[name], hashes.get(name), source)
            os.replace(new, target)

        pool = ThreadPoolExecutor(FILES_AT_ONCE)
        try:
            for done in as_completed([pool.submit(fetch, name) for name in left]):
                done.result()
        finally:
            transfer.stopped.set()
            pool.shutdown(cancel_futures=True)


class _Transfer:
    """The progress of files that are fetched side by side; stops them when one has failed."""

    def __init__(self, bar: Bar) -> None:
        self.stopped = threading.Event()
        self._bar = bar
        self._lock = threading.Lock()

    def of(self, size: int) -> Callback:
        """What fsspec calls with the bytes of a file."""
        transfer = self

        class FileCallback(Callback):  # type: ignore[misc]
            done = 0

            def relative_update(self, inc: int = 1) -> None:
                self.absolute_update(self.done + inc)

            def absolute_update(self, value: int) -> None:
                if transfer.stopped.is_set():
                    raise InterruptedError("stopped")
                with transfer._lock:
                    transfer._bar.advance(min(value, size) - self.done)
                    self.done = min(value, size)

        return FileCallback()


def _check_names(manifest: Manifest, where: str) -> None:
    """A manifest must not name files outside its folder."""
    names = [manifest.name, manifest.fingerprint, *manifest.languages]
    if not all(_SAFE_NAME.fullmatch(name) for name in names) or not all(
        map(_SAFE_FILE.fullmatch, manifest.files)
    ):
        raise UserError(
            f"{where}: names files that no prepared corpus has. Copy the prepared folder there again."
        )


def _named(stem: str, languages: Sequence[str]) -> str:
    joined = "+".join(languages)
    if len(joined) > _LONGEST:
        joined = hashlib.sha256(joined.encode()).hexdigest()[:16]
    return f"{stem}-{joined}"


def _files(manifest: Manifest, languages: Sequence[str]) -> dict[str, int]:
    """The files that a corpus in these languages needs, with their sizes."""
    others = set(manifest.languages) - set(languages)
    unneeded = {f"{kind}/{language}.arrow" for kind in _TEXTS for language in others}
    return {name: size for name, size in manifest.files.items() if name not in unneeded}


def _manifest_of(
    content: dict[str, Any], languages: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """What `corpus.json` says of a copy in some languages."""
    rows = content["counts"].get("rows", {})
    return {
        **content,
        "columns": content.get("columns", content["languages"]),
        "languages": list(languages),
        "counts": {**content["counts"], "rows": {code: rows[code] for code in languages if code in rows}},
        "files": dict(sizes),
    }


def _is_copy(folder: Path, manifest: Manifest, languages: Sequence[str]) -> bool:
    try:
        found = read_manifest(folder)
    except UserError:
        return False
    return (found.fingerprint, found.languages) == (manifest.fingerprint, tuple(languages))


def _whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _link_others(others: Iterator[Path], partial: Path, sizes: Mapping[str, int]) -> None:
    """Take the files that finished copies of the same corpus have, where the file system has links."""
    for other in others:
        if not (other / MANIFEST).is_file():
            continue
        for name, size in sizes.items():
            if not _whole(partial / name, size) and _whole(other / name, size):
                (partial / name).unlink(missing_ok=True)
                try:
                    os.link(other / name, partial / name)
                except OSError:
                    return


def _check(path: Path, size: int, sha256: str | None, source: str) -> None:
    found = path.stat().st_size
    if found != size:
        path.unlink()
        raise UserError(
            f"{source}: {found:,} bytes instead of {size:,}: its upload was cut off or the corpus was "
            "prepared anew. Copy the prepared folder there again."
        )
    if sha256 is not None:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        if not same:
            path.unlink()
            raise UserError(f"{source}: its SHA-256 is not {sha256}. Copy the prepared folder there again.")
