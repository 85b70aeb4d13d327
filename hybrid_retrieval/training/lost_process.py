"""What a run says when a process that it needs is gone: another rank, or one that loads its data."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl
import torch.distributed as dist

from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.training.rank_watch import RankWatch

# torch: "DataLoader worker (pid 17) is killed by signal: Killed." or "... (pid(s) 17) exited unexpectedly".
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*?)\.? *$", re.MULTILINE)
_GO_ON = "Go on from the last checkpoint with resume=auto."


@contextmanager
def lost_processes_explained(trainer: pl.Trainer) -> Iterator[None]:
    """Run the body, and raise in one message what it raises because a process is gone.

    Args:
        trainer: where it has several processes, the process group is set up, or they are not watched.

    Raises:
        RunFailedError: a process of this run, or one that loads its data, was lost.
    """
    watch = None
    if trainer.world_size > 1 and dist.is_available() and dist.is_initialized():
        host = os.environ.get("MASTER_ADDR", "127.0.0.1")
        watch = RankWatch(trainer.global_rank, trainer.world_size, trainer.strategy.broadcast, host=host)
    failure: BaseException | None = None
    try:
        yield
    except (UserError, RunFailedError, KeyboardInterrupt) as error:
        failure = error
        raise
    except Exception as error:
        failure = error
        lost = watch.found() if watch is not None else None
        if lost is not None:
            failure = None  # they know
            raise RunFailedError(f"{lost}. {_GO_ON}") from error
        if worker := _WORKER.search(str(error)):
            how = worker[2].replace("is killed", "was killed")
            failure = RunFailedError(
                f"a process that loads data ({worker[1]}, of data.workers) {how}, perhaps for want of "
                f"memory: lower data.workers. {_GO_ON}"
            )
            raise failure from error
        raise
    finally:
        if watch is not None:
            watch.leave(failure)
