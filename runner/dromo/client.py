"""HeadlessClient: the vendor's Headless API over HTTP, one method per endpoint; no pacing, no retries, no ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver
from pydantic import SecretStr
from yarl import URL

from runner.dromo.allowed_hosts import ReviewLinks
from runner.dromo.clock import VendorTime
from runner.dromo.connections import PASSWORD_NEEDED, Connections
from runner.dromo.decoding import date_of, import_of, is_of_the_api, is_usable_id, message_of, page_of, retry_after_s
from runner.dromo.http import DIRECT, ConnectionCut, RequestSent, open_session
from runner.dromo.proxy import is_loopback_host
from runner.dromo.round_trips import RoundTrips
from runner.errors import (
    AuthRefused,
    BulkheadError,
    ConfigError,
    ImportNotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
    TransientError,
    Unavailable,
)
from runner.formatting import storable
from runner.masking import Mask
from runner.models import CreateRequest, ImportPage, RemoteImport

KEY_HEADER = "X-Dromo-License-Key"
ITEM_HEADER = "X-Bulkhead-Item"
"""Which file of which batch a create is of, for the pages of a sandbox; sent only to an API on this machine."""

_ITEM_HEADER_MAX_BYTES = 6000
_SOURCE_END_CHARS = 400
ANSWER_CAP_BYTES = 1_000_000
LIST_CAP_BYTES = 8_000_000
DETAIL_CAP_BYTES = 16_000_000
_REFUSAL_CAP_BYTES = 64 * 1024
_BLOCK_BYTES = 64 * 1024

_PEER = "the API"
_WHERE_THE_URL_IS = "--api-url, BULKHEAD_API_URL, or api_url in bulkhead.toml"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The answer to one list call: its HTTP status, and the server's time from its `Date` header."""

    status: int
    server_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """`body` is None if it could not be read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def is_of_the_api(self) -> bool:
        """Whether the API wrote this answer, not a login page, a proxy, or another path: it answers in JSON."""
        return self.body is not None and is_of_the_api(self.body)


class _TooLarge(Exception):
    """The answer is larger than its cap."""


class HeadlessClient:
    """The vendor's API; implements `ImportsApi`. Use it as an async context manager.

    `base_url` is for example `https://app.dromo.io/api/v1`. Every call raises NotSent if no connection is made,
    AuthRefused for 401 and 403, RateLimited for 429, RequestInvalid for a redirect and for any other 4xx.
    An answer that the API did not write, such as an HTML page of a gateway, says nothing about an import: it counts as
    no answer. Before the API has answered, such a page may also mean a wrong `base_url`, and says so.
    `vendor_time` gets the `Date` of each successful answer, `round_trips` how long each create took. `review_hosts` are
    the hosts of review urls that remain links; None allows all (see ReviewLinks). Before the API has ever answered, a
    proxy that refuses, or a certificate that cannot be verified, raises ConnectionBarred.
    The license key is a header of each request, never of a session: aiohttp gives those of a session to proxies, too.
    """

    def __init__(
        self,
        base_url: str,
        license_key: SecretStr | str,
        *,
        timeout_s: float = 30.0,
        resolver: AbstractResolver | None = None,
        vendor_time: VendorTime | None = None,
        round_trips: RoundTrips | None = None,
        review_hosts: Sequence[str] | None = None,
        connections: Connections = DIRECT,
    ) -> None:
        self._base = _base(base_url)
        self._is_on_this_machine = is_loopback_host(URL(self._base).host or "")
        self._key = _header_safe(license_key)
        self._mask = Mask(self._key)
        self._links = None if review_hosts is None else ReviewLinks(self._base, patterns=review_hosts)
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._vendor_time = vendor_time
        self._connections = connections
        self._round_trips = round_trips or RoundTrips()
        self._has_answered = False
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"HeadlessClient({self._base!r})"

    async def __aenter__(self) -> Self:
        self._kept = self._open(force_close=False)
        self._fresh = self._open(force_close=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()
        self._kept = self._fresh = None

    async def create(self, request: CreateRequest) -> RemoteImport:
        """Create an import, on a new connection: a kept one may be closing, which would leave the outcome unknown.

        Raises OutcomeUnknown (it may exist), SchemaNotFound, RequestInvalid; and NotSent if a proxy or gateway answered
        instead of the API.
        """
        pieces = _create_body(request)
        headers = _item_header(request) if self._is_on_this_machine else {}
        answer = await self._ask("POST", "/headless/imports/", pieces=pieces, headers=headers, doubt=OutcomeUnknown)
        missing = request.schema_id and SchemaNotFound(
            "the vendor has no such schema", schema_id=request.schema_id, hint="check the schema id and the API url"
        )
        if self._is_refused_by_a_gateway(answer):
            raise _not_of_the_api(answer, NotSent)
        self._check(answer, missing=missing or None, doubt=OutcomeUnknown)
        if answer.status not in {200, 201}:
            raise OutcomeUnknown(f"the API answered a create with {answer.status}")
        return self._decoded(answer, self._import_of, doubt=OutcomeUnknown)

    async def retrieve(self, import_id: str) -> RemoteImport:
        """Return the full import. Raises ImportNotFound, Unavailable."""
        missing = ImportNotFound("the vendor has no such import")
        path = _path("/headless/imports/", import_id, missing=missing)
        answer = await self._get(path, cap_bytes=DETAIL_CAP_BYTES, missing=missing)
        return self._decoded(answer, lambda data: _asked_for(self._import_of(data), import_id))

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        """Return one page of short imports, newest first; `limit` is at most 1000. Raises Unavailable."""
        path = f"/headless/imports/?limit={limit}&offset={offset}"
        return self._decoded(
            await self._get(path, cap_bytes=LIST_CAP_BYTES), partial(page_of, mask=self._mask, links=self._links)
        )

    async def results_url(self, import_id: str) -> str:
        """Return a fresh presigned url of the results, asked for on a new connection.

        Nothing in the answer says which import it is of: one that came late or twice over a kept connection would be
        taken for that of another import. Raises ImportNotFound, RequestInvalid, Unavailable.
        """
        missing = ImportNotFound("the vendor has no such import, or no results of it")
        path = _path("/headless/imports/", import_id, missing=missing) + "url/"
        return self._decoded(await self._get(path, missing=missing, is_anonymous=True), _presigned_url)

    async def delete(self, import_id: str) -> None:
        """Delete an import, on a new connection as in `results_url`. Raises ImportNotFound, Unavailable."""
        missing = ImportNotFound("the vendor has no such import")
        path = _path("/headless/imports/", import_id, missing=missing)
        self._check(await self._ask("DELETE", path, is_anonymous=True), missing=missing)

    async def schema_names(self) -> dict[str, str]:
        """Return the names of the account's saved schemas by id, "" without one. Raises Unavailable."""
        answer = await self._get("/schemas/", cap_bytes=LIST_CAP_BYTES)
        return self._decoded(answer, partial(_schema_names, mask=self._mask))

    async def schema(self, schema_id: str) -> dict[str, Any]:
        """Return a saved schema as the vendor writes it. Raises SchemaNotFound, Unavailable."""
        missing = SchemaNotFound("the vendor has no such schema", schema_id=schema_id)
        path = _path("/schemas/", schema_id, missing=missing)
        return self._decoded(await self._get(path, missing=missing), _object)

    async def probe(self) -> ProbeResult:
        """List one import and return how that was answered, including refusals. Raises NotSent, Unavailable."""
        answer = await self._ask("GET", "/headless/imports/?limit=1&offset=0")
        return ProbeResult(status=answer.status, server_time=date_of(answer.headers))

    async def _get(
        self,
        path: str,
        *,
        cap_bytes: int = ANSWER_CAP_BYTES,
        missing: BulkheadError | None = None,
        is_anonymous: bool = False,
    ) -> _Answer:
        answer = await self._ask("GET", path, cap_bytes=cap_bytes, is_anonymous=is_anonymous)
        self._check(answer, missing=missing)
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        cap_bytes: int = ANSWER_CAP_BYTES,
        pieces: tuple[bytes, ...] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
        doubt: type[TransientError] = Unavailable,
        is_anonymous: bool = False,
    ) -> _Answer:
        """Send one request once and read the whole answer, whatever its status; `is_anonymous` if that names no import.

        Raises NotSent and ConnectionBarred, or `doubt` if it was sent and not answered in full. Errors are raised
        outside the handlers, so that none of them has an exception of aiohttp as context, which would print urls and
        headers.
        """
        session = self._fresh if pieces or is_anonymous else self._kept
        if session is None:
            raise RuntimeError("HeadlessClient is used outside of its context manager")
        all_headers = {KEY_HEADER: self._key, **_body_headers(pieces), **headers}
        sent = RequestSent()
        asked_at = self._vendor_time.ticks() if self._vendor_time else 0.0
        failure: BulkheadError
        missed = "the connection was cut"
        url = URL(self._base + path, encoded=True)
        try:
            async with session.request(
                method,
                url,
                data=_stream(pieces) if pieces else None,
                allow_redirects=False,
                trace_request_ctx=sent,
                **self._connections.through(url, all_headers),
            ) as response:
                self._note_time(response, asked_at=asked_at)
                if pieces and sent.begun:
                    self._round_trips.note(asyncio.get_running_loop().time() - sent.at)
                body = await _read(response, cap_bytes)
                answer = _Answer(status=response.status, headers=response.headers, body=body)
            if answer.status != PASSWORD_NEEDED:
                return answer
            failure = self._connections.refusal(PASSWORD_NEEDED, peer=_PEER, has_answered=self._has_answered)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            failure = self._connections.failure(error, peer=_PEER, has_answered=self._has_answered)
        except TimeoutError:
            missed = f"no connection within {self._timeout_s:g} s"
            failure = doubt(f"the API did not answer within {self._timeout_s:g} s")
        except _TooLarge:
            failure = doubt(f"the API's answer is larger than {cap_bytes} bytes")
        except (aiohttp.ClientError, ConnectionCut, OSError) as error:
            failure = doubt(f"the API's answer was cut or is not HTTP ({type(error).__name__})")
        if not sent.begun and isinstance(failure, doubt):
            failure = self._connections.not_connected("cannot reach the API", missed, host=url.host or "")
        raise failure

    def _note_time(self, response: aiohttp.ClientResponse, *, asked_at: float) -> None:
        """Pass the time of an answer on; that of a cached answer or of a proxy's refusal is not the API's."""
        server_time = date_of(response.headers)
        if self._vendor_time and server_time and response.status < 300 and "Age" not in response.headers:
            self._vendor_time.answered(server_time, asked_at=asked_at)

    def _check(
        self, answer: _Answer, *, missing: BulkheadError | None = None, doubt: type[TransientError] = Unavailable
    ) -> None:
        """Raise the error for a status other than 2xx."""
        status = answer.status
        if 200 <= status < 300:
            return
        if doubt is Unavailable and self._is_foreign(answer, of_one_import=isinstance(missing, ImportNotFound)):
            raise _not_of_the_api(answer, Unavailable)
        if status in {401, 403}:
            raise AuthRefused(
                f"the API does not accept the license key (HTTP {status})",
                hint="set DROMO_LICENSE_KEY to a backend key",
            )
        if status == 429:
            raise RateLimited(
                "the API's quota is used up",
                retry_after_s=retry_after_s(answer.headers),
                is_of_the_api=answer.is_of_the_api,
            )
        if status == 408 or status >= 500:
            raise doubt(f"the API answered {status}")
        if status == 404 and missing is not None and answer.is_of_the_api:
            raise missing
        if status == 303 and doubt is OutcomeUnknown:
            raise OutcomeUnknown("the API answered a create with 303, which is not followed")
        if status < 400 or status == 404:
            raise RequestInvalid(
                f"the API answered {status}; the API url is probably wrong", hint=f"check {_WHERE_THE_URL_IS}"
            )
        raise RequestInvalid(message_of(answer.body or b"", status=status, mask=self._mask))

    def _is_foreign(self, answer: _Answer, *, of_one_import: bool) -> bool:
        """Return whether a refusal is a gateway's, and not a sign of a wrong url or key: the API answers elsewhere."""
        if not 300 <= answer.status < 500 or answer.status in {408, 429}:
            return False
        is_known_to_answer = self._has_answered or (of_one_import and not answer.is_of_the_api)
        return is_known_to_answer and (answer.status < 400 or not answer.is_of_the_api)

    def _is_refused_by_a_gateway(self, answer: _Answer) -> bool:
        """Return whether a gateway refused a create; but one of its content, such as its size, is final.

        The API cannot have acted on the create.
        """
        if 300 <= answer.status < 400:
            return answer.status != 303
        statuses = {401, 403, 404} if self._has_answered else {404}
        return answer.status in statuses and not answer.is_of_the_api

    def _import_of(self, data: Any) -> RemoteImport:
        return import_of(data, mask=self._mask, links=self._links)

    def _decoded(
        self, answer: _Answer, decode: Callable[[Any], _T], *, doubt: type[TransientError] = Unavailable
    ) -> _T:
        decoded = _decoded(answer, decode, doubt=doubt)
        self._has_answered = True
        return decoded

    def _open(self, *, force_close: bool) -> aiohttp.ClientSession:
        return open_session(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            force_close=force_close,
            resolver=self._resolver,
            connections=self._connections,
        )


