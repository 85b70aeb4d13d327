"""The stages of a build that go language by language: reading its texts, and putting them in their places."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.data.mapped_texts import BATCH_ROWS, MappedTexts, TextWriter
from hybrid_retrieval.data.progress import Bar, Progress
from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.data.spool import spool_language
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.sampling.triples import IntArray

KINDS = ("queries", "passages")
POLL_SECONDS = 0.2
WORTH_PROCESSES = 1 << 26  # bytes; a process takes a second to start
Count = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """One language's part of a stage.

    Attributes:
        function: called with the arguments and a function that takes numbers of bytes done.
        arguments: picklable.
    """

    function: Callable[..., None]
    arguments: tuple[Any, ...]


def cores() -> int:
    """How many processes may run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spool_folder(stages: Stages, language: str) -> Path:
    """Where the texts of a language are spooled."""
    return stages.folder / "text" / language


def reading_task(source: Reader | IdSource, stages: Stages, language: str) -> Task | None:
    """The task of reading a language, or None when that is done."""
    if stages.complete(f"text-{language}") or stages.complete(f"place-{language}"):
        return None
    return Task(_read, (source, stages, language))


def _read(source: Reader | IdSource, stages: Stages, language: str, count: Count) -> None:
    folder = stages.empty(f"text/{language}")
    spool_language(source, language, folder, count)
    count(0)
    stages.finish(f"text-{language}", [folder])


def placing_task(
    stages: Stages, language: str, corpus: Path, places: Callable[[], tuple[IntArray, IntArray]]
) -> Task | None:
    """The task of writing the texts of a language in the order of the joined ids, or None when that is done.

    Args:
        stages: of the build.
        language: ISO 639-1 code.
        corpus: where `queries/` and `passages/` lie.
        places: gives the number of the query of each query text, and of the passage of each passage text.
    """
    if stages.complete(f"place-{language}"):
        return None
    folder = spool_folder(stages, language)
    for kind, rows in zip(KINDS, places(), strict=True):
        (folder / f"{kind}_places.npy").unlink(missing_ok=True)
        if not np.array_equal(rows, np.arange(len(rows))):
            np.save(folder / f"{kind}_places.npy", rows, allow_pickle=False)
    return Task(_place, (stages, language, corpus))


def _place(stages: Stages, language: str, corpus: Path, count: Count) -> None:
    folder = spool_folder(stages, language)
    for kind in KINDS:
        spooled, target, places = (
            folder / f"{kind}.arrow",
            corpus / kind / f"{language}.arrow",
            folder / f"{kind}_places.npy",
        )
        target.unlink(missing_ok=True)
        if places.exists():
            _write_in_order(spooled, np.load(places, allow_pickle=False), target, count)
            places.unlink()
        else:
            _link(spooled, target)
            count(target.stat().st_size)
    count(0)
    texts = [folder / f"{kind}.arrow" for kind in KINDS]
    ids = [path for path in folder.iterdir() if path not in texts]
    stages.finish(f"place-{language}", [*ids, *(corpus / kind / f"{language}.arrow" for kind in KINDS)])
    for path in texts:
        path.unlink()


def _write_in_order(spooled: Path, places: IntArray, target: Path, count: Count) -> None:
    texts = MappedTexts(spooled)
    row_of = np.full(int(places.max(initial=-1)) + 1, -1, dtype=np.int64)
    row_of[places] = np.arange(len(places))
    with TextWriter(target) as writer:
        for start in range(0, len(row_of), BATCH_ROWS):
            column = texts.take(row_of[start : start + BATCH_ROWS])
            writer.write(column)
            count(column.nbytes)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def run_tasks(tasks: Sequence[Task], workers: int, progress: Progress, label: str, total: int) -> None:
    """Run tasks, in processes of their own where there are several and much to do.

    Args:
        tasks: what to do.
        workers: processes at a time, at most.
        progress: where to show the bar.
        label: of the bar.
        total: bytes of all tasks.
    """
    bar = Bar(progress, label, total)
    if min(workers, len(tasks)) < 2 or total < WORTH_PROCESSES:
        for task in tasks:
            task.function(*task.arguments, bar.advance)
        return
    # Not fork: the process may have threads, of torch or of the tokenizer.
    context = multiprocessing.get_context("spawn")
    done = context.Array("q", len(tasks))
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), context, initializer=_start, initargs=(done, os.getpid())
    )
    try:
        running = {pool.submit(_run, number, task) for number, task in enumerate(tasks)}
        while running:
            finished, running = wait(running, POLL_SECONDS)
            for future in finished:
                future.result()
            bar.show(sum(done[:]))
    finally:
        for process in list(pool._processes.values()) if running else []:
            process.terminate()
        pool.shutdown(cancel_futures=True)


_done: "SynchronizedArray[int]"
_parent: int


def _start(done: "SynchronizedArray[int]", parent: int) -> None:
    """Prepare a process of `run_tasks`."""
    global _done, _parent
    _done, _parent = done, parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes


def _run(number: int, task: Task) -> None:
    def count(size: int) -> None:
        if os.getppid() != _parent:
            os._exit(1)  # a killed parent's next run must not find us writing
        _done[number] += size

    task.function(*task.arguments, count)
