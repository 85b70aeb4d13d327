"""A process that is gone is named to all others; one that ends as it should is not."""

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from hybrid_retrieval.errors import RunFailedError
from hybrid_retrieval.training.rank_watch import RankWatch


@contextmanager
def watches(count: int) -> Iterator[list[RankWatch]]:
    """The watches of several ranks, all in this process, which they must not end."""
    told: list[queue.Queue[Any]] = [queue.Queue() for _ in range(count)]
    found: dict[int, RankWatch] = {}

    def make(rank: int) -> None:
        def broadcast(value: Any) -> Any:
            if rank == 0:
                for each in told[1:]:
                    each.put(value)
                return value
            return told[rank].get(timeout=10)

        found[rank] = RankWatch(rank, count, broadcast, grace=1000.0)

    threads = [threading.Thread(target=make, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield [found[rank] for rank in range(count)]
    for watch in found.values():
        watch.leave()


def vanish(watch: RankWatch) -> None:
    """As the kernel closes the connections of a process that was killed."""
    watch._leaving.set()  # the dead say nothing when their connections close
    for peer in watch._peers:
        with suppress(OSError):  # the other end may have closed it
            peer.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_all_others_name_the_one_that_is_gone(gone: int) -> None:
    with watches(3) as ranks:
        vanish(ranks[gone])

        for rank, watch in enumerate(ranks):
            if rank != gone:
                assert str(watch.found()).startswith(f"rank {gone}")
                assert "is gone" in str(watch.lost)


@pytest.mark.parametrize("failing", [0, 2])
def test_all_others_hear_why_one_fails(failing: int) -> None:
    with watches(3) as ranks:
        ranks[failing].leave(RunFailedError("the disk\nis full"))

        for rank, watch in enumerate(ranks):
            if rank != failing:
                assert f"rank {failing} (process " in str(watch.found())
                assert "failed (the disk is full)" in str(watch.lost)


def test_ranks_that_leave_are_not_missed() -> None:
    with watches(3) as ranks:
        for watch in ranks[1:]:
            watch.leave()
            vanish(watch)
        assert ranks[0].found(0.3) is None

        ranks[0].leave()
        vanish(ranks[0])
        assert [watch.found(0.1) for watch in ranks] == [None] * 3


def test_strangers_are_not_taken_for_a_rank() -> None:
    """What connects without the run's token is sent away, and the rank that comes later is watched."""
    addresses: queue.Queue[Any] = queue.Queue()
    made: list[RankWatch] = []
    thread = threading.Thread(
        target=lambda: made.append(
            RankWatch(0, 2, lambda value: addresses.put(value) or value, grace=1000.0)  # type: ignore[func-returns-value]
        )
    )
    thread.start()
    address = addresses.get(timeout=10)
    for line in (b"GET / HTTP/1.1\r\n\r\n", b'{"token": "", "name": "rank 1"}\n', b"[]\n", b"\xff\n"):
        with socket.create_connection(("127.0.0.1", address[0])) as stranger:
            stranger.sendall(line)
    other = RankWatch(1, 2, lambda _: address, grace=1000.0)
    thread.join()

    vanish(other)

    assert str(made[0].found()).startswith("rank 1 (process ")


@pytest.mark.parametrize("hangs", [True, False])
def test_process_that_hangs_is_ended(hangs: bool) -> None:
    """In a collective that never comes back; the other one, on which it waits, is killed."""
    script = (
        "import sys, time\n"
        "from hybrid_retrieval.training.rank_watch import RankWatch\n"
        "watch = RankWatch(1, 2, lambda _: (int(sys.argv[1]), 'token'), grace=0.5)\n"
        f"{'time.sleep(60)' if hangs else 'watch.found(30); watch.leave()'}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(server.getsockname()[1])], stderr=subprocess.PIPE, text=True
        )
        connection, _ = server.accept()
        assert connection.recv(1000)
        started = time.monotonic()
        connection.close()
        _, said = process.communicate(timeout=30)

    assert time.monotonic() - started < 20
    assert process.returncode == (1 if hangs else 0)
    assert said.startswith("error: rank 0 is gone" if hangs else "")
    assert said.count("\n") == hangs
