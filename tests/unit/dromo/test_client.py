"""Creates: which answers make an import, which prove that there is none, and which leave its outcome unknown."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.abc import AbstractResolver
from pydantic import SecretStr

from runner.clock import SystemClock
from runner.dromo.client import HeadlessClient
from runner.dromo.clock import VendorTime
from runner.errors import (
    AuthRefused,
    BulkheadError,
    ConfigError,
    ConnectionBarred,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
)
from runner.models import CreateRequest
from tests.support.certificates import Authority
from tests.support.rawserver import Peer, RawServer, answer, answering, closed_port_url

KEY = "test-key-1"
FILE = CreateRequest(schema_id="s-1", original_filename="a.csv")
CREATED = json.dumps(
    {
        "id": "94187d21-9820-420f-b08c-a80cbbf52604",
        "schema_id": "s-1",
        "status": "AWAITING_UPLOAD",
        "original_filename": "a.csv",
        "created_date": "2026-07-01T10:00:00Z",
        "modified_date": "2026-07-01T12:00:00.5+02:00",
        "upload": "https://storage.example/x?sig=1",
        "review_url": None,
        "result_metadata": None,
        "import_errors": None,
    }
).encode()


async def outcome(server: RawServer, request: CreateRequest = FILE, *, timeout_s: float = 5.0) -> BulkheadError:
    async with server, HeadlessClient(server.url, KEY, timeout_s=timeout_s) as client:
        with pytest.raises(BulkheadError) as raised:
            await client.create(request)
    return raised.value


@pytest.mark.parametrize("status", [200, 201])
async def test_a_create_returns_the_import_with_its_upload_url(status):
    async with RawServer(answering(answer(status, CREATED))) as server, HeadlessClient(server.url, KEY) as client:
        made = await client.create(FILE)
    assert made.import_id == "94187d21-9820-420f-b08c-a80cbbf52604"
    assert made.status == "AWAITING_UPLOAD"
    assert made.upload_url == "https://storage.example/x?sig=1"
    assert made.created_at is not None
    assert made.created_at.isoformat() == "2026-07-01T10:00:00+00:00"
    assert made.modified_at is not None
    assert made.modified_at.isoformat() == "2026-07-01T10:00:00.500000+00:00"


async def test_a_create_sends_key_user_agent_and_exactly_what_is_given():
    request = CreateRequest(
        schema_id="s-1",
        settings={"developmentMode": True},
        hooks={"rowHooks": ["(r) => r"]},
        original_filename='ä "x"\r\n.csv',
        user={"id": "u1"},
    )
    async with RawServer(answering(answer(201, CREATED))) as server:
        async with HeadlessClient(server.url + "/api/v1/", SecretStr(KEY)) as client:
            await client.create(request)
        peer = server.peers[0]
    assert peer.request_line == "POST /api/v1/headless/imports/ HTTP/1.1"
    assert peer.headers["x-dromo-license-key"] == KEY
    assert peer.headers["user-agent"].startswith("bulkhead/")
    assert json.loads(peer.body_bytes) == {
        "schema_id": "s-1",
        "settings": {"developmentMode": True},
        "hooks": {"rowHooks": ["(r) => r"]},
        "original_filename": 'ä "x"\r\n.csv',
        "import_metadata": {"user": {"id": "u1"}},
    }


async def test_initial_data_goes_into_the_body_byte_for_byte():
    rows = b'[ {"n": 1.10, "t":"\\u00e4"} ]' + b" " * 200_000
    request = CreateRequest(fields=({"key": "n", "type": "number", "label": "N"},), initial_data=rows)
    async with RawServer(answering(answer(201, CREATED))) as server, HeadlessClient(server.url, KEY) as client:
        await client.create(request)
    assert rows in server.peers[0].body_bytes
    assert json.loads(server.peers[0].body_bytes)["initial_data"] == [{"n": 1.1, "t": "ä"}]


async def test_a_json_create_at_the_limit_is_sent_whole():
    rows = b'[["' + b"x" * 14_999_000 + b'"]]'
    async with RawServer(answering(answer(201, CREATED))) as server, HeadlessClient(server.url, KEY) as client:
        await client.create(CreateRequest(schema_id="s", initial_data=rows))
    assert len(json.loads(server.peers[0].body_bytes)["initial_data"][0][0]) == 14_999_000


async def test_a_create_that_json_cannot_hold_is_invalid_before_anything_is_sent():
    async with RawServer(answering(answer(201, CREATED))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(RequestInvalid):
            await client.create(CreateRequest(schema_id="s", original_filename="a", settings={"maxRecords": 1 << 70}))
    assert server.peers == []


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_reported_without_the_vendors_words(status):
    error = await outcome(RawServer(answering(answer(status, b'{"detail": "key test-key-1 is bad"}'))))
    assert isinstance(error, AuthRefused)
    assert KEY not in str(error)


async def test_a_missing_schema_is_named():
    error = await outcome(RawServer(answering(answer(404, b'{"detail": "Not found."}'))))
    assert isinstance(error, SchemaNotFound)
    assert error.schema_id == "s-1"


@pytest.mark.parametrize(
    "request_sent", [FILE, CreateRequest(fields=({"key": "a"},), original_filename="a.csv")], ids=["saved", "inline"]
)
async def test_a_404_that_is_a_page_of_somebody_else_says_nothing_of_the_schema(request_sent):
    error = await outcome(RawServer(answering(answer(404, b"<html>"))), request_sent)
    assert isinstance(error, NotSent)
    assert str(error.hint).startswith("check --api-url, BULKHEAD_API_URL, or api_url in bulkhead.toml")


@pytest.mark.parametrize("status", [302, 401, 403, 404])
async def test_a_page_of_a_gateway_is_not_an_answer_to_a_create_once_the_api_has_answered(status):
    answers = answering(answer(201, CREATED), answer(status, b"<html>"))
    async with RawServer(answers) as server, HeadlessClient(server.url, KEY) as client:
        await client.create(FILE)
        with pytest.raises(NotSent):
            await client.create(FILE)


async def test_a_404_of_the_api_to_a_create_with_inline_fields_points_to_the_api_url():
    request = CreateRequest(fields=({"key": "a"},), original_filename="a.csv")
    error = await outcome(RawServer(answering(answer(404, b'{"detail": "Not found."}'))), request)
    assert isinstance(error, RequestInvalid)
    assert "url" in str(error)


async def test_each_good_answer_tells_the_vendors_time_and_what_a_proxy_kept_does_not():
    date = "Wed, 01 Jul 2026 12:00:00 GMT"
    close = []
    for headers in ({"Date": date}, {"Date": date, "Age": "3600"}):
        vendor_time = VendorTime(SystemClock())
        server = RawServer(answering(answer(201, CREATED, **headers)))
        async with server, HeadlessClient(server.url, KEY, vendor_time=vendor_time) as client:
            await client.create(FILE)
        close.append(abs(vendor_time.now() - datetime(2026, 7, 1, 12, tzinfo=UTC)) < timedelta(minutes=1))
    assert close == [True, False]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "No."}', "No."),
        (b'{"schema_id": ["Must be a valid UUID."]}', "schema_id: Must be a valid UUID."),
        (b'{"non_field_errors": ["One of  schema_id\\nor fields."]}', "One of schema_id or fields."),
        (
            b'{"settings": {"maxRecords": ["Too big."], "non_field_errors": ["Bad."]}}',
            "settings.maxRecords: Too big.; settings: Bad.",
        ),
        (b'{"fields": [{}, {"label": ["Required."]}]}', "fields[1].label: Required."),
        (b'["a", "b"]', "a; b"),
        (b"<html><h1>Method not allowed</h1></html>", "HTTP 400"),
        (b'"just text"', "HTTP 400"),
        (b"{}", "HTTP 400"),
        (b"", "HTTP 400"),
        (b"\xff\xfe", "HTTP 400"),
        (b"[" * 5000, "HTTP 400"),
    ],
)
async def test_a_refusal_carries_the_vendors_message_flattened(body, message):
    error = await outcome(RawServer(answering(answer(400, body))))
    assert isinstance(error, RequestInvalid)
    assert str(error) == message


async def test_a_refusals_message_is_capped_at_500_characters():
    error = await outcome(RawServer(answering(answer(400, json.dumps({"detail": "x" * 9000}).encode()))))
    assert len(str(error)) == 500


async def test_a_refusals_message_that_echoes_the_key_loses_it():
    error = await outcome(RawServer(answering(answer(400, b'{"detail": "bad test-key-1"}'))))
    assert str(error) == "bad ***"


@pytest.mark.parametrize("status", [402, 405, 409, 410, 413, 415, 422])
async def test_any_other_4xx_is_invalid(status):
    error = await outcome(RawServer(answering(answer(status, b"<html>"))))
    assert isinstance(error, RequestInvalid)
    assert str(error) == f"HTTP {status}"


async def test_a_refusal_whose_body_is_cut_is_still_a_refusal():
    error = await outcome(RawServer(answering(answer(400, b'{"det', Content_Length="100"))))
    assert isinstance(error, RequestInvalid)


DATE = "Wed, 01 Jul 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Wed, 01 Jul 2026 10:00:41 GMT", "Date": DATE}, 41.0),
        ({"Retry-After": "Wed, 01 Jul 2026 09:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Wed, 01 Jul 2026 10:00:41 GMT"}, None),
        ({"Retry-After": "soon", "Date": DATE}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
async def test_a_429_says_how_long_to_wait_in_whichever_way_it_is_written(headers, wait_s):
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    error = await outcome(RawServer(answering(answer(429, b'{"detail": "Request was throttled."}', **named))))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_an_error_and_its_target_never_sees_the_key(status):
    async with RawServer(answering(answer(201, CREATED))) as target:
        error = await outcome(RawServer(answering(answer(status, Location=target.url + "/stolen"))))
        assert target.peers == []
    assert isinstance(error, OutcomeUnknown if status == 303 else NotSent)
    assert str(status) in str(error)
    assert target.url.removeprefix("http://") not in str(error)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answering(answer(500)), id="500"),
        pytest.param(answering(answer(503, b"<html>")), id="503"),
        pytest.param(answering(answer(408)), id="408"),
        pytest.param(answering(answer(202, CREATED)), id="another 2xx"),
        pytest.param(answering(answer(201, b"")), id="empty"),
        pytest.param(answering(answer(201, CREATED[:40])), id="half a document"),
        pytest.param(answering(answer(201, CREATED[:40], Content_Length="999")), id="cut in the body"),
        pytest.param(answering(answer(201, b"<html>")), id="HTML"),
        pytest.param(answering(answer(201, b"[1]")), id="another shape"),
        pytest.param(answering(answer(201, b'{"id": ""}')), id="empty id"),
        pytest.param(answering(answer(201, b'{"id": "../schemas"}')), id="id that is a path"),
        pytest.param(answering(answer(201, b'{"id": "a", "x": "' + b"y" * 1_000_000 + b'"}')), id="oversized"),
        pytest.param(answering(b"HTTP/1.1 201 "), id="cut in the head"),
        pytest.param(answering(b"SSH-2.0-OpenSSH\r\n\r\n"), id="not HTTP"),
        pytest.param(answering(answer(201, b"not gzip", Content_Encoding="gzip")), id="broken encoding"),
    ],
)
async def test_an_answer_that_does_not_tell_the_outcome_leaves_the_outcome_of_the_create_unknown(script):
    server = RawServer(script)
    assert isinstance(await outcome(server), OutcomeUnknown)
    assert len(server.peers) == 1


async def test_a_create_reset_after_its_body_has_an_unknown_outcome():
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.body()
        peer.cut()

    assert isinstance(await outcome(RawServer(script)), OutcomeUnknown)


async def test_a_create_reset_while_its_body_is_being_sent_has_an_unknown_outcome():
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.cut()

    request = CreateRequest(schema_id="s", initial_data=b'["' + b"x" * 14_000_000 + b'"]')
    assert isinstance(await outcome(RawServer(script), request), OutcomeUnknown)


async def test_a_create_that_nobody_listens_to_was_not_sent():
    async with HeadlessClient(closed_port_url(), KEY) as client:
        with pytest.raises(NotSent, match="cannot connect"):
            await client.create(FILE)


async def test_a_create_whose_tls_fails_was_not_sent():
    async def script(peer: Peer) -> None:
        await peer.send(b"this is not TLS")

    async with RawServer(script) as server, HeadlessClient(server.url.replace("http:", "https:"), KEY) as client:
        with pytest.raises(NotSent):
            await client.create(FILE)


async def test_a_create_to_a_server_with_an_untrusted_certificate_was_not_sent(tmp_path):
    tls = Authority(tmp_path).server("127.0.0.1")
    async with RawServer(answering(answer(201, CREATED)), tls=tls) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(ConnectionBarred, match="certificate"):
            await client.create(FILE)
    assert not any(peer.head_text for peer in server.peers)


class NoSuchName(AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        raise OSError(-2, "Name or service not known")

    async def close(self):
        """Nothing to close."""


async def test_a_create_whose_host_has_no_address_was_not_sent():
    async with HeadlessClient("https://api.example/api/v1", KEY, resolver=NoSuchName()) as client:
        with pytest.raises(NotSent, match="Name or service"):
            await client.create(FILE)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX-Evil: 1", "clé", "a\x00"])
def test_a_key_that_cannot_be_a_header_is_refused_without_being_shown(key):
    with pytest.raises(ConfigError) as raised:
        HeadlessClient("http://127.0.0.1", key)
    assert not key or key not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "app.dromo.io", "ftp://x/", "http://", "https://u:p@x/", "https://x/?k=1", "http://x:y/"]
)
def test_an_api_url_that_is_not_one_is_refused(url):
    with pytest.raises(ConfigError):
        HeadlessClient(url, KEY)


async def test_a_client_outside_of_its_context_is_a_bug():
    with pytest.raises(RuntimeError):
        await HeadlessClient("http://127.0.0.1", KEY).create(FILE)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("south/a.csv", "south/a.csv"),
        ("süd/\udcff\r\n.csv", "süd/\\udcff\r\n.csv"),
        ("folder/" * 2000 + "a.csv", "…" + ("folder/" * 2000 + "a.csv")[-400:]),
        ("\U0001f4c1" * 1000, "…" + "\U0001f4c1" * 400),
    ],
)
async def test_an_api_on_this_machine_learns_which_file_of_which_batch_a_create_is_of(source, shown):
    request = CreateRequest(schema_id="s-1", original_filename="a.csv", source=source, batch_id="b-1")
    async with RawServer(answering(answer(201, CREATED))) as server:
        async with HeadlessClient(server.url, KEY) as client:
            await client.create(request)
        peer = server.peers[0]
    header = peer.headers["x-bulkhead-item"]
    assert header.isascii()
    assert len(header) < 8000
    assert json.loads(header) == {"source": shown, "batch_id": "b-1"}
    assert json.loads(peer.body_bytes) == {"schema_id": "s-1", "original_filename": "a.csv"}


class ToThisMachine(AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        address = {"hostname": host, "host": "127.0.0.1", "port": port}
        return [{**address, "family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self):
        """Nothing to close."""


async def test_an_api_elsewhere_learns_neither_folder_nor_batch():
    request = CreateRequest(schema_id="s-1", original_filename="a.csv", source="south/a.csv", batch_id="b-1")
    async with RawServer(answering(answer(201, CREATED))) as server:
        port = server.url.rpartition(":")[2]
        async with HeadlessClient(f"http://vendor.example:{port}", KEY, resolver=ToThisMachine()) as client:
            await client.create(request)
        peer = server.peers[0]
    assert "x-bulkhead-item" not in peer.headers
    assert b"south" not in peer.body_bytes
