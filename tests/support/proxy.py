"""An HTTP proxy on 127.0.0.1, which connects to one server, whatever host it is asked for."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.rawserver import Peer, RawServer


class ConnectProxy:
    """Connects to the server at `url`; with `refuses`, answers with that status instead, and with `hangs`, never.

    `asked` has the first line of each request, `headers` its headers, `passwords` its `Proxy-Authorization`.
    """

    def __init__(
        self, url: str = "", *, refuses: int | None = None, hangs: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self._target = urlsplit(url)
        self.refuses = refuses
        self._hangs = hangs
        self._server = RawServer(self._play, tls=tls)
        self.asked: list[str] = []
        self.passwords: list[str | None] = []
        self.headers: list[dict[str, str]] = []

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def address(self) -> str:
        return urlsplit(self.url).netloc

    async def _play(self, peer: Peer) -> None:
        await peer.head()
        self.asked.append(peer.request_line)
        self.headers.append(peer.headers)
        self.passwords.append(peer.headers.get("proxy-authorization"))
        if self._hangs:
            await peer.until_gone()
            return
        if self.refuses:
            await peer.send(f"HTTP/1.1 {self.refuses} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        reader, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        if peer.request_line.startswith("CONNECT "):
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            writer.write(peer.head_text.encode("latin-1"))
        pumps = [asyncio.create_task(_pump(peer, writer)), asyncio.create_task(_back(reader, peer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()


async def _pump(peer: Peer, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await peer.read_some():
            writer.write(block)
            await writer.drain()


async def _back(reader: asyncio.StreamReader, peer: Peer) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(1 << 16):
            await peer.send(block)
