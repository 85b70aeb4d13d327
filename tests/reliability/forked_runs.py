"""Command lines in processes of their own that start at once: forked from one that has imported everything.

As a script it reads a request a line from its standard input and answers a line with the exit statuses.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import ROOT

_IMPORTED = (
    *("hybrid_retrieval.hydra_app", "hybrid_retrieval.commands.train", "hybrid_retrieval.training.run"),
    *("hybrid_retrieval.training.local_processes", "hybrid_retrieval.data.readers.jsonl"),
    *("tests.reliability.faults", "pandas", "numba", "hydra._internal.hydra"),
)


@dataclass(frozen=True)
class Ended:
    """How a command line ended.

    Attributes:
        statuses: of its processes, by rank; negative for the signal that killed it.
        output: what they wrote, standard output and error together.
    """

    statuses: list[int]
    output: str


@dataclass
class ForkedRuns:
    """Starts command lines, and waits for them; `with` ends the process that they are forked from.

    Args:
        environment: of the command lines.
    """

    environment: dict[str, str]
    _server: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.forked_runs"],
            cwd=ROOT,
            env={**os.environ, **self.environment, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "ForkedRuns":
        return self

    def __exit__(self, *args: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def __call__(
        self,
        arguments: Sequence[str],
        output: Path,
        *,
        ranks: int = 1,
        faults: dict[str, Any] | None = None,
        timeout: float = 120,
    ) -> Ended:
        """Run a command line.

        Args:
            arguments: of `hybrid-retrieval`.
            output: file for what the processes write, appended.
            ranks: processes, as torchrun would start them.
            faults: arguments of `faults.install`.
            timeout: seconds after which all are killed; their statuses are then -9.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        before = output.stat().st_size if output.exists() else 0
        request = {"arguments": list(arguments), "output": str(output), "ranks": ranks}
        request |= {"faults": faults or {}, "timeout": timeout}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        said = output.read_bytes()[before:].decode(errors="replace")
        return Ended(json.loads(answer), said)


def main() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _answer(request: dict[str, Any]) -> list[int]:
    ranks, port = request["ranks"], _free_port()
    pids: list[int] = []
    for rank in range(ranks):
        pid = os.fork()
        if pid == 0:
            _child(request, rank, ranks, port, pids[0] if pids else 0)
        pids.append(pid)
        with suppress(OSError):  # the child does it as well, whoever is first
            os.setpgid(pid, pids[0])
    return _wait(pids, request["timeout"])


def _child(request: dict[str, Any], rank: int, ranks: int, port: int, group: int) -> None:
    status = 99
    try:
        with suppress(OSError):
            os.setpgid(0, group)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
            name = os.devnull if descriptor == 0 else request["output"]
            os.dup2(os.open(name, flags | os.O_CREAT | os.O_APPEND), descriptor)
        if ranks > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}
            os.environ |= {"TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": str(ranks)}
        from hybrid_retrieval.cli import run  # noqa: PLC0415
        from tests.reliability import faults  # noqa: PLC0415

        faults.install(rank=rank, **request["faults"])
        status = run(request["arguments"])
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _wait(pids: list[int], timeout: float) -> list[int]:
    def kill(*_: object) -> None:
        for pid in pids:
            if pid not in statuses:
                os.kill(pid, signal.SIGKILL)

    statuses: dict[int, int] = {}
    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    for pid in pids:
        statuses[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.setitimer(signal.ITIMER_REAL, 0)
    return [statuses[pid] for pid in pids]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
