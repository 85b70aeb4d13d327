"""A web server on this machine that can be told to misbehave."""

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["cut", "stall", "busy", "no_ranges", "wrong_range", "endless"]


@dataclass
class FileServer:
    """What is served, what goes wrong, and what was asked for.

    Attributes:
        url: `http://127.0.0.1:PORT/`.
        files: content by path, without the leading slash.
        redirects: path -> URL.
        faults: path -> what happens to its next requests, in this order. "cut" ends the connection and
            "stall" stops sending after half of what was asked for; "busy" answers 503; "no_ranges" ignores
            the header Range; "wrong_range" resumes at byte 0; "endless" sends no length and never ends.
        requests: (path, value of Range or None), in order.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults[path] = deque(faults)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A client that uses this server as its proxy asks for a whole URL.
            path = self.path.lstrip("/")
            asked = self.headers.get("Range")
            state.requests.append((path, asked))
            coming = state.faults.get(path)
            fault = coming.popleft() if coming else None
            if fault == "busy":
                self.send_response(503)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path not in state.files:
                self.send_error(404)
            else:
                self._send(state.files[path], asked, fault)

        def _send(self, content: bytes, asked: str | None, fault: Fault | None) -> None:
            found = re.fullmatch(r"bytes=(\d+)-", asked or "")
            first = int(found[1]) if found and fault != "no_ranges" else 0
            begin = 0 if fault == "wrong_range" else first
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            body = content[begin:]
            if fault == "endless":
                self.end_headers()
                while not state.released.is_set():
                    self.wfile.write(body)
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault in ("cut", "stall"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if fault == "stall":
                    state.released.wait(30)
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    state = FileServer(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
