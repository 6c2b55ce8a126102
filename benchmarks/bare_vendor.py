"""A vendor that answers at once and checks nothing: the API, the storage, and the list, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from datetime import UTC, datetime
from email.utils import formatdate
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

RESULT = b'[{"name":"Ada","city":"London"},{"name":"Linus","city":"Helsinki"}]'


class BareVendor:
    """Use it as a context manager; `port` is that of the API and the storage on 127.0.0.1."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        self.port: int = self._ours.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def creates(self) -> tuple[float, float]:
        """Return when the first and the last create arrived, in seconds."""
        self._ours.send("creates")
        first, last = self._ours.recv()
        return first, last


def serve(connection: Connection[Any, Any]) -> None:
    asyncio.run(_serve(connection))


async def _serve(connection: Connection[Any, Any]) -> None:
    loop, imports = asyncio.get_running_loop(), _Imports()
    server = await loop.create_server(lambda: _Peer(imports), "127.0.0.1", 0, backlog=512)
    imports.port = server.sockets[0].getsockname()[1]

    def tell() -> None:
        connection.recv()
        connection.send((imports.arrivals[0], imports.arrivals[-1]))

    loop.add_reader(connection.fileno(), tell)
    connection.send(imports.port)
    await server.serve_forever()


class _Imports:
    """The imports of the vendor: each succeeds with its upload."""

    def __init__(self) -> None:
        self.port = 0
        self.arrivals: list[float] = []
        self._names: list[str] = []
        self._is_uploaded: list[bool] = []

    def answer(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        parts = path.partition(b"?")[0].strip(b"/").split(b"/")
        match [method, *parts]:
            case [b"POST", _, _, b"headless", b"imports"]:
                return 201, self._create(json.loads(body))
            case [b"PUT", b"upload", number]:
                self._is_uploaded[int(number) - 1] = True
                return 200, b""
            case [b"GET", b"result", _]:
                return 200, RESULT
            case [b"GET", _, _, b"headless", b"imports"]:
                return 200, self._page(path)
            case [b"GET", _, _, b"headless", b"imports", number, b"url"]:
                url = f"http://127.0.0.1:{self.port}/result/{number.decode()}"
                return 200, json.dumps({"presigned_url": url}).encode()
            case [b"GET", _, _, b"headless", b"imports", number]:
                return 200, json.dumps(self._whole(int(number))).encode()
        return 404, b'{"detail": "Not found."}'

    def _create(self, request: dict[str, Any]) -> bytes:
        self.arrivals.append(time.monotonic())
        self._names.append(request.get("original_filename", ""))
        self._is_uploaded.append(False)
        return json.dumps(self._whole(len(self._names))).encode()

    def _page(self, path: bytes) -> bytes:
        asked = dict(pair.split("=") for pair in path.decode().partition("?")[2].split("&"))
        limit, offset = int(asked["limit"]), int(asked["offset"])
        count = len(self._names)
        results = [self._short(number) for number in range(count - offset, max(count - offset - limit, 0), -1)]
        more = "http://127.0.0.1/next" if offset + limit < count else None
        return json.dumps({"count": count, "next": more, "previous": None, "results": results}).encode()

    def _short(self, number: int) -> dict[str, Any]:
        made_at = self.arrivals[number - 1] - time.monotonic() + time.time()
        created = datetime.fromtimestamp(made_at, UTC).isoformat()
        return {
            "id": str(number), "schema_id": "s1", "original_filename": self._names[number - 1],
            "status": "SUCCESSFUL" if self._is_uploaded[number - 1] else "AWAITING_UPLOAD",
            "created_date": created, "modified_date": created,
        }  # fmt: skip

    def _whole(self, number: int) -> dict[str, Any]:
        upload = f"http://127.0.0.1:{self.port}/upload/{number}"
        metadata = {"rowsSubmitted": 2} if self._is_uploaded[number - 1] else None
        return self._short(number) | {
            "upload": upload, "review_url": None, "result_metadata": metadata, "import_errors": None,
        }  # fmt: skip


class _Peer(asyncio.Protocol):
    """A connection: answers each request as soon as it is complete."""

    def __init__(self, imports: _Imports) -> None:
        self._imports = imports
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (request := self._request()) is not None:
            method, path, body, closes = request
            status, answer = self._imports.answer(method, path, body)
            head = (
                f"HTTP/1.1 {status} OK\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(answer)}\r\nConnection: {'close' if closes else 'keep-alive'}\r\n\r\n"
            )
            self._transport.write(head.encode() + answer)
            if closes:
                self._transport.close()
                return

    def _request(self) -> tuple[bytes, bytes, bytes, bool] | None:
        """Return the next request; a body in chunks is read up to its end, not decoded further than that."""
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return None
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return self._chunked(head, rest, closes=b"connection: close" in lower)
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in lower else 0
        if len(rest) < length:
            self._continue(lower)
            return None
        self._data = rest[length:]
        method, path, _ = head.split(b" ", 2)
        return method, path, rest[:length], b"connection: close" in lower

    def _chunked(self, head: bytes, rest: bytes, *, closes: bool) -> tuple[bytes, bytes, bytes, bool] | None:
        body, place = b"", 0
        while (end := rest.find(b"\r\n", place)) >= 0:
            size = int(rest[place:end], 16)
            if len(rest) < end + 2 + size + 2:
                return None
            body += rest[end + 2 : end + 2 + size]
            place = end + 2 + size + 2
            if size == 0:
                self._data = rest[place:]
                method, path, _ = head.split(b" ", 2)
                return method, path, body, closes
        return None

    def _continue(self, head: bytes) -> None:
        if b"expect: 100-continue" in head:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
