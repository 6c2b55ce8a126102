"""Uploads and downloads: what storage's answers mean, and what happens when there is none."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from aiohttp.http import StreamWriter
from aiolimiter import AsyncLimiter

from runner.dromo.storage import HttpStorage
from runner.dromo.upload_body import UploadPayload
from runner.errors import (
    BulkheadError,
    ConditionUnsupported,
    NotSent,
    OutcomeUnknown,
    SourceChanged,
    Unavailable,
    UploadRefused,
    UrlExpired,
)
from tests.support.bodies import FakeBody
from tests.support.rawserver import Peer, RawServer, Twice, answer, answering, closed_port_url

API = "http://127.0.0.1:1/api/v1"
QUERY = "/bucket/key?X-Amz-Signature=abc"


def s3_error(code: str, message: str = "", extra: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()


async def put(server: RawServer, body: FakeBody | None = None, *, only_if_absent: bool = True, **options) -> bool:
    async with server, HttpStorage(API, **options) as storage:
        return await storage.put(server.url + QUERY, body or FakeBody([b"a,b\n"]), only_if_absent=only_if_absent)


async def put_error(server: RawServer, body: FakeBody | None = None, **options) -> BulkheadError:
    with pytest.raises(BulkheadError) as raised:
        await put(server, body, **options)
    return raised.value


async def download(server: RawServer, **options) -> list[bytes]:
    async with server, HttpStorage(API, **options) as storage, storage.get(server.url + QUERY) as chunks:
        return [chunk async for chunk in chunks]


async def test_an_upload_brings_every_byte_in_order():
    chunks = [bytes([n]) * 700_001 for n in range(5)]
    server = RawServer(answering(answer(200)))
    assert await put(server, FakeBody(chunks)) is True
    assert hashlib.sha256(server.peers[0].body_bytes).digest() == hashlib.sha256(b"".join(chunks)).digest()


async def test_an_empty_body_is_sent_as_a_length_of_zero():
    server = RawServer(answering(answer(200)))
    assert await put(server, FakeBody([])) is True
    assert server.peers[0].headers["content-length"] == "0"


async def test_the_condition_is_sent_only_when_it_is_asked_for():
    for wanted in (True, False):
        server = RawServer(answering(answer(200)))
        await put(server, only_if_absent=wanted)
        assert server.peers[0].headers.get("if-none-match") == ("*" if wanted else None)


async def test_a_412_means_that_the_data_had_arrived():
    assert await put(RawServer(answering(answer(412, s3_error("PreconditionFailed"))))) is False


async def test_a_412_to_an_unconditional_upload_is_a_refusal():
    assert isinstance(await put_error(RawServer(answering(answer(412))), only_if_absent=False), UploadRefused)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (501, s3_error("NotImplemented", "A header you provided implies functionality that is not implemented")),
        (501, b""),
        (403, s3_error("AccessDenied", "HeadersNotSigned", "<HeadersNotSigned>if-none-match</HeadersNotSigned>")),
        (400, s3_error("InvalidArgument", "If-None-Match is not supported")),
    ],
)
async def test_storage_that_does_not_take_the_condition_says_so_once(status, body):
    error = await put_error(RawServer(answering(answer(status, body))))
    assert isinstance(error, ConditionUnsupported)


async def test_a_501_to_an_unconditional_upload_has_an_unknown_outcome():
    assert isinstance(await put_error(RawServer(answering(answer(501))), only_if_absent=False), OutcomeUnknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, s3_error("AccessDenied", "Request has expired")),
        (403, s3_error("AccessDenied", "The url expired")),
        (403, s3_error("ExpiredToken")),
        (400, s3_error("ExpiredToken", "The provided token has expired.")),
    ],
)
async def test_an_expired_url_is_distinguished_from_a_refused_one(status, body):
    assert isinstance(await put_error(RawServer(answering(answer(status, body)))), UrlExpired)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket"), (400, "EntityTooLarge")],
)
async def test_any_other_4xx_is_a_refusal_that_names_the_code_alone(status, code):
    server = RawServer(answering(answer(status, s3_error(code, f"secret {QUERY}"))))
    error = await put_error(server)
    assert isinstance(error, UploadRefused)
    assert str(error) == f"storage refuses the upload (HTTP {status} {code})"
    assert error.may_pass is (status == 403)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (408, ""),
        (429, ""),
        (400, "RequestTimeout"),
        (400, "IncompleteBody"),
        (409, "ConditionalRequestConflict"),
    ],
)
async def test_a_temporary_failure_leaves_the_outcome_of_the_upload_unknown(status, code):
    assert isinstance(await put_error(RawServer(answering(answer(status, s3_error(code))))), OutcomeUnknown)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_an_upload_is_refused_and_not_followed(status):
    async with RawServer(answering(answer(200))) as target:
        error = await put_error(RawServer(answering(answer(status, Location=target.url))))
        assert target.peers == []
    assert isinstance(error, UploadRefused)


async def test_an_upload_that_nobody_listens_to_was_not_sent():
    async with HttpStorage(API) as storage:
        with pytest.raises(NotSent):
            await storage.put(closed_port_url() + QUERY, FakeBody([b"x"]), only_if_absent=True)


async def test_an_upload_cut_after_its_headers_has_an_unknown_outcome():
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.cut()

    body = FakeBody([b"x" * (1 << 20)] * 16)
    assert isinstance(await put_error(RawServer(script), body), OutcomeUnknown)
    assert body.closed_count == 1


async def test_an_upload_cut_instead_of_answered_has_an_unknown_outcome():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.body()
        peer.cut()

    assert isinstance(await put_error(RawServer(script)), OutcomeUnknown)


async def test_an_upload_without_an_answer_has_an_unknown_outcome_after_the_stall_time():
    async def script(peer: Peer) -> None:
        await peer.until_gone()

    assert isinstance(await put_error(RawServer(script), stall_s=0.5), OutcomeUnknown)


async def test_an_upload_that_moves_in_each_stall_time_is_cut_when_it_takes_too_long_as_a_whole():
    async def script(peer: Peer) -> None:
        await peer.head()
        while block := await peer.read_some():  # noqa: ASYNC110 - it reads slowly, and waits for nothing
            await asyncio.sleep(len(block) / 1e8)

    error = await put_error(RawServer(script), FakeBody([b"x" * 65536] * 2000), grace_s=0.3, slowest_per_s=1e12)
    assert isinstance(error, OutcomeUnknown)
    assert "as a whole" in str(error)


async def test_a_success_answered_before_the_whole_body_has_an_unknown_outcome():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200))
        await peer.until_gone()

    body = FakeBody([b"x" * (1 << 20)] * 64)
    assert isinstance(await put_error(RawServer(script), body), OutcomeUnknown)


async def test_a_refusal_before_the_whole_body_ends_the_sending():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(403, s3_error("AccessDenied", "Request has expired")))
        await peer.until_gone()

    body = FakeBody([b"x" * (1 << 20)] * 64)
    server = RawServer(script)
    assert isinstance(await put_error(server, body), UrlExpired)
    assert body.closed_count == 1


async def test_a_source_that_changed_is_reported_as_changed_and_the_object_stays_incomplete():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until_gone()

    server = RawServer(script)
    body = FakeBody([b"x" * 100_000] * 3, size_bytes=400_000, error=SourceChanged())
    async with server, HttpStorage(API) as storage:
        with pytest.raises(SourceChanged):
            await storage.put(server.url + QUERY, body, only_if_absent=True)
        await asyncio.wait_for(server.idle.wait(), 5)
    assert len(server.peers[0].body_bytes) < 400_000
    assert body.closed_count == 1


async def test_a_source_that_changed_at_its_very_end_never_becomes_an_object():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until_gone()

    server = RawServer(script)
    async with server, HttpStorage(API) as storage:
        body = FakeBody([b"x" * 100_000] * 2, error=SourceChanged())
        with pytest.raises(SourceChanged):
            await storage.put(server.url + QUERY, body, only_if_absent=True)
        await asyncio.wait_for(server.idle.wait(), 5)
    assert len(server.peers[0].body_bytes) < 200_000


async def test_a_source_that_stops_giving_is_a_stall():
    class Silent(FakeBody):
        async def chunks(self):
            yield b"x"
            await asyncio.Event().wait()

    assert isinstance(
        await put_error(RawServer(answering(answer(200))), Silent([], size_bytes=2), stall_s=0.5), OutcomeUnknown
    )


async def test_a_cancelled_upload_closes_its_source_and_its_connection():
    async def script(peer: Peer) -> None:
        await peer.head()
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    body = FakeBody([b"x" * (1 << 20)] * 64)
    async with RawServer(script) as server, HttpStorage(API) as storage:
        sending = asyncio.create_task(storage.put(server.url + QUERY, body, only_if_absent=True))
        await started.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert body.closed_count == 1


class AbortedTransport(asyncio.WriteTransport):
    aborted = False

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return 0


class FullWriter(StreamWriter):
    """A writer whose peer takes nothing."""

    def __init__(self) -> None:
        self.to = AbortedTransport()

    @property
    def transport(self):
        return self.to

    async def write(self, chunk):
        await asyncio.Event().wait()


async def test_what_is_buffered_for_a_stalled_peer_is_dropped_and_not_sent_later():
    writer = FullWriter()
    with pytest.raises(TimeoutError):
        await UploadPayload(FakeBody([b"x"]), stall_s=0.01).write(writer)
    assert writer.to.aborted


async def test_a_bandwidth_limit_counts_every_byte_and_waiting_for_it_is_no_stall():
    loop = asyncio.get_running_loop()
    server = RawServer(answering(answer(200)))
    began = loop.time()
    assert await put(server, FakeBody([b"x" * 400_000]), stall_s=0.1, bwlimit=AsyncLimiter(100_000, 0.1))
    assert loop.time() - began >= 0.25
    assert len(server.peers[0].body_bytes) == 400_000


async def test_a_download_yields_its_bytes_in_chunks_of_64_kib_and_more():
    data = bytes(range(256)) * 4000
    server = RawServer(answering(answer(200, data)))
    chunks = await download(server)
    assert b"".join(chunks) == data
    assert all(len(chunk) >= 64 * 1024 for chunk in chunks[:-1])
    assert server.peers[0].headers["accept-encoding"] == "identity"


async def test_an_answer_that_comes_twice_is_not_taken_for_the_result_of_another_file():
    twice, found = Twice(lambda path: answer(200, path[1:2].encode())), []
    async with RawServer(twice) as server, HttpStorage(API) as storage:
        for name in ("a", "b"):
            async with storage.get(f"{server.url}/{name}?X-Amz-Signature=abc") as chunks:
                found.append(b"".join([chunk async for chunk in chunks]))
            await twice.repeat()
    assert found == [b"a", b"b"]


async def test_a_download_held_to_a_bandwidth_is_complete():
    data = b"x" * 300_000
    assert (
        b"".join(await download(RawServer(answering(answer(200, data))), bwlimit=AsyncLimiter(100_000, 0.01))) == data
    )


async def test_a_chunked_download_that_ends_is_complete():
    script = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n")
    assert await download(RawServer(script)) == [b"[]"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(answer(200, b"[1", Content_Length="100"), id="short of its length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n", id="without its last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="with a broken chunk"),
    ],
)
async def test_a_download_that_is_cut_is_unavailable(sent):
    with pytest.raises(Unavailable):
        await download(RawServer(answering(sent)))


async def test_a_download_that_is_reset_is_unavailable():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, b"[1", Content_Length="100"))
        peer.cut()

    with pytest.raises(Unavailable):
        await download(RawServer(script))


async def test_a_download_that_stalls_is_unavailable():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, b"[1", Content_Length="100"))
        await peer.until_gone()

    with pytest.raises(Unavailable, match="stalled"):
        await download(RawServer(script), stall_s=0.5)


async def test_a_download_that_only_trickles_is_a_stall():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, b"[", Content_Length="100"))
        while True:
            await asyncio.sleep(0.02)
            await peer.send(b" ")

    with pytest.raises(Unavailable, match="stalled"):
        await download(RawServer(script), stall_s=0.5)


async def test_a_download_without_an_answer_is_unavailable():
    async def script(peer: Peer) -> None:
        await peer.until_gone()

    with pytest.raises(Unavailable):
        await download(RawServer(script), stall_s=0.5)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (answer(403, s3_error("AccessDenied", "Request has expired")), UrlExpired),
        (answer(403), UrlExpired),
        (answer(400, s3_error("ExpiredToken")), UrlExpired),
        (answer(404, s3_error("NoSuchKey")), Unavailable),
        (answer(500), Unavailable),
        (answer(302, Location="http://127.0.0.1:9/"), Unavailable),
        (answer(206, b"[]"), Unavailable),
    ],
)
async def test_a_download_that_is_refused_says_whether_a_new_url_would_help(sent, expected):
    with pytest.raises(expected):
        await download(RawServer(answering(sent)))


async def test_a_download_that_nobody_serves_is_unavailable():
    async with HttpStorage(API) as storage:
        with pytest.raises(Unavailable):
            async with storage.get(closed_port_url() + QUERY):
                pass


async def test_a_download_left_early_closes_its_connection():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, b"x" * 200_000, Content_Length="100000000"))
        await peer.until_gone()

    async with RawServer(script) as server, HttpStorage(API) as storage:
        async with storage.get(server.url + QUERY) as chunks:
            assert await anext(chunks)
        await asyncio.wait_for(server.idle.wait(), 5)


async def test_an_error_of_the_reader_passes_through_a_download_unchanged():
    async with RawServer(answering(answer(200, b"[]"))) as server, HttpStorage(API) as storage:
        with pytest.raises(TimeoutError, match="mine"):
            async with storage.get(server.url + QUERY):
                raise TimeoutError("mine")


async def test_storage_outside_of_its_context_is_a_bug():
    with pytest.raises(RuntimeError):
        await HttpStorage(API).put("http://127.0.0.1/", FakeBody([b"x"]), only_if_absent=True)
