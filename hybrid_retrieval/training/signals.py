"""Signals that ask a run to end, and how it leaves because of one; imports nothing heavy."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_MEANS: dict[int, str] = {
    signal.SIGKILL: ", perhaps for want of memory",
    signal.SIGBUS: ", probably as a data file was cut while it was read",
}


class Preempted(SystemExit):
    """Leaves the process with 128 + the signal's number; of SIGINT, the context is a `KeyboardInterrupt`.

    Attributes:
        reason: one line, for `run.json`.
    """

    def __init__(self, signum: int, reason: str) -> None:
        super().__init__(128 + signum)
        self.reason = reason
        if signum == signal.SIGINT:
            self.__context__ = KeyboardInterrupt()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have a signal of `SIGNALS` that would kill the process end the body instead, when it does not train.

    A second one kills at once. Handlers that others have installed, as submitit's, stay.

    Raises:
        Preempted: a signal came.
    """

    def leave(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        raise Preempted(signum, f"{signal.Signals(signum).name} while it did not train")

    main = threading.current_thread() is threading.main_thread()
    ours = [each for each in SIGNALS if main and signal.getsignal(each) == signal.SIG_DFL]
    for each in ours:
        signal.signal(each, leave)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def outlive_first_signal(worker: int = 0) -> None:
    """Have this process, which loads data, survive what asks the whole run to end: the step needs it.

    Ctrl-C, scancel and pre-emption tell all processes of a run. torch has its loader processes end then, and
    the one that trains fails. A second signal ends them; so does the end of the run. One that SIGBUS kills
    says nothing: torch would have it blame shared memory, and `lost_process` looks for the cause.

    Args:
        worker: number, as `torch.utils.data.DataLoader` gives it.
    """

    def pass_over(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)

    for each in SIGNALS:
        signal.signal(each, pass_over)
    signal.signal(signal.SIGBUS, signal.SIG_DFL)


def killed_by(number: int) -> str:
    """That a signal killed a process, and what it mostly means: "was killed by SIGKILL, perhaps ...".

    Args:
        number: of the signal.
    """
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"was killed by {name}{_MEANS.get(number, '')}"


def say(text: str) -> None:
    """Tell the user something from a signal handler, where loggers may be in the middle of something."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"hybrid-retrieval: {text}\n".encode())
