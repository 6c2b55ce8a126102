"""The traps of the HTTP library that could send twice, hang, cut or leak, each with a proof that it is closed."""

from __future__ import annotations

import asyncio

import pytest
from aiolimiter import AsyncLimiter

from runner.dromo.client import HeadlessClient
from runner.dromo.storage import HttpStorage
from runner.errors import NotSent, OutcomeUnknown, SourceChanged, Unavailable
from runner.models import CreateRequest
from tests.support.bodies import FakeBody
from tests.support.rawserver import Peer, RawServer, answer, answering, closed_port_url

API = "http://127.0.0.1:1/api/v1"
FILE = CreateRequest(schema_id="s-1", original_filename="a.csv")
CREATED = b'{"id": "i-1", "status": "AWAITING_UPLOAD"}'


async def closing_after_the_request(peer: Peer) -> None:
    await peer.head()
    await peer.body()


async def resetting_after_the_request(peer: Peer) -> None:
    await closing_after_the_request(peer)
    peer.cut()


async def serving(peer: Peer) -> None:
    """Answer requests on a kept connection for as long as they come."""
    while True:
        await peer.head()
        await peer.body()
        await peer.send(answer(201 if peer.request_line.startswith("POST") else 200, CREATED))


@pytest.mark.parametrize("script", [closing_after_the_request, resetting_after_the_request])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_trap_1_a_request_whose_connection_breaks_is_never_sent_a_second_time(script, method):
    async with RawServer(script) as server, HeadlessClient(server.url, "k") as client, HttpStorage(API) as storage:
        calls = {
            "GET": lambda: client.retrieve("i-1"),
            "DELETE": lambda: client.delete("i-1"),
            "POST": lambda: client.create(FILE),
            "PUT": lambda: storage.put(server.url + "/x", FakeBody([b"x"]), only_if_absent=True),
        }
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await calls[method]()
    assert len(server.peers) == 1


async def test_trap_1_also_on_a_kept_connection_that_has_just_died():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, CREATED))
        await peer.head()
        peer.cut()

    async with RawServer(script) as server, HeadlessClient(server.url, "k") as client:
        await client.retrieve("i-1")
        with pytest.raises(Unavailable):
            await client.retrieve("i-1")
    assert len(server.peers) == 1


async def test_trap_2_every_create_has_a_connection_of_its_own():
    async with RawServer(serving) as server, HeadlessClient(server.url, "k") as client:
        await client.retrieve("i-1")
        for _ in range(3):
            await client.create(FILE)
        await client.retrieve("i-1")
    assert [peer.request_line.split()[0] for peer in server.peers] == ["GET", "POST", "POST", "POST"]


async def test_trap_2_a_disconnect_after_a_create_always_has_an_unknown_outcome():
    async with RawServer(closing_after_the_request) as server, HeadlessClient(server.url, "k") as client:
        with pytest.raises(OutcomeUnknown):
            await client.create(FILE)


async def test_trap_3_an_upload_has_a_length_and_is_never_chunked():
    async with RawServer(answering(answer(200))) as server, HttpStorage(API) as storage:
        await storage.put(server.url + "/x", FakeBody([b"x" * 70_000, b"y"]), only_if_absent=True)
    headers = server.peers[0].headers
    assert headers["content-length"] == "70001"
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"x" * 100, b"x" * 901], id="a byte too many in the last chunk"),
        pytest.param([b"x" * 1000, b"x"], id="a chunk too many"),
        pytest.param([b"x" * 5000], id="one chunk that is too long"),
        pytest.param([b"x" * 999], id="a byte too few"),
        pytest.param([], id="nothing"),
    ],
)
async def test_trap_4_a_body_of_another_length_is_cut_at_once_and_never_stored(chunks):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until_gone()

    async with RawServer(script) as server, HttpStorage(API, stall_s=30) as storage:
        body = FakeBody(chunks, size_bytes=1000)
        with pytest.raises(SourceChanged):
            await asyncio.wait_for(storage.put(server.url + "/x", body, only_if_absent=True), 5)
        await asyncio.wait_for(server.idle.wait(), 5)
    assert all(len(peer.body_bytes) < 1000 for peer in server.peers)


