"""Reads: whatever is not a clear answer is `Unavailable`, and nothing is believed beyond its cap."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest

from runner.dromo.client import HeadlessClient, ProbeResult
from runner.errors import AuthRefused, ImportNotFound, NotSent, RateLimited, RequestInvalid, SchemaNotFound, Unavailable
from runner.row_counts import RowError, RowsRead
from tests.support.rawserver import Peer, RawServer, Twice, answer, answering, closed_port_url

KEY = "test-key-1"
SHORT = {"id": "i-1", "schema_id": "s-1", "status": "RUNNING", "original_filename": "a.csv"}

READS = {
    "retrieve": lambda client: client.retrieve("i-1"),
    "list_page": lambda client: client.list_page(limit=10, offset=0),
    "results_url": lambda client: client.results_url("i-1"),
    "delete": lambda client: client.delete("i-1"),
    "schema": lambda client: client.schema("s-1"),
    "schema_names": lambda client: client.schema_names(),
}


async def read(body: object, call, **headers: str):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with RawServer(answering(answer(200, data, **headers))) as server, HeadlessClient(server.url, KEY) as client:
        return await call(client)


async def test_retrieve_decodes_the_full_import():
    invalid = {"fieldKey": "a", "message": "m", "rowIndex": 0, "value": "cell"}
    full = SHORT | {
        "status": "NEEDS_REVIEW",
        "review_url": "https://review.example/1",
        "result_metadata": {"totalRows": 3, "errors": [invalid]},
        "import_errors": [{"message": "no header"}, "odd"],
        "created_date": "not a date",
    }
    found = await read(full, READS["retrieve"])
    assert (found.status, found.review_url) == ("NEEDS_REVIEW", "https://review.example/1")
    error = RowError(field="a", rule="", message="m", row_count=1)
    assert found.rows == RowsRead(rows_in=3, errors=(error,))
    assert found.import_errors == ({"message": "no header"}, {"message": "odd"})
    assert found.created_at is None


async def test_an_unknown_status_is_kept_verbatim():
    assert (await read(SHORT | {"status": "Quarantined?"}, READS["retrieve"])).status == "Quarantined?"


async def test_a_page_tells_its_imports_how_many_there_are_and_whether_more_follow():
    page = await read(
        {"count": 7, "next": "http://elsewhere/", "previous": None, "results": [SHORT]}, READS["list_page"]
    )
    assert (page.count, page.has_next, page.imports[0].import_id) == (7, True, "i-1")


async def test_an_empty_page_never_promises_another():
    page = await read({"count": 7, "next": "http://elsewhere/", "results": []}, READS["list_page"])
    assert not page.has_next


async def test_limit_and_offset_are_sent():
    async with RawServer(answering(answer(200, b'{"count": 0, "results": []}'))) as server:
        async with HeadlessClient(server.url, KEY) as client:
            await client.list_page(limit=1000, offset=2000)
        assert server.peers[0].request_line == "GET /headless/imports/?limit=1000&offset=2000 HTTP/1.1"


async def test_an_answer_that_comes_twice_is_not_taken_for_the_results_url_of_another_import():
    twice = Twice(lambda path: answer(200, json.dumps({"presigned_url": f"https://s.example{path}"}).encode()))
    async with RawServer(twice) as server, HeadlessClient(server.url, KEY) as client:
        urls = []
        for import_id in ("i-1", "i-2"):
            urls.append(await client.results_url(import_id))
            await twice.repeat()
    assert ["i-1" in urls[0], "i-2" in urls[1]] == [True, True]


async def test_the_results_url_is_returned_as_it_is():
    url = "https://storage.example/a%2Fb?sig=%7E"
    assert await read({"presigned_url": url}, READS["results_url"]) == url


async def test_a_schema_is_returned_as_the_vendor_writes_it():
    assert await read({"id": "s-1", "fields": []}, READS["schema"]) == {"id": "s-1", "fields": []}


async def test_a_delete_needs_no_body():
    async with RawServer(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        async with HeadlessClient(server.url, KEY) as client:
            await client.delete("i-1")
        assert server.peers[0].request_line == "DELETE /headless/imports/i-1/ HTTP/1.1"


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_a_read_answered_5xx_is_unavailable(call, status):
    async with RawServer(answering(answer(status, b"<html>"))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(Unavailable):
            await READS[call](client)


@pytest.mark.parametrize("call", READS)
async def test_a_read_that_is_cut_is_unavailable_and_was_sent_once(call):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(200, b"[", Content_Length="50"))
        peer.cut()

    async with RawServer(script) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(Unavailable):
            await READS[call](client)
    assert len(server.peers) == 1


@pytest.mark.parametrize("call", READS)
async def test_a_read_without_an_answer_is_unavailable_after_its_timeout(call):
    async def script(peer: Peer) -> None:
        await peer.until_gone()

    async with RawServer(script) as server, HeadlessClient(server.url, KEY, timeout_s=0.5) as client:
        with pytest.raises(Unavailable):
            await READS[call](client)


@pytest.mark.parametrize("call", [name for name in READS if name != "delete"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"3", b"NaN", b"<html>", b"[1]", b"[" * 5000])
async def test_a_read_with_a_malformed_answer_is_unavailable(call, body):
    with pytest.raises(Unavailable):
        await read(body, READS[call])


@pytest.mark.parametrize("call", READS)
async def test_every_read_may_find_the_key_refused_the_quota_used_up_or_nobody_there(call):
    for status, expected in ((401, AuthRefused), (403, AuthRefused), (429, RateLimited), (302, RequestInvalid)):
        async with RawServer(answering(answer(status))) as server, HeadlessClient(server.url, KEY) as client:
            with pytest.raises(expected):
                await READS[call](client)
    async with HeadlessClient(closed_port_url(), KEY) as client:
        with pytest.raises(NotSent):
            await READS[call](client)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("retrieve", ImportNotFound),
        ("results_url", ImportNotFound),
        ("delete", ImportNotFound),
        ("schema", SchemaNotFound),
        ("list_page", RequestInvalid),
    ],
)
async def test_a_404_says_what_is_missing(call, expected):
    body = b'{"detail": "Not found."}'
    async with RawServer(answering(answer(404, body))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(expected):
            await READS[call](client)


OF_ONE_IMPORT = ["retrieve", "results_url", "delete"]
PAGES = [b"<html>", b"Not Found", b"404", b"<!DOCTYPE html>" + b" " * 100_000, b'{"detail": "Not fo']


@pytest.mark.parametrize("call", OF_ONE_IMPORT)
@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("page", PAGES, ids=["html", "text", "number", "long page", "half"])
async def test_a_page_of_a_gateway_says_nothing_about_an_import(call, status, page):
    async with RawServer(answering(answer(status, page))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(Unavailable, match="not from the API"):
            await READS[call](client)


@pytest.mark.parametrize("call", OF_ONE_IMPORT)
async def test_a_404_whose_body_is_cut_says_nothing_about_an_import(call):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(404, b"", Content_Length="50"))
        peer.cut()

    async with RawServer(script) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(Unavailable):
            await READS[call](client)


@pytest.mark.parametrize("call", OF_ONE_IMPORT)
@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b"[]", b'{"detail": "Not found."}'])
async def test_a_404_that_the_api_can_have_written_is_the_apis(call, body):
    async with RawServer(answering(answer(404, body))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(ImportNotFound):
            await READS[call](client)


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(("status", "page"), [(302, b""), (401, b"<html>"), (403, b"<html>"), (404, b"<html>")])
async def test_a_page_of_a_gateway_is_an_outage_once_the_api_has_answered(call, status, page):
    shown = answer(200, json.dumps(SHORT).encode())
    async with (
        RawServer(answering(shown, answer(status, page))) as server,
        HeadlessClient(server.url, KEY) as client,
    ):
        await client.retrieve("i-1")
        with pytest.raises(Unavailable):
            await READS[call](client)


@pytest.mark.parametrize(("body", "expected"), [(b"<html>", False), (b"", True), (b"{}", True)])
async def test_a_429_tells_whether_the_api_wrote_it(body, expected):
    async with RawServer(answering(answer(429, body))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(RateLimited) as raised:
            await client.retrieve("i-1")
    assert raised.value.is_of_the_api is expected


async def test_the_names_of_schemas_are_read_by_id_without_entries_that_no_request_could_name():
    body = [{"id": "s-1", "name": "Customers"}, {"id": "s-2", "name": None}, {"id": "../x"}, {"name": "no id"}]
    assert await read(body, READS["schema_names"]) == {"s-1": "Customers", "s-2": ""}
    with pytest.raises(Unavailable):
        await read({"results": []}, READS["schema_names"])
    with pytest.raises(Unavailable):
        await read(["s-1"], READS["schema_names"])


async def test_a_page_in_place_of_a_schema_points_to_the_api_url():
    async with RawServer(answering(answer(404, b"<html>"))) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(RequestInvalid, match="url"):
            await client.schema("s-1")


@pytest.mark.parametrize("hostile", ["", ".", "..", "a/b", "../schemas", "a?x=1", "a%2Fb", "a\r\nb", "a" * 300])
async def test_an_id_that_would_lead_elsewhere_is_never_asked_for(hostile):
    async with RawServer(answering(answer(200, b"{}"))) as server, HeadlessClient(server.url, KEY) as client:
        for call in (client.retrieve, client.results_url, client.delete):
            with pytest.raises(ImportNotFound):
                await call(hostile)
        with pytest.raises(SchemaNotFound):
            await client.schema(hostile)
    assert server.peers == []


@pytest.mark.parametrize("call", ["retrieve", "list_page", "results_url"])
async def test_an_answer_without_an_end_is_not_read_beyond_its_cap(call):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b" " * (1 << 18))

    async with RawServer(script) as server, HeadlessClient(server.url, KEY) as client:
        with pytest.raises(Unavailable, match="larger than"):
            await READS[call](client)


@pytest.mark.parametrize("page", [{}, {"results": None}, {"results": {"id": "i-1"}}, [SHORT]])
async def test_a_page_without_a_list_of_imports_is_unavailable(page):
    with pytest.raises(Unavailable):
        await read(page, READS["list_page"])


@pytest.mark.parametrize("entry", [None, 7, "i-2", [], {}, {"id": None}, {"id": 2}, {"id": "a/b"}, {"id": [SHORT]}])
async def test_an_entry_without_a_usable_id_costs_no_other_entry(entry):
    page = await read({"count": 2, "next": None, "results": [entry, SHORT]}, READS["list_page"])
    assert [remote.import_id for remote in page.imports] == ["i-1"]
    assert (page.left_out, page.is_whole) == (1, False)


@pytest.mark.parametrize(
    ("odd", "is_whole"),
    [
        ({}, True),
        ({"schema_id": None, "original_filename": None, "created_date": None}, True),
        ({"original_filename": ""}, True),
        ({"status": 5, "modified_date": "yesterday", "result_metadata": 1}, True),
        ({"schema_id": 5}, False),
        ({"original_filename": ["a.csv"]}, False),
        ({"created_date": "9999-12-31T23:59:59-23:59"}, False),
        ({"created_date": 1767225600}, False),
    ],
)
async def test_a_page_is_whole_if_every_entry_says_whose_import_it_is(odd, is_whole):
    page = await read({"count": 1, "next": None, "results": [SHORT | odd]}, READS["list_page"])
    assert (len(page.imports), page.left_out, page.is_whole) == (1, 0, is_whole)


@pytest.mark.parametrize("shown", ["i-2", "I-1"])
async def test_an_answer_about_another_import_is_unavailable(shown):
    with pytest.raises(Unavailable, match="another import"):
        await read(SHORT | {"id": shown}, READS["retrieve"])


ODD_FIELDS = {
    "status": [None, 5, "", "x" * 201, "two\nlines", ["RUNNING"]],
    "created_at": ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T00:00:00Z", 5, "soon", {}],
    "review_url": [
        "javascript:alert(1)", "https://a b/", 'https://a/"', "https://a/\x1b[0m", "//a", 5, "https://" + "x" * 9000,
    ],
    "original_filename": [5, "x" * 9000, {}],
}  # fmt: skip
NAMES = {"created_at": "created_date"}


@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_a_field_that_has_not_what_it_should_have_counts_as_absent(field):
    for value in ODD_FIELDS[field]:
        remote = await read(SHORT | {NAMES.get(field, field): value}, READS["retrieve"])
        assert getattr(remote, field) == ("UNKNOWN" if field == "status" else None)


async def test_errors_of_an_import_are_short_texts_whatever_they_are():
    deep = b"[" * 900 + b"]" * 900
    body = b'{"id": "i-1", "import_errors": [{"message": ' + deep + b', "type": 5}, "text", ' + deep + b", null]}"
    remote = await read(body, READS["retrieve"])
    assert all(isinstance(value, str) for error in remote.import_errors for value in error.values())
    many = {"id": "i-1", "import_errors": [{"message": "x" * 5000}] * 2000}
    found = (await read(many, READS["retrieve"])).import_errors
    assert sum(len(error.get("message", "")) for error in found) <= 50_000


async def test_every_error_of_an_import_keeps_the_row_that_it_names_also_where_its_text_is_not_kept():
    errors = [{"type": "VALIDATION", "rowIndex": row, "value": "cell", "message": "m"} for row in range(2000)]
    odd = [{"rowIndex": row} for row in (-1, True, "3", 1.5, None)]
    full = {"id": "i-1", "import_errors": [*errors, *odd]}
    found = (await read(full, READS["retrieve"])).import_errors
    assert [error.get("rowIndex") for error in found] == [*range(2000), *[None] * len(odd)]
    assert found[0] == {"type": "VALIDATION", "message": "m", "rowIndex": 0}
    assert "cell" not in repr(found)


async def test_a_list_of_1000_imports_fits():
    entry = SHORT | {"original_filename": "x" * 200, "created_date": "2026-07-01T10:00:00Z"}
    page = await read({"count": 1000, "next": None, "results": [entry] * 1000}, READS["list_page"])
    assert len(page.imports) == 1000


async def test_a_compressed_answer_is_read():
    body = gzip.compress(json.dumps(SHORT).encode())
    assert (await read(body, READS["retrieve"], Content_Encoding="gzip")).import_id == "i-1"


async def test_a_compressed_bomb_stops_at_the_cap():
    bomb = gzip.compress(b" " * 20_000_000)
    with pytest.raises(Unavailable, match="larger than"):
        await read(bomb, READS["results_url"], Content_Encoding="gzip")


async def test_a_probe_tells_the_status_and_the_servers_time():
    date = "Wed, 01 Jul 2026 10:00:00 GMT"
    for status in (200, 401, 429, 503):
        async with (
            RawServer(answering(answer(status, b"{}", Date=date))) as server,
            HeadlessClient(server.url, KEY) as client,
        ):
            found = await client.probe()
        assert found == ProbeResult(status=status, server_time=datetime(2026, 7, 1, 10, tzinfo=UTC))


async def test_a_probe_of_a_server_without_a_clock_has_no_time():
    async with RawServer(answering(answer(200, b"{}"))) as server, HeadlessClient(server.url, KEY) as client:
        assert (await client.probe()).server_time is None