def _base(base_url: str) -> str:
    try:
        url = URL(base_url.rstrip("/"))
        usable = url.scheme in {"http", "https"} and bool(url.host) and "@" not in url.raw_authority
    except ValueError:
        usable = False
    if not usable or url.query_string or url.fragment:
        raise ConfigError("the API url must be http(s)://host/path, without user, query or fragment")
    return str(url)


def _header_safe(license_key: SecretStr | str) -> str:
    key = license_key.get_secret_value() if isinstance(license_key, SecretStr) else license_key
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the license key is empty or has characters that no key has", hint="set DROMO_LICENSE_KEY")
    return key


def _path(collection: str, resource_id: str, *, missing: BulkheadError) -> str:
    """Return the path of one resource. Raises `missing` for an id that could change the path, since it cannot exist."""
    if not is_usable_id(resource_id):
        raise missing
    return f"{collection}{quote(resource_id, safe='')}/"


def _create_body(request: CreateRequest) -> tuple[bytes, ...]:
    """Return the JSON body in pieces; `initial_data` is JSON text already and is inserted without being parsed."""
    document = request.document()
    try:
        text = orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise RequestInvalid(f"the create cannot be written as JSON: {error}") from None
    if request.initial_data is None:
        return (text,)
    comma = b"," if document else b""
    return (text[:-1] + comma + b'"initial_data":', request.initial_data, b"}")


