"""The sandbox over TCP: what only a real connection shows."""

import asyncio
import io
import socket
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from yarl import URL

from sandbox.api_state import SandboxSettings
from sandbox.engine import Outcome
from tests.support.sandbox import LICENSE_KEY, running_sandbox

CSV = b"Full Name,Email,Credit Limit\nAda,ada@x.example,5\nBob,bob@x.example,7\n"
IMPORTS = "/headless/imports/"


@pytest.fixture
async def box():
    async with running_sandbox(seed=11) as running:
        yield running


async def raw_put(box, created, *, headers="", body=b""):
    """Send a PUT verbatim, then end the sending side if there is a body; return the whole answer."""
    url = URL(created["upload"], encoded=True)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode() + body
    )
    if body:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


# The main road


async def test_a_file_is_imported_as_rows(box):
    created = await box.create()
    assert await box.put(created["upload"], CSV) == (200, "")
    found = await box.ended(created["id"])
    assert found["status"] == "SUCCESSFUL"
    assert await box.rows(created["id"]) == [
        {"name": "Ada", "email": "ada@x.example", "credit": 5},
        {"name": "Bob", "email": "bob@x.example", "credit": 7},
    ]
    counters = await box.counters()
    assert list(counters["ran"].values()) == [[created["id"]]]
    assert counters["puts"] == {created["id"]: 1}


async def test_json_rows_are_imported(box):
    created = await box.create(initial_data=[{"name": "Ada"}])
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    assert await box.rows(created["id"]) == [{"name": "Ada", "email": None, "credit": None}]


async def test_the_api_answers_while_the_engine_works():
    started, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def engine(_job):
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return Outcome(status="SUCCESSFUL", rows=[])

    async with running_sandbox(engine=engine) as box:
        created = await box.create(initial_data=[])
        await asyncio.wait_for(started.wait(), 10)
        await box.control("POST", "/clock", json={"advance_s": 600})
        status, found = await box.api("GET", f"{IMPORTS}{created['id']}/")
        assert (status, found["status"]) == (200, "RUNNING")
        release.set()
        assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"


async def test_a_crash_of_the_engine_fails_one_import_and_not_the_server(caplog):
    def engine(job):
        if job.source == [{"name": "secret row"}]:
            raise RuntimeError("secret row")
        return Outcome(status="SUCCESSFUL", rows=[])

    async with running_sandbox(engine=engine) as box:
        broken = await box.create(initial_data=[{"name": "secret row"}])
        well = await box.create(initial_data=[])
        assert (await box.ended(broken["id"]))["status"] == "FAILED"
        assert (await box.ended(well["id"]))["status"] == "SUCCESSFUL"
    assert "a run was stopped" in caplog.text
    assert "secret row" not in caplog.text


# The API's manners


async def test_a_missing_key_is_401_and_a_wrong_one_403():
    async with running_sandbox(settings=SandboxSettings(license_key="right")) as box:
        assert (await box.api("GET", IMPORTS, key=None))[0] == 401
        assert (await box.api("GET", IMPORTS, key="wrong"))[0] == 403
        assert (await box.api("GET", IMPORTS, key="right"))[0] == 200
        assert (await box.counters())["bad_keys"] == 2


@pytest.mark.parametrize("new", ["mine", None])
async def test_only_who_has_the_key_of_a_sandbox_can_replace_it(new):
    async with running_sandbox(settings=SandboxSettings(license_key="right")) as box:

        async def replaced(**headers):
            body, url = {"license_key": new}, box.server.control_url + "/settings"
            async with box.session.post(url, json=body, headers=headers) as response:
                return response.status

        assert await replaced() == 401
        assert await replaced(**{"X-Dromo-License-Key": "mine"}) == 403
        assert (await box.api("GET", IMPORTS, key="mine"))[0] == 403
        assert await replaced(**{"X-Dromo-License-Key": "right"}) == 204
        assert (await box.api("GET", IMPORTS, key="mine"))[0] == 200


async def test_a_missing_slash_redirects_and_keeps_the_query(box):
    url = f"{box.base_url}/headless/imports?limit=1"
    async with box.session.get(url, allow_redirects=False) as response:
        assert response.status == 301
        assert response.headers["Location"] == "/api/v1/headless/imports/?limit=1"