async def test_trap_5_an_upload_to_a_server_that_never_reads_is_cut_after_the_stall_time():
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.pause_reading()
        await asyncio.Event().wait()

    body = FakeBody([b"x" * (1 << 20)] * 64)
    async with RawServer(script) as server, HttpStorage(API, stall_s=0.1) as storage:
        with pytest.raises(OutcomeUnknown, match="stalled"):
            await asyncio.wait_for(storage.put(server.url + "/x", body, only_if_absent=True), 10)
    assert body.closed_count == 1


async def test_trap_5_a_long_upload_that_moves_has_no_time_limit():
    limit = AsyncLimiter(64 * 1024, 0.15)
    async with RawServer(answering(answer(200))) as server, HttpStorage(API, stall_s=0.1, bwlimit=limit) as storage:
        body = FakeBody([b"x" * (64 * 1024)] * 3)
        assert await storage.put(server.url + "/x", body, only_if_absent=True)


async def test_trap_6_a_presigned_url_is_requested_character_for_character():
    path = "/a%2Fb%7Ec%28d%29/~(e)?X-Amz-Credential=AK%2F20260701%2Fs3&X-Amz-Signature=%7e%7E+%20&empty="
    async with RawServer(answering(answer(200))) as server, HttpStorage(API) as storage:
        await storage.put(server.url + path, FakeBody([b"x"]), only_if_absent=True)
        async with storage.get(server.url + path) as chunks:
            assert [chunk async for chunk in chunks] == []
    assert [peer.request_line for peer in server.peers] == [f"PUT {path} HTTP/1.1", f"GET {path} HTTP/1.1"]


async def test_trap_7_and_8_an_upload_sends_no_header_that_a_signature_would_have_to_cover():
    async with RawServer(answering(answer(200))) as server, HttpStorage(API) as storage:
        await storage.put(server.url + "/x", FakeBody([b"x"]), only_if_absent=True)
    assert set(server.peers[0].headers) == {"host", "user-agent", "connection", "content-length", "if-none-match"}


async def test_trap_9_an_upload_does_not_wait_for_permission_to_send():
    async with RawServer(answering(answer(200))) as server, HttpStorage(API) as storage:
        await storage.put(server.url + "/x", FakeBody([b"x"]), only_if_absent=False)
    assert "expect" not in server.peers[0].headers


async def test_trap_10_a_create_that_timed_out_before_it_was_sent_was_not_sent():
    async def never_shaking_hands(peer: Peer) -> None:
        await peer.until_gone()

    async with (
        RawServer(never_shaking_hands) as server,
        HeadlessClient(server.url.replace("http:", "https:"), "k", timeout_s=0.1) as client,
    ):
        with pytest.raises(NotSent):
            await client.create(FILE)


async def test_trap_10_a_create_that_timed_out_after_it_was_sent_has_an_unknown_outcome():
    async with (
        RawServer(lambda peer: peer.until_gone()) as server,
        HeadlessClient(server.url, "k", timeout_s=1.0) as client,  # a busy machine connects within that
    ):
        with pytest.raises(OutcomeUnknown):
            await client.create(FILE)


async def test_trap_10_a_refused_connection_is_distinguished_from_a_broken_one():
    async with HeadlessClient(closed_port_url(), "k") as client:
        with pytest.raises(NotSent):
            await client.create(FILE)
    async with RawServer(resetting_after_the_request) as server, HeadlessClient(server.url, "k") as client:
        with pytest.raises(OutcomeUnknown):
            await client.create(FILE)


async def test_no_proxy_of_the_environment_is_used(monkeypatch):
    async with RawServer(answering(answer(200, CREATED))) as proxy, RawServer(serving) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with HeadlessClient(server.url, "k") as client, HttpStorage(API) as storage:
            await client.retrieve("i-1")
            await storage.put(server.url + "/x", FakeBody([b"x"]), only_if_absent=True)
        assert proxy.peers == []


async def test_no_cookie_is_ever_returned():
    async with (
        RawServer(answering(answer(200, CREATED, Set_Cookie="a=b; Path=/", Connection="close"))) as server,
        HeadlessClient(server.url, "k") as client,
    ):
        await client.retrieve("i-1")
        await client.retrieve("i-1")
    assert all("cookie" not in peer.headers for peer in server.peers)
