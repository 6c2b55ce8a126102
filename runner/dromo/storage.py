"""HttpStorage: bytes to and from presigned urls, on a session that never holds the license key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp.abc import AbstractResolver

from runner.dromo.allowed_hosts import GuardedResolver, StorageHosts
from runner.dromo.connections import PASSWORD_NEEDED, Connections
from runner.dromo.content_coding import Decoder, decoder_for
from runner.dromo.http import DIRECT, ConnectionCut, RequestSent, open_session
from runner.dromo.upload_body import PIECE_BYTES, UploadPayload, spend
from runner.errors import (
    BulkheadError,
    ConditionUnsupported,
    NotSent,
    OutcomeUnknown,
    ResultTooLarge,
    Unavailable,
    UploadRefused,
    UrlExpired,
)

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

    from runner.protocols import Body

_CONNECT_STALLS = 4
"""How many times as long as a stall it may take to connect: to find addresses, to try them, by a proxy, and for TLS."""

_READ_BUFFER_BYTES = 256 * 1024
_AUTO_HEADERS = ("Content-Type", "Accept", "Accept-Encoding")
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_EXPIRED = re.compile(rb"request has expired|<code>expiredtoken|accessdenied.*expired", re.DOTALL)
_NAMES_THE_CONDITION = re.compile(rb"if-none-match|headersnotsigned|notimplemented")
_REPEATABLE = frozenset(
    {"RequestTimeout", "IncompleteBody", "ConditionalRequestConflict", "OperationAborted", "SlowDown"}
)
"""Refusals of S3 below 500 that are temporary (S3 API reference, list of error codes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: bytes = b""

    @property
    def code(self) -> str:
        """The S3 error code, or the empty string."""
        found = _CODE.search(self.body)
        return found.group(1).decode() if found else ""

    @property
    def is_expiry(self) -> bool:
        return self.status in {400, 401, 403} and _EXPIRED.search(self.body.lower()) is not None

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.code}".rstrip()


