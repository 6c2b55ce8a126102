"""HTTP sessions of the runner: a request is sent at most once, and it is known whether it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from runner._version import __version__
from runner.dromo.connections import Connections

DIRECT = Connections()
USER_AGENT = f"bulkhead/{__version__}"


class ConnectionCut(Exception):
    """The connection broke after it was made; the peer may have read none, some, or all of the request."""


class RequestSent:
    """Whether sending a request has begun, which is told to `then`; passed as `trace_request_ctx` of that request."""

    __slots__ = ("_then", "at", "begun")

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.begun = False
        self.at = 0.0
        """When the head was sent, in seconds of the event loop."""
        self._then = then

    def begin(self) -> None:
        """Note that the head of the request was sent."""
        self.begun = True
        self.at = asyncio.get_running_loop().time()
        self._then()


def open_session(
    *,
    timeout: aiohttp.ClientTimeout,
    headers: dict[str, str],
    force_close: bool,
    resolver: AbstractResolver | None = None,
    auto_decompress: bool = True,
    connections: Connections = DIRECT,
) -> aiohttp.ClientSession:
    """Return a session without cookies, without proxies from the environment, and without the hidden repeat."""
    connector = aiohttp.TCPConnector(
        force_close=force_close, resolver=resolver, use_dns_cache=resolver is None, ssl=connections.tls()
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers={"User-Agent": USER_AGENT, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=auto_decompress,
        middlewares=(_send_once,),
        trace_configs=[_tracing()],
    )


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide a broken connection from aiohttp, which would otherwise send GET, PUT, and DELETE a second time."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise ConnectionCut from None


def _tracing() -> aiohttp.TraceConfig:
    async def note(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:  # noqa: ARG001
        context.trace_request_ctx.begin()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(note)
    return config