def _body_headers(pieces: tuple[bytes, ...]) -> dict[str, str]:
    if not pieces:
        return {}
    return {"Content-Type": "application/json", "Content-Length": str(sum(map(len, pieces)))}


def _item_header(request: CreateRequest) -> dict[str, str]:
    """Return the header that names the item, in ASCII; the beginning of a source that is too long is left out."""
    if request.source is None:
        return {}
    source = storable(request.source)
    text = json.dumps({"source": source, "batch_id": request.batch_id})
    if len(text) > _ITEM_HEADER_MAX_BYTES:
        text = json.dumps({"source": f"…{source[-_SOURCE_END_CHARS:]}", "batch_id": request.batch_id})
    return {ITEM_HEADER: text}


async def _stream(pieces: tuple[bytes, ...]) -> AsyncIterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _BLOCK_BYTES):
            yield view[start : start + _BLOCK_BYTES]


async def _read(response: aiohttp.ClientResponse, cap_bytes: int) -> bytes | None:
    """Read an answer up to its cap; that of a refusal, which helps to explain it, is None if it is cut or long."""
    if response.status < 300:
        return await _read_capped(response, cap_bytes)
    try:
        return await _read_capped(response, _REFUSAL_CAP_BYTES) if response.status < 500 else b""
    except (aiohttp.ClientError, TimeoutError, OSError, _TooLarge):
        return None


