"""What a run says when a process that it needs is gone: another rank, or one that loads its data."""

import os
import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl
import torch.distributed as dist

from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.training.mapped_data import MappedData
from hybrid_retrieval.training.rank_watch import RankWatch

# torch: "DataLoader worker (pid 17) is killed by signal: Killed.", and mostly raised from that
# "DataLoader worker (pid(s) 17) exited unexpectedly".
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ([^.\n]+)")
# torch: "Caught UserError in DataLoader worker process 0.", and on the next lines the traceback.
_RAISED = re.compile(r"Caught (\w+) in DataLoader worker process")
# torch: "DataLoader timed out after 1800.0 seconds"
_SILENT = re.compile(r"DataLoader timed out after ([\d.]+) seconds")
_GO_ON = "Go on from the last checkpoint with resume=auto."


@contextmanager
def lost_processes_explained(trainer: pl.Trainer) -> Iterator[None]:
    """Run the body, and raise in one message what it raises because a process or a data file is gone.

    Args:
        trainer: where it has several processes, the process group is set up, or they are not watched.

    Raises:
        RunFailedError: a process of this run, or one that loads its data, was lost.
        UserError: a data file was cut under the run, which kills the process that reads it; or a process that
            loads data met a mistake, which torch hides behind a traceback.
    """
    watch = None
    if trainer.world_size > 1 and dist.is_available() and dist.is_initialized():
        host = os.environ.get("MASTER_ADDR", "127.0.0.1")
        watch = RankWatch(trainer.global_rank, trainer.world_size, trainer.strategy.broadcast, host=host)
    failure: BaseException | None = None
    try:
        yield
    except (RunFailedError, KeyboardInterrupt) as error:
        failure = error
        raise
    except Exception as error:
        failure = error
        lost = watch.found() if watch is not None and not isinstance(error, UserError) else None
        if lost is not None:
            failure = None  # they know
            raise RunFailedError(f"{lost}. {_GO_ON}") from error
        failure = _of_loader(error, trainer) or error
        if failure is error:
            raise
        raise failure from error
    finally:
        if watch is not None:
            watch.leave(failure)


def _of_loader(error: Exception, trainer: pl.Trainer) -> UserError | RunFailedError | None:
    """The cause of an exception that comes from a data file that was cut or a process that loads data."""
    text = str(error)
    raised = _RAISED.match(text)
    if isinstance(error, UserError) and raised is None:
        return None
    for each in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(each, MappedData):
            try:
                each.check()
            except UserError as cut:
                return cut
    if isinstance(error, UserError) and raised is not None:
        return type(error)(text.rpartition(f"{raised[1]}: ")[2].removesuffix("\\n"))
    if silent := _SILENT.match(text):
        return RunFailedError(
            f"the processes that load data gave no batch for {float(silent[1]) / 60:.0f} minutes: look at "
            f"the file system of the data, or set data.workers=0. {_GO_ON}"
        )
    found = [match for each in (error.__cause__, error) if (match := _WORKER.search(str(each)))]
    if not found:
        return None
    pid, how = found[0][1], found[0][2].replace("is killed", "was killed")
    if "killed" not in how and (number := _signal_of_worker(error)) is not None:
        how = f"was killed by signal: {signal.strsignal(number)}"
    why = ", perhaps for want of memory: lower data.workers"
    if "Bus error" in how:
        why = (
            ". The data files are whole, so shared memory (/dev/shm) is probably full: make it larger (a "
            "container: --shm-size), or lower data.workers"
        )
    return RunFailedError(f"a process that loads data ({pid}, of data.workers) {how}{why}. {_GO_ON}")


def _signal_of_worker(error: BaseException) -> int | None:
    """What ended a process that loads data, where torch did not say.

    torch asks the system, which no longer knows when Python took the exit status first. So the status is read
    from the processes that torch found gone, in the frame that raised the exception; None if there are none.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for worker in frame.f_locals.get("failed_workers", ()):
            if worker.exitcode is not None and worker.exitcode < 0:
                return -int(worker.exitcode)
    return None
