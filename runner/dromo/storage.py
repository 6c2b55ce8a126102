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
from runner.dromo.http import ConnectionCut, RequestSent, open_session, reason_of
from runner.dromo.upload_body import PIECE_BYTES, UploadPayload, spend
from runner.errors import (
    BulkheadError,
    ConditionUnsupported,
    NotSent,
    OutcomeUnknown,
    Unavailable,
    UploadRefused,
    UrlExpired,
)

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

    from runner.protocols import Body

_READ_BUFFER_BYTES = 256 * 1024
_REFUSAL_CAP_BYTES = 16 * 1024
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

    `api_url` decides which hosts presigned urls may name, narrowed by `allow_hosts` (see StorageHosts). A transfer that
    moves less than 64 KiB in `stall_s` seconds, or waits that long for an answer, is cut. `bwlimit` counts bytes in
    both directions and may be shared. Connections are not reused: one that is closing would leave the outcome of an
    upload unknown.
    """

    def __init__(
        self,
        api_url: str,
        *,
        stall_s: float = 30.0,
        allow_hosts: Sequence[str] = (),
        bwlimit: AsyncLimiter | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._hosts = StorageHosts(api_url, patterns=allow_hosts)
        self._stall_s = stall_s
        self._bwlimit = bwlimit
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._stall_s, sock_read=self._stall_s),
            headers={},
            force_close=True,
            resolver=GuardedResolver(self._hosts, self._resolver),
            auto_decompress=False,
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
        upload = UploadPayload(body, stall_s=self._stall_s, bwlimit=self._bwlimit)
        answer = await self._send(url, upload, only_if_absent=only_if_absent)
        if answer.status == 412 and only_if_absent:
            return False
        refusal = _refusal(answer, conditional=only_if_absent)
        if refusal is not None:
            raise refusal
        if not upload.complete:
            raise OutcomeUnknown("storage answered before it had the whole file")
        return True

    async def _send(self, url: str, upload: UploadPayload, *, only_if_absent: bool) -> _Answer:
        headers = {"If-None-Match": "*"} if only_if_absent else {}
        sent = RequestSent()
        failure: BulkheadError
        try:
            async with self._request("PUT", url, headers=headers, data=upload, sent=sent) as response:
                return await _answer_of(response)
        except aiohttp.ClientConnectorError as error:
            failure = NotSent(f"cannot connect to storage: {reason_of(error)}")
        except TimeoutError:
            failure = OutcomeUnknown(f"the upload stalled for {self._stall_s:g} s")
        except (aiohttp.ClientError, ConnectionCut, OSError) as error:
            failure = OutcomeUnknown(f"the upload was cut ({type(error).__name__})")
        finally:
            upload.abandon()
        if upload.failure is not None:
            raise upload.failure
        raise failure if sent.begun else NotSent(str(failure))

    @asynccontextmanager
    async def get(self, url: str) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open a download of chunks of 64 KiB and more; iterating raises Unavailable if it is cut or stalls.

        Entering raises Unavailable (also for a host that is not allowed) and UrlExpired.
        """
        async with AsyncExitStack() as opened:
            response = await self._open(url, opened)
            chunks = await opened.enter_async_context(aclosing(self._chunks(response)))
            yield chunks

    async def _open(self, url: str, opened: AsyncExitStack) -> aiohttp.ClientResponse:
        failure: BulkheadError
        try:
            request = self._request("GET", url, headers={"Accept-Encoding": "identity"}, sent=RequestSent())
            response = await opened.enter_async_context(request)
            if response.status == 200 and response.headers.get("Content-Encoding", "identity") == "identity":
                return response
            failure = _download_refusal(await _answer_of(response))
        except aiohttp.ClientConnectorError as error:
            failure = Unavailable(f"cannot connect to storage: {reason_of(error)}")
        except UploadRefused as error:
            failure = Unavailable(str(error))
        except TimeoutError:
            failure = Unavailable(f"storage did not answer within {self._stall_s:g} s")
        except (aiohttp.ClientError, ConnectionCut, OSError) as error:
            failure = Unavailable(f"the download was cut ({type(error).__name__})")
        raise failure

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        while True:
            failure: Unavailable | None = None
            chunk = b""
            try:
                async with asyncio.timeout(self._stall_s):
                    chunk = await _gathered(response.content)
            except TimeoutError:
                failure = Unavailable(f"the download stalled for {self._stall_s:g} s")
            except (aiohttp.ClientError, OSError) as error:
                failure = Unavailable(f"the download was cut ({type(error).__name__})")
            if failure is not None:
                raise failure
            if not chunk:
                return
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
        return self._session.request(
            method,
            self._hosts.checked(url),
            data=data,
            headers=headers,
            skip_auto_headers=_AUTO_HEADERS,
            allow_redirects=False,
            trace_request_ctx=sent,
            read_bufsize=_READ_BUFFER_BYTES,
        )


async def _answer_of(response: aiohttp.ClientResponse) -> _Answer:
    """Read only the start of a refusal, which tells its kind; the connection is not reused, so the rest is dropped."""
    if response.status < 300:
        await response.read()
        return _Answer(status=response.status)
    try:
        body = await response.content.read(_REFUSAL_CAP_BYTES)
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
    return UploadRefused(f"storage refuses the upload ({answer})")


def _is_about_the_condition(answer: _Answer) -> bool:
    if answer.status == 501:
        return True
    return answer.status in {400, 403} and _NAMES_THE_CONDITION.search(answer.body.lower()) is not None


def _download_refusal(answer: _Answer) -> BulkheadError:
    if answer.status == 403 or answer.is_expiry:
        return UrlExpired(f"the results url has expired or is refused ({answer})")
    if answer.status == 200:
        return Unavailable("storage sent compressed data that was not asked for")
    return Unavailable(f"storage could not give the results ({answer})")
