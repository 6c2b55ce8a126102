"""Managed and basic webhooks: what is sent to which receiver, retries, and faults."""

import asyncio
import random
from dataclasses import replace

import aiohttp
import pytest

from sandbox.engine import Outcome
from sandbox.faults import Fault
from sandbox.imports import Ended, Finished, Import
from sandbox.journal import NoJournal, SavedAccount
from sandbox.problems import ApiProblem
from sandbox.webhooks import BACKOFF_MAX_S, MAX_ATTEMPTS, PENDING_MAX_COUNT, Webhooks
from tests.support.receiver import running_receiver
from tests.support.sandbox import running_sandbox

T0 = 1_780_000_000.0
GOOD = [{"name": "Ada"}]
BAD = [{"name": "Ada", "email": "nowhere"}]
BLOCK = {"invalidDataBehavior": "BLOCK_SUBMIT"}
SYNC = {"backendSyncMode": "FULL_DATA"}


@pytest.fixture
async def box():
    async with running_sandbox(seed=3) as running:
        yield running


@pytest.fixture
async def receiver():
    async with running_receiver() as running:
        yield running


async def counted(box, **expected):
    """Wait until the figures of the webhooks are at least as expected."""
    async with asyncio.timeout(10):
        while True:
            found = (await box.counters())["webhooks"]
            if all(found.get(name, 0) >= count for name, count in expected.items()):
                return found
            await asyncio.sleep(0.01)


async def advance(box, seconds):
    await box.control("POST", "/clock", json={"advance_s": seconds})


# What is sent


async def test_a_managed_webhook_shows_the_import_without_its_links(box, receiver):
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    user = {"id": "7", "name": "Jeff", "companyId": "c1"}
    created = await box.create(initial_data=GOOD, import_metadata={"user": user}, settings={"developmentMode": True})
    found = await box.ended(created["id"])
    (body,) = await receiver.wait_for(1)
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert body["event"] == "import_completed"
    data = body["data"]
    headless = data.pop("headless")
    assert data == {
        "id": created["id"],
        "filename": None,
        "user": {"id": "7", "name": "Jeff", "email": None, "company_id": "c1", "company_name": None},
        "created_date": found["modified_date"],
        "import_type": "HEADLESS",
        "status": "SUCCESSFUL",
        "num_data_rows": 1,
        "development_mode": True,
        "has_data": True,
    }
    assert found["modified_date"] > created["created_date"] == headless["created_date"]
    assert (headless["id"], headless["status"]) == (created["id"], "SUCCESSFUL")
    assert headless["result_metadata"]["totalRows"] == 1
    assert not {"review_url", "upload"} & set(headless)


async def test_a_failed_import_is_reported_only_to_managed_webhooks(box, receiver):
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    created = await box.create(settings={**SYNC, "webhookUrl": receiver.url})
    await box.put(created["upload"], b"PK\x03\x04 damaged")
    assert (await box.ended(created["id"]))["status"] == "FAILED"
    (body,) = await receiver.wait_for(1)
    assert (body["event"], body["data"]["has_data"]) == ("headless_import_failed", False)
    assert (await counted(box, delivered=1))["queued"] == 1


async def test_a_review_is_reported_when_it_is_needed_and_when_it_is_finished(box, receiver):
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    created = await box.create(initial_data=BAD, settings=BLOCK)
    review_url = (await box.ended(created["id"]))["review_url"]
    await receiver.wait_for(1)
    await box.control("POST", f"/imports/{created['id']}/finish")
    bodies = await receiver.wait_for(2)
    assert [body["event"] for body in bodies] == ["headless_import_needs_review", "import_completed"]
    assert [body["data"]["headless"]["status"] for body in bodies] == ["NEEDS_REVIEW", "SUCCESSFUL"]
    assert review_url not in str(bodies)


async def test_basic_webhooks_are_forms_with_the_upload_id(box, receiver):
    settings = {
        **BLOCK,
        **SYNC,
        "webhookUrl": f"{receiver.url}/done",
        "needsReviewWebhookUrl": f"{receiver.url}/review",
    }
    reviewed = await box.create(initial_data=BAD, settings=settings)
    await box.ended(reviewed["id"])
    assert await receiver.wait_for(1) == [{"uploadId": [reviewed["id"]]}]
    done = await box.create(initial_data=GOOD, settings=settings)
    await box.ended(done["id"])
    assert (await receiver.wait_for(2))[1] == {"uploadId": [done["id"]]}
    assert receiver.headers[0]["Content-Type"] == "application/x-www-form-urlencoded"