class HttpStorage:
    """The vendor's storage; implements `Storage`. Use it as an async context manager.

    `api_url` decides which hosts presigned urls may name, narrowed by `allow_hosts` (see StorageHosts). `bwlimit`
    counts bytes in both directions and may be shared. Connections are not reused: one that is closing would leave the
    outcome of an upload unknown, and nothing in a result says whose it is, so an answer that came late or twice over a
    kept connection would be taken for the result of another file.

    Nothing that storage does takes more than this: a transfer that moves less than 64 KiB in `stall_s` is cut, and so
    is one whose answer is not there `stall_s` after the last byte was sent: the head of the answer to a download, the
    whole answer to an upload. As a whole, a transfer takes `grace_s` and the time of its bytes at `slowest_per_s`. Of
    the answer to an upload, `answer_bytes` are read. A result has `result_bytes`, before and after it is unpacked.
    """

    def __init__(
        self,
        api_url: str,
        *,
        stall_s: float = 30.0,
        grace_s: float = 600.0,
        slowest_per_s: float = 5000.0,
        answer_bytes: int = 64 * 1024,
        result_bytes: int = 10 * 1024**3,
        allow_hosts: Sequence[str] = (),
        bwlimit: AsyncLimiter | None = None,
        resolver: AbstractResolver | None = None,
        connections: Connections = DIRECT,
    ) -> None:
        self._connections = connections
        self._hosts = StorageHosts(api_url, patterns=allow_hosts)
        self._stall_s = stall_s
        self._grace_s = grace_s
        self._slowest_per_s = slowest_per_s
        self._answer_bytes = answer_bytes
        self._result_bytes = result_bytes
        self._bwlimit = bwlimit
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._stall_s, sock_read=self._stall_s),
            headers={},
            force_close=True,
            resolver=GuardedResolver(self._hosts, self._resolver, proxy=self._connections.proxy),
            auto_decompress=False,
            connections=self._connections,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def put(self, url: str, body: Body, *, only_if_absent: bool) -> bool:
        """Send the body; True if it is stored now, False if it was already there (412 to `If-None-Match: *`).

        Raises NotSent, OutcomeUnknown (also a stalled or cut transfer), UrlExpired, ConditionUnsupported,
        UploadRefused, and what the body raises.
        """
        due = _Due(self._stall_s, most_s=self._most_s(body.size_bytes))
        upload = UploadPayload(body, stall_s=self._stall_s, bwlimit=self._bwlimit, on_sent=due.begin)
        answer = await self._send(url, upload, due, only_if_absent=only_if_absent)
        if answer.status == 412 and only_if_absent:
            return False
        refusal = _refusal(answer, conditional=only_if_absent)
        if refusal is not None:
            raise refusal
        if not upload.complete:
            raise OutcomeUnknown("storage answered before it had the whole file")
        return True

    def _most_s(self, count: int) -> float:
        """Return how long a transfer of `count` bytes may take as a whole."""
        return self._grace_s + count / self._slowest_per_s

    async def _send(self, url: str, upload: UploadPayload, due: _Due, *, only_if_absent: bool) -> _Answer:
        headers = {"If-None-Match": "*"} if only_if_absent else {}
        sent = RequestSent(then=due.connected)
        failure: BulkheadError
        try:
            async with AsyncExitStack() as opened:
                request = self._request("PUT", url, headers=headers, data=upload, sent=sent)
                response = await due.head(request, opened)
                return await _answer_of(response, due, cap_bytes=self._answer_bytes)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            failure = self._not_connected(error)
        except TimeoutError:
            failure = OutcomeUnknown(f"the upload {due.missed}")
        except (aiohttp.ClientError, ConnectionCut, OSError) as error:
            failure = OutcomeUnknown(f"the upload was cut ({type(error).__name__})")
        finally:
            upload.abandon()
        if upload.failure is not None:
            raise upload.failure
        raise failure if sent.begun or isinstance(failure, NotSent) else NotSent(str(failure))

    @asynccontextmanager
    async def get(self, url: str, *, most_bytes: int | None = None) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open a download of chunks of 64 KiB and more, unpacked if storage sends it as gzip or deflate.

        It has `most_bytes` at most, by default as many as any result.
        Iterating raises Unavailable if it is cut, stalls, or cannot be unpacked. Entering raises Unavailable (also for
        a host that is not allowed) and UrlExpired. Both raise ResultTooLarge.
        """
        async with AsyncExitStack() as opened:
            response = await self._open(url, opened)
            decoder = decoder_for(response.headers)
            most_bytes = self._result_bytes if most_bytes is None else most_bytes
            _check_size(response.content_length or 0, most_bytes)
            chunks = await opened.enter_async_context(aclosing(self._chunks(response, decoder, most_bytes)))
            yield chunks

    async def _open(self, url: str, opened: AsyncExitStack) -> aiohttp.ClientResponse:
        failure: BulkheadError
        due = _Due(self._stall_s, most_s=self._most_s(0))
        sent = RequestSent(then=due.begin)
        try:
            request = self._request("GET", url, headers={"Accept-Encoding": "identity"}, sent=sent)
            response = await due.head(request, opened)
            if response.status == 200:
                return response
            failure = _download_refusal(await _answer_of(response, due, cap_bytes=self._answer_bytes))
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            failure = Unavailable(str(self._not_connected(error)))
        except UploadRefused as error:
            failure = Unavailable(str(error))
        except TimeoutError:
            late = f"storage did not answer within {self._stall_s:g} s"
            failure = Unavailable(late if sent.begun else f"the download {due.missed}")
        except (aiohttp.ClientError, ConnectionCut, OSError) as error:
            failure = Unavailable(f"the download was cut ({type(error).__name__})")
        raise failure

    async def _chunks(
        self, response: aiohttp.ClientResponse, decoder: Decoder, most_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield the data, unpacked."""
        count = 0
        async with aclosing(self._received(response)) as chunks:
            async for chunk in chunks:
                for piece in decoder.decoded(chunk):
                    count += len(piece)
                    _check_size(count, most_bytes)
                    yield piece
                    if piece is not chunk:
                        await asyncio.sleep(0)
        decoder.end()

    async def _received(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        began, count = asyncio.get_running_loop().time(), 0
        while True:
            left_s = began + self._most_s(max(count, response.content_length or 0)) - asyncio.get_running_loop().time()
            failure: Unavailable | None = None
            chunk = b""
            try:
                async with asyncio.timeout(min(self._stall_s, left_s)):
                    chunk = await _gathered(response.content)
            except TimeoutError:
                too_slow = f"stalled for {self._stall_s:g} s" if left_s > self._stall_s else "took too long as a whole"
                failure = Unavailable(f"the download {too_slow}")
            except (aiohttp.ClientError, OSError) as error:
                failure = Unavailable(f"the download was cut ({type(error).__name__})")
            if failure is not None:
                raise failure
            if not chunk:
                return
            count += len(chunk)
            await spend(self._bwlimit, len(chunk))
            yield chunk

    def _request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        sent: RequestSent,
        data: UploadPayload | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("HttpStorage is used outside of its context manager")
        target = self._hosts.checked(url)
        return self._session.request(
            method,
            target,
            data=data,
            skip_auto_headers=_AUTO_HEADERS,
            allow_redirects=False,
            trace_request_ctx=sent,
            read_bufsize=_READ_BUFFER_BYTES,
            **self._connections.through(target, headers),
        )

    def _not_connected(self, error: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError) -> BulkheadError:
        return self._connections.failure(error, peer="storage", has_answered=True)


class _Due:
    """When the answer to a transfer is due: `stall_s` after `begin()`, and before the transfer ends as a whole.

    A connection is made within a few times `stall_s`, also by a proxy that says nothing.
    """

    def __init__(self, stall_s: float, *, most_s: float) -> None:
        self._stall_s = stall_s
        self._most_s = most_s
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + most_s
        self._connect_s = min(_CONNECT_STALLS * stall_s, most_s)
        self._deadline = asyncio.timeout_at(self._loop.time() + self._connect_s)
        self._due_at = self._ends_at
        self._is_connected = False
        self._begun = False
        self._has_head = False

    def connected(self) -> None:
        """Wait for the transfer itself, since a connection is made."""
        self._is_connected = True
        if not self._deadline.expired():
            self._deadline.reschedule(self._due_at)

    def begin(self) -> None:
        """Count from now, since the last byte of the request was sent."""
        self._is_connected = self._begun = True
        if not (self._has_head or self._deadline.expired()):
            self._due_at = min(self._loop.time() + self._stall_s, self._ends_at)
            self._deadline.reschedule(self._due_at)

    async def head(
        self, request: AbstractAsyncContextManager[aiohttp.ClientResponse], opened: AsyncExitStack
    ) -> aiohttp.ClientResponse:
        """Return the response once its head is there. Raises TimeoutError."""
        async with self._deadline:
            response = await opened.enter_async_context(request)
            if not self._begun:
                self.begin()
            self._has_head = True
        return response

    async def read(self, content: aiohttp.StreamReader, *, most: int) -> bytes:
        """Return the body up to `most` bytes. Raises TimeoutError."""
        body = bytearray()
        async with asyncio.timeout_at(self._due_at):
            while len(body) < most and (block := await content.readany()):
                body += block
        return bytes(body[:most])

    @property
    def missed(self) -> str:
        """What happened if the answer came too late."""
        if not self._is_connected:
            return f"got no connection within {self._connect_s:.0f} s"
        if self._loop.time() >= self._ends_at:
            return f"took longer than {self._most_s:.0f} s as a whole"
        return f"stalled for {self._stall_s:g} s"


async def _answer_of(response: aiohttp.ClientResponse, due: _Due, *, cap_bytes: int) -> _Answer:
    """Read only the start of an answer, which tells its kind; the connection is not reused, so the rest is dropped."""
    if response.status < 300:
        await due.read(response.content, most=cap_bytes)
        return _Answer(status=response.status)
    try:
        body = await due.read(response.content, most=cap_bytes)
    except (aiohttp.ClientError, TimeoutError, OSError):
        body = b""
    return _Answer(status=response.status, body=body)


async def _gathered(content: aiohttp.StreamReader) -> bytes:
    """Return at least 64 KiB, or the rest; empty at the end."""
    blocks: list[bytes] = []
    count = 0
    while count < PIECE_BYTES and (block := await content.readany()):
        blocks.append(block)
        count += len(block)
    return b"".join(blocks)


def _refusal(answer: _Answer, *, conditional: bool) -> BulkheadError | None:
    """Return the error for an answer to an upload, None if it is a success."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if conditional and _is_about_the_condition(answer):
        return ConditionUnsupported(f"storage does not take If-None-Match ({answer})")
    if answer.is_expiry:
        return UrlExpired("the upload url has expired")
    if status >= 500 or status in {408, 429} or answer.code in _REPEATABLE:
        return OutcomeUnknown(f"storage could not take the upload ({answer})")
    if status < 400:
        return UploadRefused(f"storage redirects the upload ({answer}); redirects are not followed")
    return UploadRefused(f"storage refuses the upload ({answer})", may_pass=status in {401, 403, PASSWORD_NEEDED})


def _is_about_the_condition(answer: _Answer) -> bool:
    if answer.status == 501:
        return True
    return answer.status in {400, 403} and _NAMES_THE_CONDITION.search(answer.body.lower()) is not None


def _check_size(count: int, most_bytes: int) -> None:
    if count > most_bytes:
        raise ResultTooLarge.than(most_bytes)


def _download_refusal(answer: _Answer) -> BulkheadError:
    if answer.status == 403 or answer.is_expiry:
        return UrlExpired(f"the results url has expired or is refused ({answer})")
    return Unavailable(f"storage could not give the results ({answer})")