async def test_what_is_not_there_is_answered_in_json(box):
    assert await box.api("GET", "/headless/nothing/") == (404, {"detail": "Not found."})
    assert await box.api("GET", f"{IMPORTS}some-id/") == (404, {"detail": "Not found."})
    assert await box.api("PUT", IMPORTS) == (405, {"detail": 'Method "PUT" not allowed.'})


async def test_a_throttled_create_says_when_to_retry():
    settings = SandboxSettings()
    async with running_sandbox(settings=settings) as box:
        for _ in range(20):
            await box.create()
        headers = {"X-Dromo-License-Key": LICENSE_KEY}
        async with box.session.post(box.base_url + IMPORTS, json={}, headers=headers) as response:
            assert response.status == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 60
            assert (await response.json())["detail"].startswith("Request was throttled.")
        assert len((await box.counters())["refused_create_times"]) == 1


async def test_the_date_header_shows_the_sandboxs_clock(box):
    await box.control("POST", "/clock", json={"advance_s": 86400})
    now = (await box.control("GET", "/health"))["now"]
    async with box.session.get(f"{box.base_url}{IMPORTS}", headers={"X-Dromo-License-Key": "k"}) as response:
        assert abs(parsedate_to_datetime(response.headers["Date"]).timestamp() - now) < 5


async def test_saved_schemas_are_kept_changed_and_deleted(box):
    status, made = await box.api("POST", "/schemas/", json={"name": "New", "fields": [{"key": "a"}], "settings": {}})
    assert status == 201
    path = f"/schemas/{made['id']}/"
    assert await box.api("GET", path) == (200, made)
    status, changed = await box.api("PUT", path, json={"name": "Newer", "fields": [{"key": "b"}]})
    assert (status, changed["id"], changed["name"]) == (200, made["id"], "Newer")
    assert [schema["name"] for schema in (await box.api("GET", "/schemas/"))[1]] == ["Customers", "Newer"]
    assert await box.api("DELETE", path) == (204, None)
    assert (await box.api("GET", path))[0] == 404
    assert (await box.api("POST", "/schemas/", json={"fields": []}))[0] == 400


async def test_an_import_can_be_deleted(box):
    created = await box.create()
    assert (await box.api("DELETE", f"{IMPORTS}{created['id']}/"))[0] == 204
    assert (await box.api("DELETE", f"{IMPORTS}{created['id']}/"))[0] == 404


# The storage's manners


async def test_a_chunked_upload_is_refused(box):
    async def chunks():
        yield CSV

    created = await box.create()
    status, text = await box.put(created["upload"], chunks())
    assert (status, "<Code>NotImplemented</Code>" in text) == (501, True)


async def test_an_upload_without_a_length_is_refused(box):
    created = await box.create()
    answer = await raw_put(box, created)
    assert answer.startswith(b"HTTP/1.1 411 ")


async def test_an_upload_that_is_cut_stores_nothing(box):
    created = await box.create()
    await raw_put(box, created, headers="Content-Length: 1000\r\n", body=CSV)
    assert (await box.counters())["puts"] == {}
    status, found = await box.api("GET", f"{IMPORTS}{created['id']}/")
    assert (status, found["status"]) == (200, "AWAITING_UPLOAD")
    assert (await box.put(created["upload"], CSV))[0] == 200


async def test_an_upload_answers_with_the_etag(box):
    created = await box.create()
    async with box.session.put(URL(created["upload"], encoded=True), data=b"hello") as response:
        assert response.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'


async def test_a_url_is_taken_as_issued_and_as_a_client_rewrites_it_but_not_changed(box):
    created = await box.create(original_filename="a (1) ü~%2F.csv")
    assert (await box.put(created["upload"] + "&x-id=PutObject", CSV))[0] == 403
    async with box.session.put(created["upload"], data=b"") as response:
        assert response.status == 200
    other = await box.create(original_filename="a (1) ü~%2F.csv")
    assert (await box.put(other["upload"], CSV))[0] == 200