INLINE = {"fields": [{"key": "name"}]}
NAMED = {"importIdentifier": "people"}


@pytest.mark.parametrize(
    ("filters", "create", "is_reported"),
    [
        ({}, {}, True),
        ({}, INLINE, True),
        ({"schema_ids": ["customers"]}, {}, True),
        ({"schema_ids": ["others"]}, {}, False),
        ({"schema_ids": ["customers"]}, INLINE, False),
        ({"schema_ids": ["customers"]}, {**INLINE, "settings": NAMED}, False),
        ({"import_identifiers": ["people"]}, {**INLINE, "settings": NAMED}, True),
        ({"import_identifiers": ["people"]}, {"settings": NAMED}, True),
        ({"import_identifiers": ["people"]}, {"settings": {"importIdentifier": "People"}}, False),
        ({"import_identifiers": ["people"]}, INLINE, False),
        ({"import_identifiers": ["people"], "schema_ids": ["customers"]}, {}, True),
        ({"import_identifiers": ["people"], "schema_ids": ["others"]}, {"settings": NAMED}, True),
        ({"development_mode": False}, {}, True),
        ({"development_mode": False}, {"settings": {"developmentMode": True}}, False),
        ({"development_mode": True}, {"settings": {"developmentMode": True}}, True),
        ({"development_mode": True}, {}, False),
        ({"development_mode": False, "import_identifiers": ["people"]}, {"settings": NAMED}, True),
        ({"development_mode": True, "import_identifiers": ["people"]}, {"settings": NAMED}, False),
    ],
)
def test_a_managed_webhook_reports_only_the_imports_that_it_is_registered_for(filters, create, is_reported):
    queue, counted = make_queue()
    queue.register({"url": "http://127.0.0.1:1/", **filters})
    found = replace(
        ended().found,
        schema={"settings": create.get("settings", {})},
        schema_id=None if "fields" in create else "customers",
    )
    queue.announce(replace(ended(), found=found), T0)
    assert counted == (["queued"] if is_reported else [])


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({}, "not_synced"),
        ({"backendSyncMode": "DISABLED"}, "not_synced"),
        ({"backendSyncMode": "MAPPINGS_ONLY", "backendSync": True}, "not_synced"),
        ({"backendSync": False}, "not_synced"),
        ({"backendSync": True}, "queued"),
        (SYNC, "queued"),
    ],
)
@pytest.mark.parametrize(("status", "key"), [("SUCCESSFUL", "webhookUrl"), ("NEEDS_REVIEW", "needsReviewWebhookUrl")])
def test_a_basic_webhook_needs_an_import_whose_data_the_vendor_gets(settings, outcome, status, key):
    queue, counted = make_queue()
    found = replace(ended().found, schema={"settings": {**settings, key: "http://127.0.0.1:1/"}})
    queue.announce(replace(ended(), found=found, status=status), T0)
    assert counted == [outcome]


async def test_the_filters_of_a_managed_webhook_are_kept_across_restarts(tmp_path, receiver):
    filters = {"import_identifiers": ["people"], "schema_ids": ["customers"], "development_mode": False}
    async with running_sandbox(data=tmp_path) as box:
        made = await box.control("POST", "/webhooks", json={"url": receiver.url, **filters})
    async with running_sandbox(data=tmp_path) as box:
        assert await box.control("GET", "/webhooks") == [made]
        assert {name: made[name] for name in filters} == filters


async def test_a_webhook_hears_only_of_the_events_it_is_registered_for(box, receiver):
    await box.control("POST", "/webhooks", json={"url": receiver.url, "events": ["headless_import_needs_review"]})
    good, bad = await box.create(initial_data=GOOD), await box.create(initial_data=BAD, settings=BLOCK)
    for created in (good, bad):
        await box.ended(created["id"])
    (body,) = await receiver.wait_for(1)
    assert body["data"]["id"] == bad["id"]
    assert (await counted(box, delivered=1))["queued"] == 1


