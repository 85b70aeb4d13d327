"""One process at a time in a run folder: the second refuses, and what a dead one left is taken over."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.run_record import RUN_RECORD
from hybrid_retrieval.training import run_lock
from hybrid_retrieval.training.run_lock import LOCK, Holder, is_locked, locked
from tests.conftest import Command
from tests.own_data import own_data_overrides

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from hybrid_retrieval.training.run_lock import locked\n"
    "with locked(Path(sys.argv[1]), 'run'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def hold(folder: Path, script: str = HOLD) -> subprocess.Popen[str]:
    """Another process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def write(folder: Path, holder: Holder) -> None:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    holder.write(descriptor)
    os.close(descriptor)


@pytest.fixture
def no_kernel_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_second_refuses_until_the_first_has_ended(tmp_path: Path) -> None:
    first = hold(tmp_path)
    assert is_locked(tmp_path)

    with pytest.raises(UserError, match=rf"another process is at the run in .*\(process {first.pid} on "):
        locked(tmp_path, "run").__enter__()
    assert is_locked(tmp_path), "the refused one must not take the lock away"

    first.communicate("")
    assert not is_locked(tmp_path)
    with locked(tmp_path, "run"):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_lock_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    """Also while a loader process of it, forked, lives on for some seconds."""
    first = hold(tmp_path, HOLD.replace("    print(", "    if __import__('os').fork() == 0: print("))
    first.kill()
    first.wait()

    started = time.monotonic()
    with locked(tmp_path, "run"):
        assert time.monotonic() - started < 5
    first.communicate("")  # ends the forked one


@pytest.mark.usefixtures("no_kernel_locks")
def test_without_locks_of_the_kernel_a_living_process_of_this_machine_counts(tmp_path: Path) -> None:
    me = Holder()
    write(tmp_path, me)
    assert is_locked(tmp_path)
    with pytest.raises(UserError, match="another process is at the run"):
        locked(tmp_path, "run").__enter__()

    for dead in (replace(me, start="1"), replace(me, pid=2**22 + 1), replace(me, released=True)):
        write(tmp_path, dead)
        assert not is_locked(tmp_path)
        with locked(tmp_path, "run"):
            pass


@pytest.mark.parametrize("kernel", [True, False], ids=["lock of one machine", "lock of a dead machine"])
@pytest.mark.parametrize("lives", [True, False])
def test_process_of_another_machine_lives_while_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: bool, kernel: bool
) -> None:
    """Whatever the kernel says: it may know the locks of one machine alone, or those of a dead one still."""
    monkeypatch.setattr(run_lock, "_locked_by_kernel", lambda _: kernel)
    other = Holder(host="node2", machine="another one", pid=os.getpid())
    write(tmp_path, other)
    stop = threading.Event()

    def count() -> None:
        while lives and not stop.wait(0.05):
            other.count += 1
            write(tmp_path, other)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        if lives:
            with pytest.raises(UserError, match=r"process \d+ on node2"):
                locked(tmp_path, "run", patience=5.0).__enter__()
        else:
            with locked(tmp_path, "run", beat=0.05, patience=0.5):
                before = Holder.read(tmp_path / LOCK)
                time.sleep(0.3)
                now = Holder.read(tmp_path / LOCK)
                assert before is not None
                assert now is not None
                assert (now.pid, now.machine) == (os.getpid(), Holder().machine)
                assert now.count > before.count
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kernel", [True, False, None])
def test_job_that_slurm_requeued_on_another_node_goes_on_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool | None
) -> None:
    monkeypatch.setattr(run_lock, "_locked_by_kernel", lambda _: kernel)
    monkeypatch.setattr(run_lock, "time", None)  # nothing may wait
    before = Holder(host="node1", machine="another one", job=("17", 0))
    write(tmp_path, before)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")

    with locked(tmp_path, "run"):
        assert Holder.read(tmp_path / LOCK) == replace(Holder(), job=("17", 1))


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 600, b"[1, 2]", b'{"pid": "x"}', b"\xff\xfe"])
def test_lock_file_that_says_nothing_is_nobodys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)

    assert not is_locked(tmp_path)
    with locked(tmp_path, "run"):
        assert asdict(Holder()) == asdict(Holder.read(tmp_path / LOCK) or Holder(host=""))


def texts_of(folder: Path) -> dict[Path, bytes]:
    """All files but the lock, in which its holder counts."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


def test_second_job_changes_nothing_in_a_taken_run_folder(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    line = ["train", *own_data_overrides(own_data), "evaluate=false", f"hydra.run.dir={tmp_path / 'run'}"]
    assert command(*line, "trainer.max_steps=2", "seed=1").status == 0
    before = texts_of(tmp_path / "run")

    other = command(*line, "trainer.max_steps=2", "seed=2")

    assert other.status == 2
    assert other.err.startswith(f"error: {tmp_path / 'run'} holds another run")
    assert other.err.count("\n") == 1
    assert texts_of(tmp_path / "run") == before

    first = hold(tmp_path / "run")
    before = texts_of(tmp_path / "run")
    for resume in ("false", "true", "auto"):
        second = command(*line, "trainer.max_steps=2", "seed=1", f"resume={resume}")
        assert second.status == 2
        assert second.err.startswith("error: another process is at the run in ")
        assert f"process {first.pid} on " in second.err
        assert second.err.count("\n") == 1
        assert texts_of(tmp_path / "run") == before
    first.communicate("")
    assert command(*line, "trainer.max_steps=2", "seed=1", "resume=auto").status == 0


@pytest.mark.slow
def test_clock_that_goes_back_does_no_harm(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at the wall clock is an hour before the last one; then it jumps by years."""
    line = ["train", *own_data_overrides(own_data), "trainer.checkpoint_every_n_steps=1", "resume=auto"]
    assert command(*line, f"hydra.run.dir={tmp_path / 'calm'}").status == 0
    now = [time.time()]
    jump: Callable[[], float] = lambda: -3600.0  # noqa: E731

    def clock() -> float:
        now[0] += jump()
        return now[0]

    monkeypatch.setattr(time, "time", clock)
    run = tmp_path / "run"
    assert command(*line, f"hydra.run.dir={run}", "trainer.max_steps=4").status == 0
    (run / "metrics.json").unlink()
    now[0] += 10 * 365 * 86400
    assert command(*line, f"hydra.run.dir={run}", "trainer.max_steps=4").status == 0

    from tests.integration.test_run import metrics_of, same_weights  # noqa: PLC0415
    from tests.reliability.test_exact_resume import rows_of  # noqa: PLC0415

    assert same_weights(run, tmp_path / "calm")
    assert metrics_of(run) == metrics_of(tmp_path / "calm")
    assert rows_of(run) == rows_of(tmp_path / "calm")
    record = (run / RUN_RECORD).read_text(encoding="utf-8")
    assert '"seconds": -' not in record
    assert '_per_second": -' not in record
