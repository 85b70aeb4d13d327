"""Training in several processes of this machine that the run starts itself: `ddp`, or `ddp_spawn` in a sweep.

Lightning's own launcher for `ddp` runs the command line again, which in a multirun is the whole sweep, and
kills the first process without a word where another one has ended; its launcher for `ddp_spawn` spawns
processes for `fit` alone, after which the step count, the log and what callbacks have measured are lost with
them. Here each process is spawned for the whole run and carries out `train` as one rank of `ddp` (or
`fsdp2`), as if torchrun had started it: what a run writes is written by the same lines as in any other.
Processes are spawned, not forked: after threads have run, a forked process that uses OpenMP may hang.

With GPUs it is written from Lightning's documentation, and was not run.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.launch import Launch
from hybrid_retrieval.security.log_records import protect_handlers
from hybrid_retrieval.training.signals import SIGNALS, Preempted, killed_by

SPAWNED = ("ddp_spawn", "fsdp2_spawn")
_PATIENCE = 30.0  # seconds that the other processes have to end after one has failed
# Lightning would take its ranks from these.
_LAUNCHERS = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "RANK", "TORCHELASTIC_RUN_ID")

Outcome = tuple[Path | None, Path | None]


class ProcessError(RuntimeError):
    """One of the processes of a run failed; the message is that of its exception."""


@dataclass(frozen=True)
class _Failure:
    """How a process ended, other than well: the kind of exception, its message and its traceback.

    Attributes:
        status: of a `SystemExit`.
        killed: by a signal, from outside.
    """

    kind: str
    message: str
    traceback: str
    status: int | None = None
    killed: bool = False

    def raised(self) -> BaseException:
        """The exception for the process that started it."""
        if self.kind == UserError.__name__:
            return UserError(self.message)
        if self.kind == RunFailedError.__name__:
            return RunFailedError(self.message)
        if self.kind == SystemExit.__name__:
            return SystemExit(self.status)
        if self.kind == KeyboardInterrupt.__name__:
            return KeyboardInterrupt()
        error = ProcessError(f"{self.kind}: {self.message}")
        error.add_note(self.traceback)
        return error


def spawned_strategy(strategy: str) -> str | None:
    """What the ranks of a strategy of `SPAWNED` train with: `ddp` or `fsdp2`; None for other strategies."""
    return strategy.removesuffix("_spawn") if strategy in SPAWNED else None


def starts_processes(trainer: DictConfig) -> bool:
    """Whether a run starts its processes here: several devices of this machine, and no launcher does it.

    Args:
        trainer: of a configuration.
    """
    if trainer.strategy in SPAWNED:
        return True
    if trainer.strategy not in ("auto", "ddp", "fsdp2") or trainer.num_nodes != 1:
        return False
    here = Launch.read(os.environ) is None and "LOCAL_RANK" not in os.environ
    return here and device_count(trainer) > 1


def device_count(trainer: DictConfig) -> int:
    """How many devices of this machine a run uses, as Lightning counts them.

    Args:
        trainer: of a configuration.

    Raises:
        UserError: there are no such devices.
    """
    if trainer.devices in (1, "1"):
        return 1
    import lightning.pytorch as pl  # noqa: PLC0415 (seconds of imports)
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415

    try:
        devices: Any = OmegaConf.to_container(OmegaConf.create({"devices": trainer.devices}))["devices"]  # type: ignore[index, call-overload]
        logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
        bare = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*srun.*")
            return int(pl.Trainer(accelerator=trainer.accelerator, devices=devices, **bare).num_devices)  # type: ignore[arg-type]
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"trainer: {error}") from error


def train_in_processes(cfg: DictConfig, run_folder: Path) -> Outcome:
    """`training.run.train` in a process for each device, and what its first process returns.

    When a process fails, or this one is interrupted, the others are ended.

    Args:
        cfg: `conf/train.yaml`, for which `starts_processes`.
        run_folder: of the run.

    Raises:
        UserError: as `train`; or several nodes, whose processes only a cluster can start.
        RunFailedError: as `train`.
        ProcessError: a process failed in another way.
        SystemExit: a process left with an exit status, as all were asked to.
    """
    if cfg.trainer.num_nodes != 1:
        raise UserError(
            f"trainer.strategy={cfg.trainer.strategy} is for one machine: with trainer.num_nodes="
            f"{cfg.trainer.num_nodes} use launcher=slurm, where SLURM starts the processes."
        )
    count = device_count(cfg.trainer)
    cfg = cfg.copy()
    strategy = cfg.trainer.strategy
    cfg.trainer.strategy = "ddp" if strategy == "auto" else spawned_strategy(strategy) or strategy
    hydra: Any = HydraConfig.instance().cfg
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    ranks: list[tuple[BaseProcess, Connection]] = []
    with _forwarded_signals(ranks):
        try:
            for rank in range(count):
                ours, theirs = context.Pipe(duplex=False)
                work = _Work(rank, count, port, cfg, hydra, run_folder)
                process = context.Process(target=_rank, args=(work, theirs))
                process.start()
                theirs.close()
                ranks.append((process, ours))
            done = _outcome(ranks)
        except BaseException:
            _end(ranks, patience=5.0)
            raise
        _end(ranks, patience=_PATIENCE)
        return done


def _outcome(ranks: Sequence[tuple[BaseProcess, Connection]]) -> Outcome:
    """What the first process returns, when all have ended well."""
    said: dict[int, Outcome | _Failure] = {}
    while len(said) < len(ranks):
        waiting = {ours: rank for rank, (_, ours) in enumerate(ranks) if rank not in said}
        failed = any(isinstance(one, _Failure) for one in said.values())
        ready = wait(list(waiting), timeout=_PATIENCE if failed else None)
        if not ready:
            break
        for ours in ready:
            rank = waiting[ours]  # type: ignore[index]
            said[rank] = _received(ours, ranks[rank][0], f"rank {rank} of {len(ranks)}")  # type: ignore[arg-type]
    failures = [found for rank in sorted(said) if isinstance(found := said[rank], _Failure)]
    if failures:
        # Where one process fails by itself, or is killed, others fail because they lose it.
        killed = [f for f in failures if f.killed]
        known = [f for f in failures if f.kind in (UserError.__name__, RunFailedError.__name__)]
        raise (killed or known or failures)[0].raised()
    return said[0]  # type: ignore[return-value]


def _received(ours: Connection, process: BaseProcess, name: str) -> Outcome | _Failure:
    try:
        received: Outcome | _Failure = ours.recv()
        return received
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = killed_by(-code) if code < 0 else f"left with status {code}"
        message = (
            f"{name} (process {process.pid}) {how}, and the others were ended. Go on from the last "
            "checkpoint with resume=auto."
        )
        return _Failure(RunFailedError.__name__, message, "", killed=code < 0)


def _end(ranks: Sequence[tuple[BaseProcess, Connection]], *, patience: float) -> None:
    """Wait for processes that end by themselves, so many seconds in all; end the others."""
    until = time.monotonic() + patience
    for process, _ in ranks:
        process.join(timeout=max(0.0, until - time.monotonic()))
    for process, _ in ranks:
        if process.is_alive():
            process.kill()
        process.join()


@contextmanager
def _forwarded_signals(ranks: Sequence[tuple[BaseProcess, Connection]]) -> Iterator[None]:
    """Tell the ranks when this process is asked to end; it ends as they do, with 128 + the signal's number.

    A rank that does not train yet, or no longer, ends at once.
    """
    asked: list[int] = []

    def forward(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)
        for process, _ in ranks:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, forward) for each in SIGNALS}
    try:
        yield
    except (RunFailedError, ProcessError) as error:
        if asked:  # they ended because of it
            name = signal.Signals(asked[0]).name
            raise Preempted(asked[0], f"{name} while it did not train") from error
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@dataclass(frozen=True)
class _Work:
    """What one process of a run needs to know; `hydra` is the state of `HydraConfig`."""

    rank: int
    count: int
    port: int
    cfg: DictConfig
    hydra: DictConfig | None
    folder: Path


def _rank(work: _Work, out: Connection) -> None:
    """One process of a run."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in _LAUNCHERS:
        os.environ.pop(name, None)
    os.environ |= {
        "RANK": str(work.rank),
        "LOCAL_RANK": str(work.rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(work.count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(work.port),
    }
    setup_globals()
    if work.hydra is not None:
        HydraConfig.instance().set_config(work.hydra)
        if work.rank == 0:
            configure_log(work.hydra.hydra.job_logging, work.hydra.hydra.verbose)
            protect_handlers()
    try:
        from hybrid_retrieval.training.run import train  # noqa: PLC0415 (after the environment is set)

        out.send(train(work.cfg, work.folder))
    except BaseException as error:
        out.send(_failure(error))
        sys.exit(1)


def _failure(error: BaseException) -> _Failure:
    kinds: tuple[type[BaseException], ...] = (UserError, RunFailedError, KeyboardInterrupt, SystemExit)
    if isinstance(error.__context__, KeyboardInterrupt):
        error = error.__context__
    kind = next((kind for kind in kinds if isinstance(error, kind)), type(error)).__name__
    status = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else None
    return _Failure(kind, str(error), "".join(traceback.format_exception(error)), status)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