async def test_registrations_are_listed_and_deleted(box, receiver):
    made = await box.control("POST", "/webhooks", json={"url": receiver.url, "events": ["import_completed"]})
    assert await box.control("GET", "/webhooks") == [made]
    await box.control("DELETE", f"/webhooks/{made['id']}")
    assert await box.control("GET", "/webhooks") == []
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await box.control("DELETE", f"/webhooks/{made['id']}")


# How it is delivered


async def test_a_refused_webhook_is_retried_later(box, receiver):
    receiver.answers = [500, 404]
    await box.control("POST", "/clock", json={"speed": 0.01})  # else a slow machine comes to the second attempt first
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    created = await box.create(initial_data=GOOD)
    await advance(box, 1)
    await counted(box, failed_attempts=1)
    (pending,) = await box.control("GET", "/deliveries")
    assert (pending["import_id"], pending["attempts"]) == (created["id"], 1)
    assert "url" not in pending
    await advance(box, 5)
    await counted(box, failed_attempts=2)
    await advance(box, 10)
    one, two, three = await receiver.wait_for(3)
    assert one == two == three
    await counted(box, delivered=1)
    assert await box.control("GET", "/deliveries") == []


async def test_a_refused_basic_webhook_is_retried_too(box, receiver):
    receiver.answers = [500]
    settings = {**BLOCK, **SYNC, "needsReviewWebhookUrl": receiver.url}
    reviewed = await box.create(initial_data=BAD, settings=settings)
    await box.ended(reviewed["id"])
    await counted(box, queued=1, failed_attempts=1)
    await advance(box, 5)
    assert await receiver.wait_for(2) == [{"uploadId": [reviewed["id"]]}] * 2
    await counted(box, queued=1, failed_attempts=1, delivered=1)


async def test_a_redirect_is_not_followed(box, receiver):
    receiver.answers = [302]
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    await box.ended((await box.create(initial_data=GOOD))["id"])
    await advance(box, 5)
    await receiver.wait_for(2)
    assert set(receiver.paths) == {"/wh/v1/token"}
    assert (await counted(box, delivered=1))["failed_attempts"] == 1


async def test_an_unreachable_receiver_costs_only_attempts(box, unused_tcp_port):
    await box.control("POST", "/webhooks", json={"url": f"http://127.0.0.1:{unused_tcp_port}/"})
    found = await box.ended((await box.create(initial_data=GOOD))["id"])
    assert found["status"] == "SUCCESSFUL"
    for attempts in range(1, MAX_ATTEMPTS + 1):
        await counted(box, failed_attempts=attempts)
        await advance(box, BACKOFF_MAX_S)
    assert (await counted(box, gave_up=1))["failed_attempts"] == MAX_ATTEMPTS
    assert await box.control("GET", "/deliveries") == []


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "http://169.254.169.254/", "https://example.invalid/", "http://[::2]/"]
)
async def test_only_this_machine_is_talked_to(box, url, caplog):
    with pytest.raises(aiohttp.ClientResponseError, match="400"):
        await box.control("POST", "/webhooks", json={"url": url})
    created = await box.create(initial_data=GOOD, settings={**SYNC, "webhookUrl": url})
    await box.ended(created["id"])
    assert (await counted(box, refused=1))["queued"] == 1
    assert "not allowed" in caplog.text
    assert url not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"url": "ftp://127.0.0.1/"},
        {"url": 5},
        {"url": "http://localhost/", "events": ["other"]},
        {"url": "http://localhost/", "development_mode": "no"},
        {"url": "http://localhost/", "schema_ids": "customers"},
        {"url": "http://localhost/", "import_identifiers": [5]},
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(box, body):
    with pytest.raises(aiohttp.ClientResponseError, match="400"):
        await box.control("POST", "/webhooks", json=body)


# Faults


async def struck(box, receiver, kind, **options):
    await box.control("POST", "/webhooks", json={"url": receiver.url})
    await box.set_faults({"operation": "webhook", "kind": kind, "times": 1, **options})
    ids = []
    for _ in range(2):
        ids.append((await box.create(initial_data=GOOD))["id"])
        await box.ended(ids[-1])
        await counted(box, queued=len(ids) - (kind == "lost"))
    return ids


