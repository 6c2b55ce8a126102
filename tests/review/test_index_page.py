"""The page under `/` of a sandbox: imports with their state, and open reviews as links."""

import json

import pytest

from sandbox.item_origin import ITEM_HEADER
from tests.support.forms import Page
from tests.support.reviews import BAD_CELLS, PEOPLE, Person
from tests.support.sandbox import LICENSE_KEY, running_sandbox

HOSTILE = "<img src=x onerror=alert(1)>\u202e&\"'.csv"


@pytest.fixture
async def box():
    async with running_sandbox(schemas=[PEOPLE]) as running:
        yield running


async def index(box, query=""):
    async with box.session.get(f"{box.server.origin}/{query}") as response:
        assert response.status == 200
        return await response.text()


def words(html):
    return " ".join(Page(html).text.split())


async def sent(box, source, *, batch_id="20261129-101500-abcdef", content=BAD_CELLS, schema_id="people"):
    """An import as the runner sends it, in its final status."""
    headers = {"X-Dromo-License-Key": LICENSE_KEY, ITEM_HEADER: json.dumps({"source": source, "batch_id": batch_id})}
    body = {"schema_id": schema_id, "original_filename": "x.~abcdefghijklm.csv"}
    async with box.session.post(f"{box.base_url}/headless/imports/", json=body, headers=headers) as response:
        created = await response.json()
    assert (await box.put(created["upload"], content))[0] == 200
    return await box.ended(created["id"])


async def test_an_open_review_is_a_link_with_folder_batch_and_schema_and_without_the_tag(box):
    found = await sent(box, "south/2026-07/people.csv")
    html = await index(box)
    assert "1 import, 1 waits for review" in words(html)
    assert "south/2026-07/people.csv Schema People (people) · batch 20261129-101500-abcdef" in words(html)
    assert found["review_url"].removeprefix(box.server.origin) in html
    assert "abcdefghijklm" not in html


async def test_the_review_page_shows_folder_batch_and_schema_without_the_tag(box):
    found = await sent(box, "south/2026-07/people.csv")
    page = await Person(box, found["id"], found["review_url"]).look()
    text = " ".join(page.text.split())
    assert "south/2026-07/ people.csv Schema People (people) · batch 20261129-101500-abcdef" in text
    assert "abcdefghijklm" not in text


async def test_an_import_without_a_named_item_shows_its_file_name_without_the_tag(box):
    created = await box.create(schema_id="people", original_filename="people.~abcdefghijklm.csv")
    await box.put(created["upload"], BAD_CELLS)
    await box.ended(created["id"])
    assert "people.csv Schema People (people)" in words(await index(box))


async def test_a_sandbox_without_imports_says_what_to_type(box):
    html = await index(box)
    assert "No imports yet" in html
    assert f"export BULKHEAD_API_URL={box.base_url}" in html


async def test_the_page_has_no_script_and_the_headers_of_the_other_pages(box):
    await sent(box, HOSTILE, batch_id=HOSTILE)
    async with box.session.get(f"{box.server.origin}/") as response:
        html, headers = await response.text(), response.headers
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_a_sandbox_with_a_license_key_shows_no_files_and_no_review_links(box):
    await sent(box, "secret/people.csv")
    await box.control("POST", "/settings", json={"license_key": "another"})
    html = await index(box)
    assert "1 import, 1 waits for review" in words(html)
    assert "bulkhead reviews" in html
    assert "secret" not in html
    assert "/review/" not in html


async def test_the_page_of_many_imports_is_bounded_and_leads_to_all_of_them(box):
    state, now = box.server.context.state, box.server.context.now
    await sent(box, "first.csv")
    for number in range(1, 10_001):
        state.create_admitted({"schema_id": "people", "original_filename": f"f{number}.csv"}, now)
    html = await index(box)
    assert len(html) < 100_000
    assert "10,001 imports, 1 waits for review" in words(html)
    assert "1 to 50 of 10,001" in words(html)
    assert "10,000 waiting for its file" in words(html)
    last = await index(box, "?page=200")
    assert "first.csv" in words(last)
    assert "10,001 to 10,001 of 10,001" in words(last)
    assert last == await index(box, "?page=999999")
    only = words(await index(box, "?status=NEEDS_REVIEW"))
    assert "first.csv" in only
    assert "f10000.csv" not in only


async def test_a_page_and_a_status_that_do_not_exist_show_the_first_page_of_all(box):
    await sent(box, "people.csv")
    assert words(await index(box, "?page=-1&status=%3Cb%3E")) == words(await index(box))


async def test_two_schemas_of_one_name_are_told_apart_by_their_id(box):
    state = box.server.context.state
    state.schemas.by_id["again"] = {**state.schemas.by_id["people"], "id": "again"}
    await sent(box, "a.csv")
    await sent(box, "b.csv", schema_id="again")
    text = words(await index(box))
    assert "a.csv Schema People (people)" in text
    assert "b.csv Schema People (again)" in text


async def test_a_long_folder_leaves_the_name_of_the_file_in_sight(box):
    await sent(box, "folder/" * 400 + "people.csv")
    html = await index(box)
    assert "…" in words(html)
    assert "people.csv" in html
    assert len(html) < 10_000


@pytest.mark.parametrize("header", ["", "{", "[]", '{"source": 7, "batch_id": null}', '{"source": ["a"]}', "é"])
async def test_a_header_that_names_no_item_changes_nothing(box, header):
    headers = {"X-Dromo-License-Key": LICENSE_KEY, ITEM_HEADER: header}
    body = {"schema_id": "people", "original_filename": "people.csv"}
    async with box.session.post(f"{box.base_url}/headless/imports/", json=body, headers=headers) as response:
        assert response.status == 201
    assert "people.csv" in words(await index(box))


async def test_folder_and_batch_survive_a_restart(tmp_path):
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        await sent(box, "south/people.csv")
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        assert "south/people.csv Schema People (people) · batch 20261129-101500-abcdef" in words(await index(box))
