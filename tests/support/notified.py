"""Receivers of notifications on a local port, for commands in this process or in another one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "canary-token-in-the-path"


class Receivers(ThreadingHTTPServer):
    """Keeps what came by the last part of the path; what goes to `bad` is refused."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.got: dict[str, list[dict[str, Any]]] = {}

    def url(self, name: str) -> str:
        return f"json://127.0.0.1:{self.server_port}/{TOKEN}/{name}"


class _Receiver(BaseHTTPRequestHandler):
    server: Receivers

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rsplit("/", 1)[-1]
        self.server.got.setdefault(name, []).append(body)
        self.send_response(500 if name == "bad" else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def running_receivers() -> Iterator[Receivers]:
    with Receivers() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield server
        server.shutdown()
        serving.join()
