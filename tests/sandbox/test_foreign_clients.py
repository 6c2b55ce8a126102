"""Other people's HTTP clients reach the sandbox as they reach the vendor, although each writes a URL its own way."""

import json

import pytest

from tests.support.foreign_clients import CLIENTS
from tests.support.sandbox import LICENSE_KEY, running_sandbox

NAME = "Q1 (50%) + Zoë's/2026, a&b=c~@:.csv"
CSV = b"Full Name,Email\nAda,ada@x.example\n"
KEY = {"X-Dromo-License-Key": LICENSE_KEY}
JSON = {**KEY, "Content-Type": "application/json"}


@pytest.fixture
async def box():
    async with running_sandbox() as running:
        yield running


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_file_goes_in_and_its_rows_come_out_with_any_client(box, name):
    send = CLIENTS[name]
    body = json.dumps({"schema_id": "customers", "original_filename": NAME}).encode()
    status, answer = await send("POST", f"{box.base_url}/headless/imports/", body, JSON)
    assert status == 201, answer
    created = json.loads(answer)
    assert (await send("PUT", created["upload"], CSV, {}))[0] == 200
    await box.ended(created["id"])
    without_slash = f"{box.base_url}/headless/imports/{created['id']}"
    status, answer = await send("GET", without_slash, None, KEY)
    assert (status, json.loads(answer)["status"]) == (200, "SUCCESSFUL")
    status, answer = await send("GET", f"{without_slash}/url", None, KEY)
    assert status == 200, answer
    status, answer = await send("GET", json.loads(answer)["presigned_url"], None, KEY)
    assert (status, json.loads(answer)) == (200, [{"name": "Ada", "email": "ada@x.example"}])
    assert (await box.counters())["key_leaks"] == 1


async def test_a_license_key_that_reaches_the_storage_is_ignored_and_counted(box):
    created = await box.create()
    assert (await box.put(created["upload"], CSV, headers=KEY))[0] == 200
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    assert (await box.counters())["key_leaks"] == 1


async def test_a_license_key_that_reaches_the_storage_is_refused_if_the_settings_say_so(box):
    await box.control("POST", "/settings", json={"refuse_leaked_key": True})
    created = await box.create()
    status, text = await box.put(created["upload"], CSV, headers=KEY)
    assert (status, "license key" in text) == (400, True)
    assert (await box.counters())["key_leaks"] == 1
