"""A raw socket server on 127.0.0.1 that follows a script and records what it receives."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return an HTTP answer; `Retry_After="1"` becomes `Retry-After: 1`, Content-Length is added unless given."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Content-Length", str(len(body)))
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def closed_port_url() -> str:
    """Return a URL on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class Twice:
    """A script whose server sends each answer once, and once more when `repeat` is called."""

    def __init__(self, answer_to: Callable[[str], bytes]) -> None:
        self._answer_to = answer_to
        self._wanted = asyncio.Event()
        self._sent = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.head()
        found = self._answer_to(peer.request_line.split()[1])
        await peer.send(found)
        await self._wanted.wait()
        await peer.send(found)
        self._sent.set()
        await peer.until_gone()

    async def repeat(self) -> None:
        """Send the answers again, and let the client receive them."""
        self._wanted.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._sent.wait(), 0.2)
        for _ in range(10):
            await asyncio.sleep(0)


class Peer:
    """The client at the other end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head_text = ""
        self.body_bytes = b""

    @property
    def request_line(self) -> str:
        return self.head_text.split("\r\n", 1)[0]

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        lines = self.head_text.strip().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}

    async def head(self) -> None:
        self.head_text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def body(self) -> None:
        self.body_bytes = await self._reader.readexactly(int(self.headers.get("content-length", "0")))

    async def read_some(self) -> bytes:
        """Return what has arrived, up to 64 KiB; empty once the client has closed the connection."""
        return await self._reader.read(1 << 16)

    async def until_gone(self) -> None:
        """Read until the client closes the connection; the body is what arrived."""
        with suppress(ConnectionError):
            while block := await self._reader.read(1 << 16):
                self.body_bytes += block

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def pause_reading(self) -> None:
        """Stop reading from the connection."""
        self._writer.transport.pause_reading()

    def cut(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs `script` for every connection; `peers` are the clients, in order."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.errors: list[Exception] = []
        self.arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._play, "127.0.0.1", 0, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.errors and error is None:
            raise self.errors[0]

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self.idle.clear()
        self.arrived.set()
        try:
            await self._script(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        except Exception as error:  # noqa: BLE001 - a script's own mistake is shown when the server ends
            self.errors.append(error)
        finally:
            writer.close()
            self._tasks.discard(task)
            self.idle.set()


def answering(*answers: bytes) -> Script:
    """Return a script that reads one request per connection and sends the next answer, then repeats the last one."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.body()
        await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script
