"""Tries inputs in a process of their own, which is started again where one ends or hangs it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MEMORY = 3 << 30
"""Bytes that a case may take beyond what the process has."""
SECONDS = 10.0
"""Of processor time that a case may take."""
PATIENCE = 600.0
"""Seconds without an answer after which a case counts as hanging, on a machine that may be busy."""
_ASLEEP, _LITTLE = (
    20.0,
    0.05,
)  # seconds in which a process that takes so little of a processor is asleep
_START = 300.0
_AHEAD = 16

Case = tuple[str, int | str]


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: target, and seed or name of a bomb.
        outcome: "read", "refused", or a finding.
        done: what was done to the folder.
        said: the message, or what was raised where.
        seconds: of processor time.
        bytes: most memory beyond that before.
    """

    case: Case
    outcome: str
    done: str
    said: str
    seconds: float
    bytes: int

    @property
    def finding(self) -> bool:
        return self.outcome not in ("read", "refused")


def tried(cases: Iterable[Case], place: Path, *, memory: int = MEMORY) -> Iterator[Outcome]:
    """The outcome of each case, in order."""
    left = list(cases)
    while left:
        worker = _Worker(place, memory)
        try:
            for answer in worker.answers(list(left)):
                case = left.pop(0)
                if isinstance(answer, str):
                    yield Outcome(case, answer, "", "", 0.0, 0)
                    break
                outcome = Outcome(case, **answer)
                if outcome.seconds > SECONDS:
                    outcome = replace(outcome, outcome=f"took {outcome.seconds:.0f} s")
                yield outcome
        finally:
            worker.end()


class _Worker:
    def __init__(self, place: Path, memory: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "HYBRID_RETRIEVAL_CACHE": str(place.with_name(f"{place.name}-cache")),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(place), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=environment,
            bufsize=0,
        )
        self._unread = b""
        if self._answer(_START) != "ready":
            self._process.kill()
            raise RuntimeError(
                f"the worker does not start: {self._process.communicate()[1].decode()[-3000:]}"
            )

    def answers(self, cases: Sequence[Case]) -> Iterator[dict[str, Any] | str]:
        """The worker's answer to each case, up to one that it does not answer: how that ended."""
        assert self._process.stdin is not None
        sent = 0
        for number in range(len(cases)):
            while sent < min(len(cases), number + _AHEAD):
                # A process that has ended is found when its answer is missing.
                with suppress(BrokenPipeError):
                    self._process.stdin.write(json.dumps(cases[sent]).encode() + b"\n")
                sent += 1
            answer = self._answer(PATIENCE)
            if answer is None:
                yield (
                    "hangs" if self._process.poll() is None else f"ends the process ({self._process.wait()})"
                )
                return
            yield answer

    def _busy(self) -> float:
        """Seconds of the processor that the process has had."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        waited, busy = 0.0, self._busy()
        while b"\n" not in self._unread:
            if not select.select([self._process.stdout], [], [], _ASLEEP)[0]:
                waited, before, busy = waited + _ASLEEP, busy, self._busy()
                if waited >= seconds or busy - before < _LITTLE:
                    return None
                continue
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            if not part:
                self._process.wait()
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)
