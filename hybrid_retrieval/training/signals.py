"""Signals that ask a run to end, and how it leaves because of one; imports nothing heavy."""

import os
import signal
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


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


def say(text: str) -> None:
    """Tell the user something from a signal handler, where loggers may be in the middle of something."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"hybrid-retrieval: {text}\n".encode())
