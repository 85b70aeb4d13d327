"""Notices at once when one of several processes of a run is gone, which the others would wait for.

A process that waits in a collective for one that was killed is told so by gloo at once, by NCCL after half an
hour, and by neither which one it was. Here every process keeps a connection to the first. The kernel closes
it when a process ends, however that ends, and its keep-alive messages find out that a machine is gone, which
needs no thread to be scheduled in time. A process that ends as it should says so before.

What was run: processes of one machine (gloo). Several machines, a machine that goes down, NCCL: not run.
"""

import json
import logging
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hybrid_retrieval.errors import RunFailedError, UserError

GRACE = 20.0  # seconds to end by itself for a process whose partner is gone
# Seconds of silence, seconds between questions, unanswered ones: after 40 s a machine counts as gone.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
_CONNECT = 20.0  # seconds until processes that do not find each other train without a watch
_THIS_MACHINE = ("127.0.0.1", "localhost")

logger = logging.getLogger(__name__)


@dataclass
class _Peer:
    """The other end of a connection.

    Attributes:
        name: for people.
        left: whether it has said that it ends.
    """

    connection: socket.socket
    name: str
    left: bool = False
    received: bytes = b""


class RankWatch:
    """Watches over the other processes of a run until `leave`.

    Args:
        rank: of this process.
        world_size: number of processes.
        broadcast: hands what the first process has to all; all must call it.
        host: of the first process, as the others reach it.
        grace: seconds after which this process is ended when another one is gone.

    Attributes:
        lost: which process is gone, in words; None while all are there.
    """

    def __init__(
        self,
        rank: int,
        world_size: int,
        broadcast: Callable[[Any], Any],
        *,
        host: str = "127.0.0.1",
        grace: float = GRACE,
    ) -> None:
        self.rank = rank
        self.lost: str | None = None
        self.grace = grace
        self._leaving = threading.Event()
        self._found = threading.Event()
        self._peers: list[_Peer] = []
        server = _listen(host) if rank == 0 else None
        address = (server.getsockname()[1], secrets.token_hex(16)) if server else None
        port, token = broadcast(address)
        if server is not None:
            self._accept(server, world_size - 1, token)
        else:
            self._connect(host, port, token)
        threading.Thread(target=self._watch, daemon=True, name="rank-watch").start()

    def leave(self, failure: BaseException | None = None) -> None:
        """Tell the others that this process ends, and whether they have to as well.

        Args:
            failure: that this process alone may have met.
        """
        self._leaving.set()
        if failure is None:
            self._tell({"left": True})
        else:
            explained = isinstance(failure, UserError | RunFailedError)
            text = " ".join((str(failure) if explained else f"{type(failure).__name__}: {failure}").split())
            self._tell({"lost": f"{_name(self.rank)} failed ({text})"})

    def found(self, patience: float = 2.0) -> str | None:
        """Which process is gone; waits so many seconds for word of it."""
        self._found.wait(patience)
        return self.lost

    def _accept(self, server: socket.socket, count: int, token: str) -> None:
        server.settimeout(_CONNECT)
        until = time.monotonic() + _CONNECT
        while len(self._peers) < count and time.monotonic() < until:
            try:
                connection, _ = server.accept()
                connection.settimeout(5.0)
                said = json.loads(connection.makefile("rb").readline(1000))
                if not secrets.compare_digest(str(said["token"]), token):
                    raise ValueError("not of this run")
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not one of ours
            self._peers.append(_Peer(_kept_alive(connection), str(said["name"])))
        server.close()

    def _connect(self, host: str, port: int, token: str) -> None:
        try:
            connection = socket.create_connection((host, port), timeout=_CONNECT)
        except OSError as error:
            # Training does not need it.
            logger.warning("cannot watch over the other processes (%s:%s: %s)", host, port, error)
            return
        self._peers.append(_Peer(_kept_alive(connection), "rank 0"))
        self._tell({"token": token, "name": _name(self.rank)})

    def _watch(self) -> None:
        selector = selectors.DefaultSelector()
        for each in self._peers:
            each.connection.setblocking(False)
            selector.register(each.connection, selectors.EVENT_READ, each)
        while selector.get_map():
            for key, _ in selector.select():
                peer: _Peer = key.data
                try:
                    block = peer.connection.recv(4096)
                except BlockingIOError:
                    continue
                except OSError:
                    block = b""
                if block:
                    self._heard(peer, block)
                    continue
                selector.unregister(peer.connection)
                if not peer.left:
                    self._lose(f"{peer.name} is gone, without a word")

    def _heard(self, peer: _Peer, block: bytes) -> None:
        *lines, peer.received = (peer.received + block).split(b"\n")
        for line in lines:
            said = json.loads(line)
            peer.left = True
            if "lost" in said:
                self._lose(str(said["lost"]))

    def _lose(self, what: str) -> None:
        if self.lost is not None or self._leaving.is_set():
            return
        self.lost = f"{what}: the other processes cannot go on without it, and end"
        self._tell({"lost": what})
        self._found.set()
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        """End this process, if it does not do so by itself."""
        if not self._leaving.wait(self.grace):
            text = f"error: {self.lost}. Go on from the last checkpoint with resume=auto.\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
            os._exit(1)

    def _tell(self, message: dict[str, Any]) -> None:
        for peer in self._peers:
            with suppress(OSError):
                peer.connection.sendall(json.dumps(message).encode() + b"\n")


def _name(rank: int) -> str:
    return f"rank {rank} (process {os.getpid()} on {socket.gethostname()})"


def _listen(host: str) -> socket.socket:
    # A machine's own name may stand for an address that no other machine reaches.
    return socket.create_server((host if host in _THIS_MACHINE else "", 0))


def _kept_alive(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    return connection