async def test_an_expired_upload_url_is_refused_and_a_retrieve_gives_a_fresh_one(box):
    created = await box.create()
    await box.control("POST", "/clock", json={"advance_s": 1801})
    status, text = await box.put(created["upload"], CSV)
    assert (status, "Request has expired" in text) == (403, True)
    fresh = (await box.api("GET", f"{IMPORTS}{created['id']}/"))[1]["upload"]
    assert (await box.put(fresh, CSV))[0] == 200


async def test_a_large_upload_is_streamed_to_a_file(tmp_path):
    async with running_sandbox(data=tmp_path, engine=lambda _job: Outcome(status="SUCCESSFUL", rows=[])) as box:
        created = await box.create()
        assert (await box.put(created["upload"], io.BytesIO(b"x" * 20_000_000)))[0] == 200
        await box.ended(created["id"])
        assert sorted(path.stat().st_size for path in (tmp_path / "files").iterdir()) == [2, 20_000_000]


# Faults


async def test_a_lost_reply_leaves_its_effect_behind(box):
    await box.set_faults({"operation": "create", "kind": "lost_reply", "times": 1})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await box.create()
    assert (await box.api("GET", IMPORTS))[1]["count"] == 1
    assert (await box.counters())["faults"] == {"create:lost_reply": 1}


async def test_a_dropped_call_leaves_nothing_behind(box):
    await box.set_faults({"operation": "create", "kind": "drop_before", "times": 1})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await box.create()
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0


@pytest.mark.parametrize(("kind", "count"), [("error", 0), ("error_after", 1)])
async def test_an_error_is_answered_before_or_after_the_effect(box, kind, count):
    await box.set_faults({"operation": "create", "kind": kind, "status": 502, "times": 1})
    body = {"schema_id": "customers", "original_filename": "a.csv"}
    assert (await box.api("POST", IMPORTS, json=body))[0] == 502
    assert (await box.api("GET", IMPORTS))[1]["count"] == count


async def test_a_truncated_create_breaks_off_inside_its_body(box):
    await box.set_faults({"operation": "create", "kind": "truncate", "times": 1})
    with pytest.raises(aiohttp.ClientPayloadError):
        await box.create()
    assert (await box.api("GET", IMPORTS))[1]["count"] == 1


async def test_a_truncated_download_breaks_off_and_the_next_one_is_whole(box):
    created = await box.create(initial_data=[{"name": "Ada"}] * 50)
    await box.ended(created["id"])
    await box.set_faults({"operation": "download", "kind": "truncate", "times": 1})
    with pytest.raises(aiohttp.ClientPayloadError):
        await box.rows(created["id"])
    assert len(await box.rows(created["id"])) == 50


