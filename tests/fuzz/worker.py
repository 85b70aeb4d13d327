"""The process that inputs are tried in: whatever happens to it is an outcome.

    python -m tests.fuzz.worker FOLDER MEMORY_BYTES

reads lines `["target", seed]` and answers each with a line of `Outcome`; memory beyond the limit is refused
to it by the system.
"""

import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

from hybrid_retrieval.errors import LONGEST_MESSAGE, UserError
from tests.fuzz.bombs import BOMBS
from tests.fuzz.mutators import damage
from tests.fuzz.targets import TARGETS


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    place, memory = Path(sys.argv[1]), int(sys.argv[2])
    for target in TARGETS.values():  # imports and caches are no part of what an input takes
        _fresh(place)
        target.write(place / "case")
        target.read(place / "case")
    _limit(memory)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        name, seed = json.loads(line)
        print(json.dumps(_tried(place, name, seed)), file=answers, flush=True)


def _limit(memory: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _fresh(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)


def _tried(place: Path, name: str, seed: int | str) -> dict[str, Any]:
    _fresh(place)
    folder = place / "case"
    if isinstance(seed, str):
        bomb = BOMBS[seed]
        target, done = TARGETS[bomb.target], seed
        target.write(folder)
        bomb.write(folder)
    else:
        target = TARGETS[name]
        target.write(folder)
        done = damage(Random(f"{name}/{seed}"), folder)
    before = _memory(reset=True)
    start = time.process_time()
    outcome, said = "read", ""
    try:
        target.read(folder)
    except UserError as error:
        outcome, said = "refused", str(error)
        if fault := _fault(said, place):
            outcome = f"message {fault}"
            said = said[:LONGEST_MESSAGE]
    except BaseException as error:  # anything else is a finding
        frames = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
        outcome = f"{type(error).__name__} at {_own(error)}"
        said = f"{str(error)[:300]!r} via {' '.join(frames[-8:])}"
    return {
        "outcome": outcome,
        "done": done,
        "said": said.encode("utf-8", "backslashreplace").decode(),
        "seconds": time.process_time() - start,
        "bytes": max(0, _memory() - before),
    }


def _fault(message: str, place: Path) -> str | None:
    """What is wrong with a message: it must be one line that can be printed, and name the place."""
    if len(message) > LONGEST_MESSAGE + 100:
        return "too long"
    shown = message.replace(str(place), "")
    if not shown.isprintable():
        return "not printable"
    if str(place) not in message:
        return "without the file"
    return None


def _own(error: BaseException) -> str:
    """The innermost line of the package that the error went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/hybrid_retrieval/" in f.filename]
    return f"{frames[-1].filename.partition('/hybrid_retrieval/')[2]}:{frames[-1].lineno}" if frames else "?"


def _memory(*, reset: bool = False) -> int:
    """The most memory held since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