async def _read_capped(response: aiohttp.ClientResponse, cap_bytes: int) -> bytes:
    body = bytearray()
    async for block in response.content.iter_any():
        body += block
        if len(body) > cap_bytes:
            raise _TooLarge
    return bytes(body)


def _decoded(answer: _Answer, decode: Callable[[Any], _T], *, doubt: type[TransientError] = Unavailable) -> _T:
    """Parse and decode a 2xx answer; `doubt` is raised outside the handler, since parsers quote their input."""
    try:
        return decode(orjson.loads(answer.body or b""))
    except orjson.JSONDecodeError:
        what = "is not JSON"
    except ValueError as error:
        what = str(error)
    except Exception as error:  # noqa: BLE001 - whatever an odd answer raises is the fault of that answer
        what = type(error).__name__
    raise doubt(f"the API's answer cannot be used: {what}")


def _not_of_the_api(answer: _Answer, kind: type[TransientError]) -> TransientError:
    return kind(
        f"the answer {answer.status} is not from the API",
        hint=f"check {_WHERE_THE_URL_IS}, and proxies between this machine and the API",
    )


def _asked_for(remote: RemoteImport, import_id: str) -> RemoteImport:
    if remote.import_id != import_id:
        raise ValueError("it is about another import")
    return remote


def _presigned_url(data: Any) -> str:
    url = data.get("presigned_url") if isinstance(data, dict) else None
    if not isinstance(url, str) or not url:
        raise ValueError("it has no presigned url")
    return url


def _schema_names(data: Any, *, mask: Mask) -> dict[str, str]:
    if not isinstance(data, list):
        raise ValueError("it is not a list of schemas")  # noqa: TRY004 - one error for all that is unusable
    usable = [one for one in map(_object, data) if is_usable_id(one.get("id")) and not mask.knows(one["id"])]
    return {one["id"]: mask.short(one["name"]) if isinstance(one.get("name"), str) else "" for one in usable}


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - one error for all that is unusable
    return data
