"""Ends a run that is told to go, so that it can go on later: saved, and put back into SLURM's queue."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl

from hybrid_retrieval.sweeps.slurm_queue import job_state, own_job, requeue
from hybrid_retrieval.training.signals import SIGNALS, Preempted, say

PATIENCE = 300.0
_AT_ONCE = 1.0  # seconds within which a second signal is the first one again
# SLURM has put the job back already, or does so next.
_GOES_BACK = ("PENDING", "PREEMPTED", "REQUEUED", "NODE_FAIL")

logger = logging.getLogger(__name__)


class Preemption(pl.Callback):
    """On SIGTERM, SIGINT, SIGUSR1 or SIGUSR2 lets the step end, has the state saved, and leaves.

    Under SLURM these come when a job is pre-empted (SIGTERM), before its time is up (SIGUSR2, as submitit
    asks for it) or when it is cancelled (SIGTERM as well). Only some of the processes may get one: at the
    end of each step they agree. The first then puts the job back into the queue, unless it was cancelled,
    which SLURM's controller knows, or SLURM does so itself. A run that could not go on by itself
    (`resume=false`), or that did not make a step since it started, is not put back. Everywhere else the
    process just ends.

    A validation that is due is left to the run that goes on, but for that after the last step. One that has
    begun is broken off where there is one process; several finish it, as their shares of it differ.

    While it trains, the handlers of Lightning and of submitit are switched off: Lightning ends with status 0
    and saves nothing, submitit would leave in the middle of a step.

    A process that has not left within `patience` seconds says what it waits for and ends without saving;
    outside of SLURM, which kills by itself, so does one that is told again. A signal that comes twice at
    once, from a terminal or a container to each process and from the parent as well, counts once.

    Args:
        resumes: whether the same command goes on from `last.ckpt`.
        environment: tells of SLURM.
        patience: seconds.

    Attributes:
        leaving: whether all processes leave after this step.
        save: saves in the middle of a validation; None: nothing is saved.
    """

    def __init__(
        self,
        *,
        resumes: bool,
        environment: Mapping[str, str] = os.environ,
        patience: float = PATIENCE,
    ) -> None:
        self.resumes = resumes
        self.job = own_job(environment)
        self.patience = patience
        self.leaving = False
        self.save: Callable[[pl.Trainer], None] | None = None
        self._process = os.getpid()
        self._signal: int | None = None
        self._told = 0.0
        self._waits_for = "training to begin"
        self._first_step = 0
        self._before: dict[signal.Signals, Any] = {}
        self._watchdog: threading.Timer | None = None

    @contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Name what the body waits for, to be told by the watchdog."""
        before, self._waits_for = self._waits_for, what
        yield
        self._waits_for = before

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take over the signals, before Lightning does."""
        if stage != "fit" or threading.current_thread() is not threading.main_thread():
            return
        # There is no switch for it, and its handler stands in the way of ours.
        trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
        self._before = {each: signal.signal(each, self._handle) for each in SIGNALS}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note where this process began."""
        self._first_step = trainer.global_step

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Leave, now that the step before is over and logged."""
        if self.leaving:
            self._leave(trainer)
        self._waits_for = f"step {trainer.global_step + 1} to end"

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Agree whether to leave; `LastCheckpoint` saves next."""
        self._agree(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the validation to the run that goes on."""
        if self.leaving and not _at_last_step(trainer):
            self._leave(trainer)
        self._waits_for = f"the validation after step {trainer.global_step} to end"

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Break the validation off, where one process alone can."""
        if self._signal is not None and trainer.world_size == 1 and not _at_last_step(trainer):
            self.leaving = True
            if self.save is not None:
                self.save(trainer)
            self._leave(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree once more, as validation takes its time; `LastCheckpoint` saves next."""
        self._agree(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave, if there was no step after the signal."""
        self._agree(trainer)
        if self.leaving:
            self._leave(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back, and hand on one that came too late."""
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._signal is not None and not self.leaving:
            os.kill(os.getpid(), self._signal)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back; a process that leaves ignores further ones."""
        if not self.leaving:
            self.teardown(trainer, pl_module, "fit")

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader process, forked, that a signal to the whole group has met: the step needs it
        name = signal.Signals(signum).name
        if self._signal is None:
            self._signal, self._told = signum, time.monotonic()
            say(f"{name}: saving at the end of this step")
            self._watchdog = threading.Timer(self.patience, self._give_up, (signum,))
            self._watchdog.daemon = True
            self._watchdog.start()
        elif self.job is None and time.monotonic() - self._told > _AT_ONCE:
            say(f"{name} a second time: ended without saving")
            os._exit(128 + signum)

    def _give_up(self, signum: int) -> None:
        say(
            f"told to end by {signal.Signals(signum).name}, and {self.patience:g} s later still waiting for "
            f"{self._waits_for}: ended without saving. The last checkpoint is as it was."
        )
        os._exit(128 + signum)

    def _agree(self, trainer: pl.Trainer) -> None:
        # Lightning waits for a message of the first process before every step in any case.
        told = self._signal is not None
        with self.waiting_for(f"the other processes to end step {trainer.global_step}"):
            self.leaving = self.leaving or trainer.strategy.reduce_boolean_decision(told, all=False)

    def _leave(self, trainer: pl.Trainer) -> None:
        signum = self._signal or signal.SIGTERM
        reason = f"{signal.Signals(signum).name} at step {trainer.global_step}"
        if trainer.is_global_zero:
            if self.job is not None:
                reason += self._back_into_the_queue(self.job, trainer)
            logger.warning("stopped: %s", reason)
        # Where one process ends, SLURM kills the others.
        with self.waiting_for("the other processes to leave"):
            trainer.strategy.barrier()
        if self._watchdog is not None:
            self._watchdog.cancel()
        raise Preempted(signum, reason)

    def _back_into_the_queue(self, job: str, trainer: pl.Trainer) -> str:
        """What became of the job, as the end of a reason."""
        state = job_state(job)
        if state == "CANCELLED":
            return ": the job was cancelled"
        if state in _GOES_BACK:
            return ": SLURM puts the job back into the queue"
        if not self.resumes:
            return ": not put back into the queue, as the run would start anew; see resume=auto"
        if trainer.global_step == self._first_step:
            return ": not put back into the queue, as the job has not made a step in its time"
        problem = requeue(job)
        if problem is not None and job_state(job) in _GOES_BACK:
            problem = None  # SLURM was faster
        return ": put back into the queue" if problem is None else f": not put back into the queue: {problem}"


def _at_last_step(trainer: pl.Trainer) -> bool:
    """Where Lightning would not validate when the run goes on."""
    return bool(trainer.global_step == trainer.max_steps)


def _nothing() -> None:
    pass