async def test_a_lost_webhook_never_comes(box, receiver):
    _, second = await struck(box, receiver, "lost")
    (body,) = await receiver.wait_for(1)
    assert body["data"]["id"] == second
    assert (await box.counters())["faults"] == {"webhook:lost": 1}


async def test_a_duplicated_webhook_arrives_twice(box, receiver):
    first, _ = await struck(box, receiver, "duplicate")
    bodies = await receiver.wait_for(3)
    assert [body["data"]["id"] for body in bodies].count(first) == 2


async def test_a_reordered_webhook_arrives_after_the_next_one(box, receiver):
    first, second = await struck(box, receiver, "reorder", delay_s=100_000)
    bodies = await receiver.wait_for(2)
    assert [body["data"]["id"] for body in bodies] == [second, first]


async def test_a_delayed_webhook_arrives_after_its_delay(box, receiver):
    first, second = await struck(box, receiver, "delay", delay_s=100_000)
    await receiver.wait_for(1)
    await advance(box, 100_000)
    bodies = await receiver.wait_for(2)
    assert [body["data"]["id"] for body in bodies] == [second, first]


async def test_a_forged_webhook_speaks_of_an_import_that_does_not_exist(box, receiver):
    first, second = await struck(box, receiver, "forge")
    ids = {body["data"]["headless"]["id"] for body in await receiver.wait_for(3)}
    (unknown,) = ids - {first, second}
    assert (await box.api("GET", f"/headless/imports/{unknown}/"))[0] == 404


async def test_a_fault_of_another_operation_is_refused(box):
    for rule in ({"operation": "webhook", "kind": "slow"}, {"operation": "list", "kind": "forge"}):
        with pytest.raises(aiohttp.ClientResponseError, match="400"):
            await box.set_faults(rule)


# The queue alone


def ended(number=0):
    found = Import(
        id=f"import-{number}",
        schema_id=None,
        schema={"settings": {**SYNC, "webhookUrl": "http://127.0.0.1:1/"}},
        original_filename="a.csv",
        user=None,
        created_at=T0,
        pending_s=0,
        running_s=0,
        finished=Finished.of(Outcome(status="SUCCESSFUL", rows=None)),
    )
    return Ended(found=found, status="SUCCESSFUL", shown={"result_metadata": None})


def make_queue(fault: Fault | None = None):
    counted = []
    queue = Webhooks(random.Random(5), count=lambda name, key: counted.append(key), next_fault=lambda: fault)
    return queue, counted


def test_each_wait_is_between_half_and_all_of_twice_the_last_one():
    queue, counted = make_queue()
    queue.announce(ended(), T0)
    now, waits = T0, []
    while due := queue.due(now):
        queue.failed(due[0], now)
        if (next_at := queue.next_due_at()) is not None:
            waits.append(next_at - now)
            assert queue.due(next_at - 0.01) == []
            now = next_at
    assert counted == ["queued", *["failed_attempts"] * MAX_ATTEMPTS, "gave_up"]
    for number, wait in enumerate(waits):
        longest = min(3600, 5 * 2**number)
        assert longest / 2 <= wait <= longest
    assert len(waits) == MAX_ATTEMPTS - 1


def test_a_delivery_is_handed_out_once_and_again_after_a_restart():
    queue, _ = make_queue()
    queue.announce(ended(), T0)
    (delivery,) = queue.due(T0)
    assert queue.due(T0 + 10**6) == []
    again, _ = make_queue()
    again.restore(SavedAccount(secret=b"", deliveries=[delivery]), NoJournal())
    assert again.due(T0) == [delivery]


def test_a_full_queue_drops_its_oldest_delivery():
    queue, counted = make_queue()
    for number in range(PENDING_MAX_COUNT + 3):
        queue.announce(ended(number), T0)
    assert counted.count("dropped") == 3
    assert queue.pending()[0]["import_id"] == "import-3"


def test_only_hosts_that_the_operator_named_are_allowed():
    queue = Webhooks(random.Random(5), count=lambda name, key: None, next_fault=lambda: None, hosts=["Hooks.Example"])
    assert queue.register({"url": "https://hooks.example/x"})["events"]
    with pytest.raises(ApiProblem):
        queue.register({"url": "https://hooks.example.org/x"})
