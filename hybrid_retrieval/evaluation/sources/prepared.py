"""The folders of prepared benchmarks: filled by `prepare`, found by `evaluate`."""

import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.sources.catalogue import Source, SourceFile, find_source, megabytes
from hybrid_retrieval.evaluation.sources.download import Patience, StoppedError, download, sha256_of
from hybrid_retrieval.evaluation.sources.lock import POLL_SECONDS, exclusive

LICENCE_FILE = "LICENCE.txt"
SOURCE_FILE = "SOURCE.json"
CONNECTIONS = 4

Say = Callable[[str], None]


def benchmarks_root(cache: str | None = None, benchmarks: str | None = None) -> Path:
    """The folder of all prepared benchmarks; it need not exist yet.

    Args:
        cache: `paths.cache`; None is the user's cache.
        benchmarks: `paths.benchmarks`; None is `benchmarks` inside the cache.
    """
    if benchmarks:
        return Path(benchmarks).expanduser().absolute()
    return cache_folder(cache) / "benchmarks"


def benchmark_folder(
    name: str, path: str | Path | None, cache: str | None = None, benchmarks: str | None = None
) -> Path:
    """The folder to read a benchmark from: the one given, else the one that `prepare` has filled.

    A prepared file is compared with its pinned sha256 each time. Files that cannot be fetched are found in
    the same place when the user has put them there; whether they are complete is for their reader to say.

    Args:
        name: the benchmark, one of `benchmarks/sources.yaml`.
        path: `benchmark.path`.
        cache: `paths.cache`.
        benchmarks: `paths.benchmarks`.

    Raises:
        UserError: no path, and not prepared, incomplete or damaged; the message names the command to run, or
            where to get the files by hand.
    """
    if path:
        return Path(path).expanduser()
    source = find_source(name)
    if source is None:
        raise UserError(f"benchmark={name} needs benchmark.path=<folder with its files>.")
    folder = benchmarks_root(cache, benchmarks) / name
    if not source.files:
        if folder.is_dir() and any(folder.iterdir()):
            return folder
        raise UserError(get_by_hand(source, folder))
    places = (("paths.cache", cache), ("paths.benchmarks", benchmarks))
    command = " ".join(
        [f"hybrid-retrieval prepare benchmark={name}", *(f"{key}={value}" for key, value in places if value)]
    )
    flaws = [f"{folder / file.name} {flaw}" for file in source.files if (flaw := flaw_of(file, folder))]
    if flaws:
        found = "is not prepared" if len(flaws) == len(source.files) else f"is not complete: {flaws[0]}"
        raise UserError(
            f"benchmark={name} {found}. Run: {command} ({source.contents}, licence: {source.licence}); or "
            f"set benchmark.path=<folder with {source.layout}>."
        )
    return folder


def get_by_hand(source: Source, folder: Path) -> str:
    """What to do about a benchmark that `prepare` cannot fetch.

    Args:
        source: the benchmark.
        folder: where its files are looked for when no path is given.
    """
    return (
        f"benchmark={source.name} has no files that prepare could fetch: {source.by_hand}. Homepage: "
        f"{source.homepage}; licence: {source.licence}. Put {source.layout} in {folder}, or set "
        "benchmark.path=<the folder that holds them>."
    )


def flaw_of(file: SourceFile, folder: Path) -> str | None:
    """What is wrong with a file of a prepared folder; None when it is the pinned one."""
    path = folder / file.name
    if not path.is_file():
        return "is missing"
    if (size := path.stat().st_size) != file.size:
        return f"has {size:,} bytes instead of {file.size:,}"
    return None if sha256_of(path) == file.sha256 else "is damaged: its sha256 is not the pinned one"


