"""HTTP in memory: aiohttp's client talks to a function, without sockets, so that its time can be virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import aiohttp


@dataclass(frozen=True)
class Asked:
    """One request; `path` has the query."""

    method: str
    path: str
    body: bytes


Answering = Callable[[Asked], "bytes | Iterable[tuple[float, bytes]]"]
"""Returns the bytes of a whole HTTP answer, or its parts, each with the seconds before it; they may have no end."""


class _Pipe(asyncio.Transport):
    """The client's end of a connection whose other end answers a complete request at once, then closes."""

    def __init__(self, protocol: asyncio.Protocol, answering: Answering) -> None:
        super().__init__()
        self._protocol = protocol
        self._answering = answering
        self._sent = bytearray()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._sent += data
        head, end, body = bytes(self._sent).partition(b"\r\n\r\n")
        if not end or self._is_closing:
            return
        lines = head.decode("latin-1").split("\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
        if len(body) >= length:
            method, path, _ = lines[0].split(" ", 2)
            self._sent.clear()
            answer = self._answering(Asked(method, path, body))
            self._wait_for(iter([(0.0, answer)] if isinstance(answer, bytes) else answer))

    def _wait_for(self, parts: Iterator[tuple[float, bytes]]) -> None:
        delay_s, data = next(parts, (0.0, b""))
        asyncio.get_running_loop().call_later(delay_s, self._deliver, data, parts)

    def _deliver(self, data: bytes, parts: Iterator[tuple[float, bytes]]) -> None:
        if self._is_closing:
            return
        if data:
            self._protocol.data_received(data)
            self._wait_for(parts)
        else:
            self.close()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Go on: what is answered has already been delivered."""

    def resume_reading(self) -> None:
        """Go on."""

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


@contextmanager
def answered_by(answering: Answering) -> Iterator[None]:
    """Let every connection of aiohttp end at `answering`."""

    async def connect(connector: Any, *_: Any) -> asyncio.Protocol:
        protocol: asyncio.Protocol = connector._factory()
        protocol.connection_made(_Pipe(protocol, answering))
        return protocol

    with patch.object(aiohttp.TCPConnector, "_create_connection", connect):
        yield
