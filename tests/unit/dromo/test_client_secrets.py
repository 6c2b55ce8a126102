"""No license key and no presigned url in any error, its chain, its traceback, or any log record at DEBUG."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import traceback

import pytest

from runner.dromo.client import HeadlessClient
from runner.dromo.storage import HttpStorage
from runner.errors import BulkheadError, SourceChanged
from runner.models import CreateRequest
from tests.support.bodies import FakeBody
from tests.support.rawserver import Peer, RawServer, answer, answering, closed_port_url

KEY = "canary-key-9d1f4b"
SIGNATURE = "canary-signature-77ab"
API = "http://127.0.0.1:1/api/v1"
FILE = CreateRequest(schema_id="s-1", original_filename="a.csv")

API_CALLS = {
    "create": lambda client: client.create(FILE),
    "retrieve": lambda client: client.retrieve("i-1"),
    "list_page": lambda client: client.list_page(limit=1, offset=0),
    "results_url": lambda client: client.results_url("i-1"),
    "delete": lambda client: client.delete("i-1"),
    "schema": lambda client: client.schema("s-1"),
    "schema_names": lambda client: client.schema_names(),
}
ECHO = f'{{"detail": "{KEY} https://s.example/?X-Amz-Signature={SIGNATURE}", "upload": 1'.encode()


async def cutting(peer: Peer) -> None:
    await peer.head()
    peer.cut()


async def silent(peer: Peer) -> None:
    await peer.until_gone()


SCRIPTS = {
    "reset": cutting,
    "silence": silent,
    "half an answer": answering(answer(200, ECHO, Content_Length="9999")),
    "malformed JSON": answering(answer(200, ECHO)),
    "not HTTP": answering(b"garbage\r\n\r\n"),
    "broken encoding": answering(answer(200, b"x", Content_Encoding="gzip")),
    "server error": answering(answer(500, ECHO)),
    "refused": answering(answer(403, ECHO)),
    "not found": answering(answer(404, ECHO)),
    "throttled": answering(answer(429, ECHO)),
    "redirect": answering(answer(307, Location=f"http://127.0.0.1:9/?{SIGNATURE}")),
}


def everything_said_by(error: BaseException, log: pytest.LogCaptureFixture) -> str:
    """Return all that a logger, a report or a debugger of exceptions could print."""
    said = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        said += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    for record in log.records:
        said += [record.getMessage(), repr(vars(record)), logging.Formatter().format(record)]
    return "\n".join(said)


@pytest.fixture
def talkative(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("call", API_CALLS)
async def test_no_error_of_the_api_says_the_key_or_a_url(call, script, talkative):
    asyncio.get_running_loop().set_debug(True)
    async with RawServer(SCRIPTS[script]) as server, HeadlessClient(server.url, KEY, timeout_s=0.1) as client:
        try:
            await API_CALLS[call](client)
        except BulkheadError as error:
            raised: BulkheadError | None = error
        else:
            raised = None
        shown = repr(client) + str(client)
    gc.collect()
    if raised is None:
        assert call == "delete"
        return
    said = shown + everything_said_by(raised, talkative)
    assert KEY not in said
    assert SIGNATURE not in said


@pytest.mark.parametrize("script", [*SCRIPTS, "changed", "nobody"])
@pytest.mark.parametrize("direction", ["put", "get"])
async def test_no_error_of_storage_says_its_url(direction, script, talkative):
    asyncio.get_running_loop().set_debug(True)
    error = SourceChanged() if script == "changed" else None
    body = FakeBody([b"row-content" * 10_000], error=error)
    async with RawServer(SCRIPTS.get(script, silent)) as server, HttpStorage(API, stall_s=0.1) as storage:
        base = closed_port_url() if script == "nobody" else server.url
        url = f"{base}/bucket/{SIGNATURE}?X-Amz-Signature={SIGNATURE}"
        try:
            if direction == "put":
                await storage.put(url, body, only_if_absent=True)
            else:
                async with storage.get(url) as chunks:
                    assert [chunk async for chunk in chunks]
        except BulkheadError as error:
            said = everything_said_by(error, talkative)
        else:
            said = "".join(record.getMessage() for record in talkative.records)
    gc.collect()
    assert SIGNATURE not in said
    assert "row-content" not in said


@pytest.mark.parametrize(
    "url",
    [f"ftp://x/{SIGNATURE}", f"https://u:{SIGNATURE}@x/", f"https://10.0.0.1/{SIGNATURE}", f"https://a b/{SIGNATURE}"],
)
async def test_a_url_that_is_refused_is_not_quoted(url, talkative):
    async with HttpStorage("https://app.dromo.io/api/v1") as storage:
        with pytest.raises(BulkheadError) as raised:
            await storage.put(url, FakeBody([b"x"]), only_if_absent=True)
    assert SIGNATURE not in everything_said_by(raised.value, talkative)


async def test_storage_never_gets_the_key():
    async with (
        RawServer(answering(answer(200))) as server,
        HeadlessClient(server.url, KEY),
        HttpStorage(server.url) as storage,
    ):
        await storage.put(server.url + "/x", FakeBody([b"x"]), only_if_absent=True)
    assert KEY not in server.peers[0].head_text


SIGNED_URL = f"https://s.example/k.csv?X-Amz-Expires=900&X-Amz-Signature={'3f9a' * 16}"
QUOTED = {
    "the key": KEY,
    "a prefix of the key": KEY[:12],
    "the key, encoded": "".join(f"%{ord(char):02x}" for char in KEY),
    "a signed url": SIGNED_URL,
    "half a query": SIGNED_URL[-80:],
    "a signature": f"X-Amz-Signature={'3f9a' * 16}",
}


@pytest.mark.parametrize("quoted", QUOTED.values(), ids=QUOTED)
async def test_no_text_of_an_import_quotes_the_key_or_a_signed_url(quoted):
    fields = {
        "id": "i-1",
        "status": quoted,
        "import_errors": [{"type": quoted, "message": f"cannot read {quoted}"}, quoted, {"message": {quoted: quoted}}],
    }
    async with (
        RawServer(answering(answer(200, json.dumps(fields).encode()))) as server,
        HeadlessClient(f"{server.url}/api/v1", KEY, timeout_s=5) as client,
    ):
        remote = await client.retrieve("i-1")
    said = repr((remote.status, remote.import_errors))
    assert "***" in said
    for secret in (KEY[:12], QUOTED["the key, encoded"][:36], "3f9a3f9a", "X-Amz-Expires=900"):
        assert secret not in said


@pytest.mark.parametrize("quoted", QUOTED.values(), ids=QUOTED)
async def test_no_refusal_quotes_the_key_or_a_signed_url(quoted):
    body = json.dumps({"detail": f"bad {quoted}", quoted: ["again", quoted]}).encode()
    async with (
        RawServer(answering(answer(400, body))) as server,
        HeadlessClient(f"{server.url}/api/v1", KEY, timeout_s=5) as client,
    ):
        with pytest.raises(BulkheadError) as caught:
            await client.create(FILE)
    assert "***" in str(caught.value)
    for secret in (KEY[:12], QUOTED["the key, encoded"][:36], "3f9a3f9a", "X-Amz-Expires=900"):
        assert secret not in str(caught.value)


async def test_an_import_whose_id_schema_or_filename_contains_the_key_has_none():
    entries = [
        {"id": f"i-{KEY}"},
        {
            "id": "i-2",
            "schema_id": f"s-{KEY}",
            "original_filename": f"{KEY}.csv",
            "review_url": f"https://x.example/{KEY}",
        },
    ]
    async with (
        RawServer(answering(answer(200, json.dumps({"count": 2, "results": entries}).encode()))) as server,
        HeadlessClient(f"{server.url}/api/v1", KEY, timeout_s=5) as client,
    ):
        page = await client.list_page(limit=2, offset=0)
    (found,) = page.imports
    assert (found.import_id, found.schema_id, found.original_filename, found.review_url) == ("i-2", None, None, None)
    assert not page.is_whole


@pytest.mark.parametrize("key", ["any", "sandbox-key", KEY])
async def test_ids_and_file_names_stay_as_they_are_whatever_they_look_like(key):
    """The runner recognizes its imports by them."""
    names = {
        "schema_id": "3f9a" * 8,
        "original_filename": "any sandbox-key?a=b&X-Amz-Signature=3f9a.~k3f9x2ab7q2mc.csv",
    }
    entry = {"id": "9A-any-sandbox-key-" + "3f9a" * 16, **names}
    async with (
        RawServer(answering(answer(200, json.dumps({"count": 1, "results": [entry]}).encode()))) as server,
        HeadlessClient(f"{server.url}/api/v1", key, timeout_s=5) as client,
    ):
        page = await client.list_page(limit=1, offset=0)
    assert page.is_whole
    (found,) = page.imports
    assert {"id": found.import_id, "schema_id": found.schema_id, "original_filename": found.original_filename} == entry