def prepare_benchmark(
    source: Source, root: Path, say: Say, *, console: Console | None = None, patience: Patience | None = None
) -> Path:
    """Fetch what is missing or damaged of a benchmark's files, after saying under which terms.

    Several processes may call this at once: one fetches, the others wait. A call that was killed is continued
    by the next one. Files of other names in the folder are left alone.

    Args:
        source: the benchmark.
        root: the folder of all benchmarks.
        say: called with one line at a time.
        console: where a progress bar is drawn when it is a terminal; None is stderr.
        patience: of the downloads.

    Returns:
        `root / source.name`, with the files, their terms (LICENCE.txt) and their origin (SOURCE.json).

    Raises:
        UserError: nothing can be fetched, or a download failed; what has arrived is kept.
    """
    folder = root / source.name
    if not source.files:
        raise UserError(get_by_hand(source, folder))
    for line in terms(source):
        say(line)
    with (
        _writable(folder),
        exclusive(
            root / f".{source.name}.lock", lambda: say(f"another process is fetching {source.name}: waiting")
        ),
    ):
        wanted = []
        for file in source.files:
            if flaw := flaw_of(file, folder):
                wanted.append(file)
                if flaw != "is missing":
                    say(f"{folder / file.name} {flaw}: fetching it again")
        _write(folder / LICENCE_FILE, "\n".join(terms(source)) + "\n")
        if wanted:
            _check_space(folder, wanted)
            _download_all(wanted, folder, console or Console(stderr=True), patience or Patience())
        else:
            say(f"{source.name} is complete: nothing to fetch")
        _write(folder / SOURCE_FILE, _origin(source))
        for left_over in folder.glob(".*.part"):
            left_over.unlink()
    if source.by_hand:
        say(f"not included: {source.by_hand}")
    return folder


def terms(source: Source) -> list[str]:
    """What to tell about a benchmark's origin and licence, a line each."""
    servers = ", ".join(dict.fromkeys(file.url.rpartition("/")[0] for file in source.files))
    return [
        f"{source.name}: {source.title}, {source.contents}, from {servers}",
        f"licence: {source.licence} ({source.licence_url})",
        f"homepage: {source.homepage}",
        f"please cite: {source.citation}",
    ]


def _download_all(files: Sequence[SourceFile], folder: Path, console: Console, patience: Patience) -> None:
    """Fetch files side by side; the first failure stops the others, which keep what they have."""
    stop = threading.Event()
    waiting, failures = deque(files), list[Exception]()
    held = dict.fromkeys(files, 0)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"fetching {len(files)} files", total=sum(file.size for file in files))

        def fetch(file: SourceFile) -> None:
            def received(count: int) -> None:
                held[file] = count
                progress.update(bar, completed=sum(held.values()))

            download(file, folder, patience=patience, received=received, stop=stop)

        def work() -> None:
            while not stop.is_set():
                try:
                    fetch(waiting.popleft())
                except (IndexError, StoppedError):
                    return
                except Exception as error:
                    failures.append(error)
                    stop.set()

        # Not a pool: an interrupted process would wait for the threads of one, up to the timeout.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(CONNECTIONS, len(files)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive() and not stop.is_set():
                    thread.join(POLL_SECONDS)
        finally:
            stop.set()
    if failures:
        for thread in threads:
            thread.join(POLL_SECONDS)
        raise failures[0]


def _check_space(folder: Path, files: Sequence[SourceFile]) -> None:
    needed, free = sum(file.size for file in files), shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {megabytes(needed)} are needed and {megabytes(free)} are free. Free some space, or "
            "choose another folder with paths.benchmarks=<folder>."
        )


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Make a folder, and say in one message that it, or what is in it, cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: {error.strerror or error}. Choose another folder with "
            "paths.benchmarks=<folder>."
        ) from error


def _origin(source: Source) -> str:
    files = {file.name: {"url": file.url, "size": file.size, "sha256": file.sha256} for file in source.files}
    content = {
        "benchmark": source.name,
        "title": source.title,
        "homepage": source.homepage,
        "licence": source.licence,
        "licence_url": source.licence_url,
        "citation": source.citation,
        "files": files,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a small file as a whole, or leave the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