@pytest.mark.parametrize("hint", [None, "7", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_scripted_429_carries_the_hint_it_was_given(box, hint):
    await box.set_faults({"operation": "list", "kind": "throttle", "retry_after": hint, "times": 1})
    async with box.session.get(box.base_url + IMPORTS, headers={"X-Dromo-License-Key": "k"}) as response:
        assert response.status == 429
        assert response.headers.get("Retry-After") == hint


async def test_a_scripted_expiry_looks_like_a_real_one(box):
    created = await box.create()
    await box.set_faults({"operation": "upload", "kind": "expire_url", "times": 1})
    status, text = await box.put(created["upload"], CSV)
    assert (status, "Request has expired" in text) == (403, True)
    assert (await box.put(created["upload"], CSV))[0] == 200


async def test_a_result_url_expires_when_scripted_to(box):
    created = await box.create(initial_data=[{"name": "Ada"}])
    await box.ended(created["id"])
    await box.set_faults({"operation": "download", "kind": "expire_url", "times": 1})
    with pytest.raises(aiohttp.ClientResponseError, match="403"):
        await box.rows(created["id"])
    assert len(await box.rows(created["id"])) == 1


async def test_a_stalled_upload_is_never_read(box):
    created = await box.create()
    await box.set_faults({"operation": "upload", "kind": "stall", "delay_s": 0.2})
    with pytest.raises(aiohttp.ClientError):
        await box.put(created["upload"], io.BytesIO(b"x" * 30_000_000))
    assert (await box.counters())["puts"] == {}


async def test_a_slow_answer_is_late_but_complete(box):
    await box.set_faults({"operation": "list", "kind": "slow", "delay_s": 0.05})
    before = asyncio.get_running_loop().time()
    assert (await box.api("GET", IMPORTS))[0] == 200
    assert asyncio.get_running_loop().time() - before >= 0.05


async def test_faults_can_be_cleared_and_nonsense_is_refused(box):
    await box.set_faults({"operation": "list", "kind": "error"})
    assert (await box.api("GET", IMPORTS))[0] == 503
    await box.control("DELETE", "/faults")
    assert (await box.api("GET", IMPORTS))[0] == 200
    with pytest.raises(aiohttp.ClientResponseError):
        await box.set_faults({"operation": "list", "kind": "explode"})


# Control plane and review


async def test_settings_can_be_changed_while_it_runs(box):
    await box.control("POST", "/settings", json={"create_quota": "1/60s", "if_none_match": "not_signed"})
    created = await box.create()
    assert (await box.api("POST", IMPORTS, json={}))[0] == 429
    assert (await box.put(created["upload"], CSV, headers={"If-None-Match": "*"}))[0] == 403
    for nonsense in (
        {"no_such": 1},
        {"fresh_upload_url": 1},
        {"create_quota": "often"},
        {"if_none_match": "maybe"},
        {"retry_after": 5},
    ):
        with pytest.raises(aiohttp.ClientResponseError):
            await box.control("POST", "/settings", json=nonsense)


async def test_a_page_of_another_site_cannot_reach_the_control_plane(box):
    url = f"{box.server.control_url}/reset"
    await box.create()
    async with box.session.post(url, headers={"Origin": "https://elsewhere.example"}) as response:
        assert response.status == 403
    assert (await box.api("GET", IMPORTS))[1]["count"] == 1
    async with box.session.post(url, headers={"Origin": box.server.origin}) as response:
        assert response.status == 204


async def test_a_reset_empties_the_account(box):
    await box.create()
    await box.control("POST", "/reset")
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0
    assert (await box.counters())["created_ids"] == []


async def test_a_faster_clock_brings_the_end_sooner(box):
    created = await box.create(initial_data=[])
    before = (await box.control("GET", "/health"))["now"]
    after = (await box.control("POST", "/clock", json={"speed": 1000, "advance_s": 50}))["now"]
    assert after - before >= 50
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    with pytest.raises(aiohttp.ClientResponseError):
        await box.control("POST", "/clock", json={"advance_s": -1})


async def test_the_control_plane_finishes_a_review(box):
    created = await box.create(settings={"invalidDataBehavior": "BLOCK_SUBMIT"})
    await box.put(created["upload"], b"Full Name,Email\nAda,nonsense\n")
    found = await box.ended(created["id"])
    assert found["status"] == "NEEDS_REVIEW"
    await box.control("POST", f"/imports/{created['id']}/finish")
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    assert await box.rows(created["id"]) == [{"name": "Ada", "email": None}]


async def test_a_port_that_is_taken_is_an_error_that_leaves_nothing_open():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="Address already in use"):
            async with running_sandbox(port=taken.getsockname()[1]):
                pass


@pytest.mark.parametrize("levels", [250, 300, 900])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/schemas/", '{"id": "s", "name": "x", "fields": [{"key": "a", "label": "A"}], "settings": {"x": DEEP}}'),
        ("/schemas/", '{"id": "s", "name": "x", "fields": [{"key": "a", "label": "A", "x": DEEP}]}'),
        ("/headless/imports/", '{"schema_id": "customers", "initial_data": [{"name": DEEP}]}'),
        ("/headless/imports/", '{"fields": [{"key": "a", "label": "A", "x": DEEP}], "original_filename": "a.csv"}'),
    ],
)
async def test_a_body_nested_too_deep_is_refused_and_breaks_nothing_later(box, path, body, levels):
    text = body.replace("DEEP", "[" * levels + "]" * levels)
    headers = {"X-Dromo-License-Key": LICENSE_KEY, "Content-Type": "application/json"}
    async with box.session.post(box.base_url + path, data=text, headers=headers) as response:
        assert response.status == 400
        assert await response.json() == {"detail": "JSON parse error - nested deeper than 200 levels"}
    for listed in ("/schemas/", "/headless/imports/"):
        assert (await box.api("GET", listed))[0] == 200
