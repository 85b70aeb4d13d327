"""As much of W&B's server as an upload of a dashboard needs, and servers that fail."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WandbServer:
    """What the server does, and what it was told.

    Attributes:
        status: of every answer.
        silent: never answer.
        project: whether the project is there.
        runs: how many runs it has.
        views: the variables of every view that was uploaded.
        filters: of the runs that were asked for.
    """

    status: int = 200
    silent: bool = False
    project: bool = True
    runs: int = 2
    address: str = ""
    views: list[dict[str, Any]] = field(default_factory=list)
    filters: list[dict[str, Any]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            self.views.append(variables)
            view = {"id": f"Vm{len(self.views)}", "name": variables["name"], "spec": variables["spec"]}
            return {"upsertView": {"view": view, "inserted": True}}
        if "runCount" in query:
            self.filters.append(json.loads(variables["filters"]))
            page = {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}
            found = {"internalId": "1", "runCount": self.runs, "readOnly": False, "runs": page}
            return {"project": found if self.project else None}
        if "upsertModel" in query:
            return {"result": {"project": None, "model": None, "inserted": True}}
        if "models" in query:
            return {"models": {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}}
        return {
            "viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        }


@contextmanager
def serving(server: WandbServer) -> Iterator[WandbServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if server.silent:
                server.closing.wait()
                return
            asked = json.loads(content) if content.startswith(b"{") else {}
            data = server.answer(asked.get("query", ""), asked.get("variables") or {})
            body = json.dumps({"data": data} if server.status == 200 else {"errors": [{"message": "no"}]})
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield server
        server.closing.set()
        http.shutdown()
        thread.join()
