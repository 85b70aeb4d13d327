"""One process at a time in a run folder, also where the file system is shared or knows no locks.

The kernel's lock on a file (`flock`) ends with the process, however that ends, and works across the machines
of most clusters. Some mounts (NFS with `local_lock` or `nolock`, Lustre without `-o flock`) lock on one
machine only, or not at all. So the file also says who holds it, and a count that the holder raises every
few seconds. Whoever finds the name of a process on another machine waits to see whether it still counts.
Nothing depends on clocks.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid_retrieval.errors import UserError

LOCK = ".run.lock"
BEAT = 10.0  # seconds between two counts
PATIENCE = 35.0  # seconds without one after which a holder on another machine counts as dead
_ATTEMPTS = 4  # to lock: who asks whether it is locked holds the lock for a moment (`is_locked`)
_WIDTH = 512  # bytes of the file: always overwritten whole, in place

logger = logging.getLogger(__name__)

_held: set[int] = set()  # file descriptors


def _let_go_in_child() -> None:
    """A loader process must not keep the lock of a run that was killed."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def _machine() -> str:
    """This machine since it was started, and the container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _process_start(pid: int) -> str:
    """When a process of this machine began, in ticks since the machine did; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@dataclass
class Holder:
    """Who holds a lock.

    Attributes:
        host: for people.
        machine: tells machines, and times between their starts, apart.
        pid: of the process.
        start: tells it from a later process of this number.
        job: SLURM's id of its job and how often it was requeued.
        count: rises while it lives.
        released: whether it let go.
    """

    host: str = field(default_factory=socket.gethostname)
    machine: str = field(default_factory=_machine)
    pid: int = field(default_factory=os.getpid)
    start: str = field(default_factory=lambda: _process_start(os.getpid()))
    job: tuple[str, int] | None = field(default_factory=lambda: _job(os.environ))
    count: int = 0
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f", SLURM job {self.job[0]}" if self.job else "")

    @classmethod
    def read(cls, file: Path) -> "Holder | None":
        """Who is named in a lock file; None if nobody is."""
        try:
            content: Any = json.loads(file.read_bytes())
            content["job"] = tuple(content["job"]) if content["job"] else None
            return cls(**content)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, descriptor: int) -> None:
        """Overwrite the lock file in place: the kernel's lock is on this very file."""
        os.pwrite(descriptor, json.dumps(asdict(self)).encode().ljust(_WIDTH), 0)
        os.fsync(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process is at what goes on in a folder; at once, so not across machines without locks."""
    file = folder / LOCK
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:  # a file system without locks
        holder = Holder.read(file)
        return holder is not None and _lives_here(holder)
    return False


@contextmanager
def locked(folder: Path, what: str, *, beat: float = BEAT, patience: float = PATIENCE) -> Iterator[None]:
    """Keep other processes from what goes on in a folder; the lock ends with the process, however that ends.

    Args:
        folder: that exists.
        what: goes on in it, for the message.
        beat: seconds between two counts.
        patience: seconds to wait for another machine's count.

    Raises:
        UserError: another process is at it.
    """
    file, me = folder / LOCK, Holder()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    stop = threading.Event()
    try:
        kernel = _locked_by_kernel(descriptor)
        holder = Holder.read(file)
        if _is_taken(holder, me, file, kernel=kernel, within=patience):
            raise _taken(folder, what, holder)
        os.ftruncate(descriptor, _WIDTH)
        me.write(descriptor)
        counting = threading.Thread(target=_count, args=(me, descriptor, stop, beat), daemon=True)
        counting.start()
        try:
            yield
        finally:
            stop.set()
            counting.join()
            me.released = True
            with suppress(OSError):
                me.write(descriptor)
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def check_not_locked(folder: Path, what: str) -> None:
    """Refuse a folder that another process of this machine is at.

    Args:
        folder: that exists.
        what: goes on in it, for the message.

    Raises:
        UserError: another process is at it.
    """
    holder = Holder.read(folder / LOCK)
    elsewhere = holder is not None and not holder.released and holder.machine != _machine()
    if not elsewhere and is_locked(folder):
        raise _taken(folder, what, holder)


def _taken(folder: Path, what: str, holder: Holder | None) -> UserError:
    who = f" ({holder})" if holder is not None and not holder.released else ""
    return UserError(
        f"another process is at the {what} in {folder}{who}: wait for its end, or choose another folder."
    )


def _locked_by_kernel(descriptor: int) -> bool | None:
    """Whether this process now has the kernel's lock; None if the file system knows none."""
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(0.1)
        except OSError:
            return None
        else:
            return True
    return False


def _is_taken(holder: Holder | None, me: Holder, file: Path, *, kernel: bool | None, within: float) -> bool:
    """Whether another process holds the lock.

    Args:
        holder: the process that the lock file names.
        me: this one.
        file: the lock file.
        kernel: whether this process has the kernel's lock. An NFS server keeps the lock of a machine that
            went down for a while.
        within: seconds to wait for the holder's count, if it is on another machine.
    """
    if holder is None or holder.released:
        return kernel is False
    if holder.machine == me.machine:
        return kernel is False or (kernel is None and _lives_here(holder))
    if holder.job and me.job and holder.job[0] == me.job[0] and holder.job[1] < me.job[1]:
        return False  # SLURM has ended the job before it requeued it
    logger.warning("%s: held by %s before; seeing for %.0f s whether it lives", file, holder, within)
    until = time.monotonic() + within
    while time.monotonic() < until:
        time.sleep(min(1.0, within / 10))
        now = Holder.read(file)  # opened anew, so that NFS asks the server
        if now is not None and now != holder:
            return not now.released
    return False


def _lives_here(holder: Holder) -> bool:
    same = not holder.released and holder.machine == _machine()
    return same and _process_start(holder.pid) == holder.start != ""


def _count(me: Holder, descriptor: int, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        me.count += 1
        with suppress(OSError):
            me.write(descriptor)


def _job(environment: Mapping[str, str]) -> tuple[str, int] | None:
    job = environment.get("SLURM_JOB_ID")
    return (job, int(environment.get("SLURM_RESTART_COUNT") or 0)) if job else None
