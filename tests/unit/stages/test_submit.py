"""From a queued item to data at the vendor: what each answer, lost or given, leads to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise

import pytest

from runner.config.options import RunOptions
from runner.config.routes import Routes
from runner.errors import (
    AuthRefused,
    ConditionUnsupported,
    ImportNotFound,
    ItemRejected,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
    SourceChanged,
    Unavailable,
    UploadRefused,
    UrlExpired,
)
from runner.events import CreateThrottled
from runner.local.pipeline import WAITING_MOST, run_batch
from runner.models import CreateRequest, Item, ItemState, RemoteImport
from runner.protocols import Body
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}
ROWS = {"a.json": b'[{"x":1}]'}


async def test_a_file_is_created_bound_uploaded_and_collected_once() -> None:
    bench = Bench(FILES)
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}
    assert bench.sink.results["a.csv"] == bench.vendor.result
    history = await bench.ledger.history(BATCH_ID, "a.csv")
    assert [str(entry.state) for entry in history] == [
        "queued", "creating", "created", "processing", "succeeded", "collected",
    ]  # fmt: skip


async def test_a_file_in_the_encoding_of_its_route_is_uploaded_as_utf8() -> None:
    (route,) = Routes.single(schema_id="s1").routes
    bench = Bench({"a.csv": "Jürgen".encode("cp1252")}, routes=Routes([replace(route, encoding="cp1252")]))
    await bench.run()
    assert bench.vendor.received == {"import-1": ["Jürgen".encode()]}


async def test_a_file_whose_import_an_earlier_run_has_made_is_uploaded_in_the_encoding_of_its_route_too() -> None:
    (route,) = Routes.single(schema_id="s1").routes
    bench = Bench({"a.csv": "Jürgen".encode("cp1252")}, routes=Routes([replace(route, encoding="cp1252")]))
    await bench.leave_uploading("a.csv")
    await bench.run()
    assert bench.vendor.received == {"import-1": ["Jürgen".encode()]}


async def test_the_original_filename_contains_the_tag() -> None:
    bench = Bench(FILES)
    await bench.run()
    assert bench.vendor.created[0].original_filename == f"a.~{bench.tag('a.csv')}.csv"


async def test_without_the_tag_the_name_stays_as_it_is() -> None:
    bench = Bench(FILES, options=RunOptions(filename_tag=False))
    await bench.run()
    assert bench.vendor.created[0].original_filename == "a.csv"


async def test_a_lost_reply_leads_to_adoption_by_tag_not_to_a_second_create() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert len(bench.vendor.created) == 1
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    assert batch.counters["creates"] == 1
    assert (await bench.item("a.csv")).import_id == "import-1"
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}


async def test_a_lost_create_that_had_no_effect_is_sent_again() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.attempts, len(bench.vendor.created)) == (ItemState.COLLECTED, 2, 1)


async def test_another_creators_import_of_the_same_name_is_never_adopted() -> None:
    bench = Bench(FILES)
    bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"))
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-2"


async def test_a_429_costs_time_and_never_an_attempt() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.extend([RateLimited("429", retry_after_s=7), RateLimited("429")])
    await bench.run()
    waits = [event.wait_s for event in bench.events if isinstance(event, CreateThrottled)]
    assert len(waits) == 2
    assert 7 + 1 <= waits[0] <= 7 + 2
    assert 3 + 1 <= waits[1] <= 3 + 2
    assert (await bench.item("a.csv")).attempts == 1
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    assert batch.counters["throttled"] == 2


async def test_a_request_the_vendor_refuses_fails_the_item_with_the_vendors_words() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.append(RequestInvalid("settings: unknown key"))
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.error_message) == (
        ItemState.FAILED, "create_refused", "settings: unknown key",
    )  # fmt: skip


async def test_a_refused_key_stops_the_batch_and_queues_items_again() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1))
    bench.vendor.create_script.append(AuthRefused("Invalid key."))
    await bench.run()
    assert await bench.states() == {"a.csv": "queued", "b.csv": "queued"}
    assert bench.stop.reason is StopReason.AUTH_REFUSED
    assert bench.vendor.calls.count("create") == 1


async def test_a_missing_schema_stops_its_items_and_leaves_them_queued() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1))
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    result = await bench.run()
    assert await bench.states() == {"a.csv": "queued", "b.csv": "queued"}
    assert result.held_schemas == ["schema 's1' (route all) does not exist; this account has: no saved schemas"]
    assert bench.vendor.schemas_asked_for == ["s1"]


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ({"c-2": "Orders", "c-1": "Customers", "c-3": ""}, "'c-1' (Customers), 'c-2' (Orders), 'c-3'"),
        ({f"c{n:02}": "" for n in range(10)}, ", ".join(f"'c{n:02}'" for n in range(10))),
        ({f"c{n:02}": "" for n in range(14)}, ", ".join(f"'c{n:02}'" for n in range(10)) + ", and 4 more"),
    ],
)
async def test_a_missing_schema_is_named_with_its_route_and_the_first_schemas_that_there_are(
    names: dict[str, str], listed: str
) -> None:
    bench = Bench({"a.csv": b"1"})
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    bench.vendor.schemas_by_id = names
    result = await bench.run()
    assert result.held_schemas == [f"schema 's1' (route all) does not exist; this account has: {listed}"]


@pytest.mark.parametrize(
    "error", [Unavailable("not now"), NotSent("no"), RateLimited("wait"), AuthRefused("no"), RequestInvalid("405")]
)
async def test_a_run_ends_the_same_if_the_vendor_does_not_list_its_schemas(error: Exception) -> None:
    bench = Bench({"a.csv": b"1"})
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    bench.vendor.names_error = error
    result = await bench.run()
    assert result.held_schemas == ["schema 's1' (route all) does not exist"]
    assert result.missing_schemas == ("schema 's1' (route all) does not exist",)


@pytest.mark.parametrize("asked", [None, Unavailable("not now"), RequestInvalid("405"), AuthRefused("not yours")])
async def test_a_404_to_one_create_alone_is_not_a_missing_schema(asked: Exception | None) -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1))
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    bench.vendor.schema_script.extend([asked] * 6)
    result = await bench.run()
    assert await bench.states() == {"a.csv": "collected", "b.csv": "collected"}
    assert result.held_schemas == []


@pytest.mark.parametrize(("asked", "creates"), [(Unavailable("not now"), 2), (None, 4)])
async def test_a_schema_that_the_vendor_does_not_deny_is_missing_once_enough_creates_say_so(
    asked: Exception | None, creates: int
) -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1, create_attempts=4))
    bench.vendor.create_script.extend([SchemaNotFound("Not found.", schema_id="s1")] * 4)
    bench.vendor.schema_script.extend([asked] * 24)
    result = await bench.run()
    assert result.held_schemas == ["schema 's1' (route all): Not found."]
    assert bench.vendor.calls.count("create") == creates


async def test_trouble_that_does_not_end_defers_items_and_then_pauses_the_batch() -> None:
    bench = Bench({f"{n}.csv": b"1" for n in range(9)}, options=RunOptions(uploads=1, create_attempts=2))
    bench.vendor.create_script.extend([NotSent("refused")] * 100)
    await bench.run()
    assert set((await bench.states()).values()) == {"queued"}
    assert bench.stop.reason is StopReason.TROUBLE
    assert bench.vendor.calls.count("create") == 6


async def test_an_upload_that_had_arrived_without_an_answer_is_not_stored_twice() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}
    assert await bench.states() == {"a.csv": "collected"}


async def test_if_storage_takes_no_condition_an_upload_without_an_answer_waits_and_retrieves_before_it_repeats() -> (
    None
):
    bench = Bench(FILES)
    bench.vendor.put_script.extend([ConditionUnsupported("501"), bench.vendor.lose(OutcomeUnknown("cut"))])
    await bench.run()
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}
    assert [call for call in bench.vendor.calls if call.startswith("put")] == ["put if absent", "put"]


async def test_an_expired_url_is_renewed_by_a_retrieve() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.append(UrlExpired("expired"))
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-1"
    assert bench.vendor.calls.count("create") == 1


async def test_a_url_that_cannot_be_renewed_is_given_up_behind_a_fence_and_its_import_stays_taken() -> None:
    bench = Bench(FILES)
    await bench.leave_expired("a.csv")
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, "import-2")
    assert bench.vendor.received == {"import-2": [FILES["a.csv"]]}
    assert await bench.ledger.owners(["import-1"]) == {"import-1": (BATCH_ID, "a.csv")}
    assert bench.clock.ticks() >= 60 + RunOptions().settle_s


async def test_an_import_that_waits_to_be_given_up_keeps_no_upload_waiting() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1))
    import_id = await bench.leave_uploading("a.csv")
    retrieve = bench.vendor.retrieve

    async def without_url(wanted: str) -> RemoteImport:
        found = await retrieve(wanted)
        return replace(found, upload_url=None) if wanted == import_id else found

    bench.vendor.retrieve = without_url  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected", "b.csv": "collected"}
    history = await bench.ledger.history(BATCH_ID, "b.csv")
    assert history[-1].at - history[0].at < timedelta(minutes=1)
    assert bench.clock.ticks() > 1800


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=400)])
async def test_a_url_that_is_seconds_old_is_tried_whatever_the_vendors_date_says(ahead: timedelta) -> None:
    bench = Bench({f"{n}.csv": b"%d" % n for n in range(8)})
    bench.date_ahead = ahead
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert len(bench.vendor.created) == 8


async def test_a_url_that_storage_calls_expired_while_the_vendor_keeps_giving_it_makes_its_item_wait_and_no_other() -> (
    None
):
    bench = Bench({f"{n}.csv": b"%d" % n for n in range(9)}, options=RunOptions(uploads=2))
    bench.vendor.renews_urls = False
    put, tried_at = bench.vendor.put, defaultdict[str, list[float]](list)

    async def refuse_some(url: str, body: Body, *, only_if_absent: bool) -> bool:
        import_id = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        tried_at[import_id].append(bench.clock.ticks())
        if import_id in {"import-2", "import-3", "import-4", "import-5"}:
            raise UrlExpired("Request has expired")
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = refuse_some  # type: ignore[method-assign]
    result = await bench.run()
    states = await bench.states()
    assert sorted(states.values()) == ["collected"] * 5 + ["created"] * 4
    assert bench.stop.reason is None
    assert result.deferred == 4
    assert all("expired" in why for why in result.reasons.values())
    assert len(bench.vendor.created) == 9
    for tries in (tried_at[f"import-{n}"] for n in range(2, 6)):
        assert 900 - 120 <= tries[-1] - tries[0] <= 901
        assert all(later - earlier >= 10 for earlier, later in pairwise(tries))
        assert len(tries) < 20


async def test_storage_that_is_down_for_ten_minutes_makes_items_wait_and_no_more_imports_than_can_wait() -> None:
    bench = Bench({f"{n:03}.csv": b"%d" % n for n in range(100)}, options=RunOptions(uploads=4))
    put, waiting = bench.vendor.put, 0

    async def refuse_at_first(url: str, body: Body, *, only_if_absent: bool) -> bool:
        nonlocal waiting
        if bench.clock.ticks() < 600:
            waiting = len(bench.vendor.created)
            raise NotSent("cannot connect to storage")
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = refuse_at_first  # type: ignore[method-assign]
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert waiting <= WAITING_MOST + 4
    assert len(bench.vendor.created) == 100


async def test_storage_that_ignores_the_condition_gets_no_file_twice() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    bench.vendor.honors_condition = False
    bench.vendor.put_script.extend([bench.vendor.lose(OutcomeUnknown("cut")), OutcomeUnknown("cut")])
    await bench.run()
    assert sorted(len(bodies) for bodies in bench.vendor.received.values()) == [1, 1]
    assert set((await bench.states()).values()) == {"collected"}


async def test_the_ledger_has_no_status_that_the_vendor_never_said() -> None:
    bench = Bench(FILES)
    said: set[str | None] = {None, "AWAITING_UPLOAD"}
    advance = bench.ledger.advance

    async def record(item: Item, *args: object, **changes: object) -> Item:
        assert changes.get("status") in said | {found.status for found in bench.vendor.imports.values()}
        return await advance(item, *args, **changes)  # type: ignore[arg-type]

    bench.ledger.advance = record  # type: ignore[method-assign, assignment]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_a_refused_upload_fails_the_item() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.append(UploadRefused("storage refused: EntityTooLarge"))
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "upload_refused"


@pytest.mark.parametrize("refusals", [1, 3])
async def test_an_upload_that_storage_refuses_for_a_while_arrives(refusals: int) -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([UploadRefused("HTTP 403 AccessDenied", may_pass=True)] * refusals)
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert bench.vendor.calls.count("create") == 1


async def test_an_upload_that_storage_refuses_over_and_over_fails() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([UploadRefused("HTTP 403 AccessDenied", may_pass=True)] * 20)
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "upload_refused"
    assert sum(call.startswith("put") for call in bench.vendor.calls) == 4
    assert 40 < bench.clock.ticks() < 120


async def test_an_upload_that_storage_refuses_for_a_while_waits_outside_the_workers() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}, options=RunOptions(uploads=1))
    put = bench.vendor.put
    times: list[float] = []

    async def refuse_a(url: str, body: Body, *, only_if_absent: bool) -> bool:
        times.append(bench.clock.ticks())
        if "import-1" in url:
            raise UploadRefused("HTTP 403 AccessDenied", may_pass=True)
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = refuse_a  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "failed", "b.csv": "collected"}
    assert times[1] - times[0] < 1
    assert 42 <= times[-1] - times[0] < 60


async def test_a_later_run_counts_on_how_often_storage_refused_an_upload() -> None:
    bench = Bench({"a.csv": b"x\n1\n"})
    bench.vendor.put_script.extend([UploadRefused("HTTP 403 AccessDenied", may_pass=True)] * 20)
    run = asyncio.ensure_future(bench.run())
    await asyncio.sleep(5)
    bench.stop.request(StopReason.INTERRUPTED, "stopped")
    await run
    assert await bench.states() == {"a.csv": "created"}
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "upload_refused"
    assert len([call for call in bench.vendor.calls if call.startswith("put")]) == 4


async def test_a_stop_ends_the_wait_for_storage_that_refuses() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([UploadRefused("HTTP 403 AccessDenied", may_pass=True)] * 20)
    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(15)
    bench.stop.request(StopReason.TERMINATED, "stopped")
    await running
    assert await bench.states() == {"a.csv": "created"}


async def test_a_file_that_changes_while_it_is_uploaded_is_rejected() -> None:
    bench = Bench(FILES)
    put = bench.vendor.put

    async def change_and_put(*args: object, **options: object) -> bool:
        bench.source.files["a.csv"] = b"other"
        return await put(*args, **options)  # type: ignore[arg-type]

    bench.vendor.put = change_and_put  # type: ignore[method-assign]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code) == (ItemState.REJECTED, "changed_while_read")
    assert bench.vendor.received == {}


async def test_a_file_that_changed_since_its_create_gets_an_import_of_its_own() -> None:
    bench = Bench(FILES)
    bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.~aaaaaaaaaaaaa.csv"))
    await bench.leave("a.csv", ItemState.CREATED, import_id="import-1", fingerprint="sha256:old")
    await bench.run()
    assert bench.vendor.received == {"import-2": [FILES["a.csv"]]}


async def test_json_rows_go_with_the_create_and_are_never_uploaded() -> None:
    bench = Bench(ROWS)
    task = bench.run()
    bench.vendor.create_script.append(None)
    add = bench.vendor.add
    bench.vendor.add = lambda request: add(request, status="SUCCESSFUL")  # type: ignore[method-assign, misc]
    await task
    assert bench.vendor.created[0].initial_data == ROWS["a.json"]
    assert bench.vendor.created[0].original_filename is None
    assert bench.vendor.received == {}
    assert await bench.states() == {"a.json": "collected"}


async def test_the_same_content_collected_before_is_skipped_though_the_file_was_touched() -> None:
    bench = Bench(FILES)
    await bench.run()
    duplicate = await bench.item("a.csv")
    assert (await bench.ledger.by_tag([str(duplicate.tag)]))[str(duplicate.tag)][0].state is ItemState.COLLECTED

    bench.source.files["b.csv"] = b"2"
    entries = [entry async for chunk in bench.source.entries() for entry in chunk]
    assert [entry.source for entry in entries] == ["a.csv", "b.csv"]
    await bench.run()
    assert len(bench.vendor.created) == 2


async def test_an_import_that_is_gone_before_its_data_was_sent_is_created_again() -> None:
    bench = Bench(FILES)
    orphan = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag('a.csv')}.csv"))
    await bench.leave("a.csv", ItemState.CREATING, tag=bench.tag("a.csv"))
    retrieve = bench.vendor.retrieve

    async def delete_first(import_id: str) -> object:
        bench.vendor.imports.pop(orphan.import_id, None)
        return await retrieve(import_id)

    bench.vendor.retrieve = delete_first  # type: ignore[method-assign, assignment]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, "import-2")


async def test_an_import_that_only_the_list_shows_is_left_to_a_later_run_and_no_other_is_made() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([UrlExpired("Request has expired")] * 100)

    async def retrieve(_: str) -> RemoteImport:
        raise ImportNotFound("Not found.")

    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    result = await bench.run()
    assert await bench.states() == {"a.csv": "created"}
    assert len(bench.vendor.created) == 1
    assert result.reasons == {"a.csv": "the vendor does not find the import, but its list shows it"}
    assert 900 <= bench.clock.ticks() < 1000


async def test_an_import_that_is_gone_and_may_have_got_the_data_fails_its_item() -> None:
    bench = Bench(FILES)
    await bench.leave(
        "a.csv", ItemState.CREATED, import_id="gone", fingerprint=f"sha256:{sha256(FILES['a.csv']).hexdigest()}"
    )
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "import_missing"
    assert bench.vendor.created == []


@pytest.mark.parametrize("refusal", [UploadRefused("storage refuses the upload (HTTP 403)"), SourceChanged()])
async def test_a_repeated_upload_that_is_refused_may_have_arrived_the_first_time(refusal: Exception) -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([bench.vendor.lose(OutcomeUnknown("cut")), refusal])
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


@pytest.mark.parametrize("code", ["not_found", "unreadable", "changed_while_read"])
async def test_a_file_that_cannot_be_read_any_more_is_rejected_and_stops_no_other(code: str) -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(uploads=1))
    bench.vendor.put_script.append(ItemRejected(code, "gone"))
    await bench.run()
    assert await bench.states() == {"a.csv": "rejected", "b.csv": "collected"}
    assert (await bench.item("a.csv")).error_code == code


async def test_a_refused_upload_whose_first_try_shows_up_late_has_arrived() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([OutcomeUnknown("cut"), UploadRefused("storage refuses the upload (HTTP 403)")])
    retrieve = bench.vendor.retrieve

    async def arrive_after_a_minute(import_id: str) -> RemoteImport:
        if bench.clock.ticks() > 60:
            bench.vendor.change(import_id, status="SUCCESSFUL")
        return await retrieve(import_id)

    bench.vendor.retrieve = arrive_after_a_minute  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_what_the_vendor_refuses_to_say_of_one_import_does_not_stop_the_others() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await bench.leave("a.csv", ItemState.CREATED, import_id="odd", fingerprint="sha256:x")
    retrieve = bench.vendor.retrieve

    async def refuse_one(import_id: str) -> RemoteImport:
        if import_id == "odd":
            raise RequestInvalid("HTTP 400")
        return await retrieve(import_id)

    bench.vendor.retrieve = refuse_one  # type: ignore[method-assign]
    result = await bench.run()
    assert await bench.states() == {"a.csv": "created", "b.csv": "collected"}
    assert result.deferred == 1


async def test_data_for_an_import_that_a_lost_ledger_may_have_sent_already_waits_where_storage_takes_no_condition() -> (
    None
):
    bench = Bench(FILES)
    orphan = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag('a.csv')}.csv"))
    bench.vendor.put_script.append(ConditionUnsupported("501"))
    retrieve = bench.vendor.retrieve

    async def show_late(import_id: str) -> RemoteImport:
        if bench.clock.ticks() > 60:
            bench.vendor.change(orphan.import_id, status="SUCCESSFUL")
        return await retrieve(import_id)

    bench.vendor.retrieve = show_late  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert [call for call in bench.vendor.calls if call.startswith("put")] == ["put if absent"]


async def test_an_import_made_for_another_schema_than_the_route_names_now_gets_no_data() -> None:
    bench = Bench(FILES)
    old = bench.vendor.add(CreateRequest(schema_id="old", original_filename="a.~aaaaaaaaaaaaa.csv"))
    await bench.leave(
        "a.csv",
        ItemState.CREATED,
        import_id=old.import_id,
        binding="another",
        fingerprint=f"sha256:{sha256(FILES['a.csv']).hexdigest()}",
    )
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id, item.schema_id) == (ItemState.COLLECTED, "import-2", "s1")
    assert list(bench.vendor.received) == ["import-2"]


async def test_a_refused_upload_to_an_import_that_is_gone_makes_another() -> None:
    bench = Bench(FILES)
    put, refusals = bench.vendor.put, iter(range(1))

    async def delete_and_refuse(*args: object, **options: object) -> bool:
        if next(refusals, None) is not None:
            bench.vendor.imports.clear()
            raise UploadRefused("storage refuses the upload (HTTP 404 NoSuchBucket)")
        return await put(*args, **options)  # type: ignore[arg-type]

    bench.vendor.put = delete_and_refuse  # type: ignore[method-assign]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, "import-2")


async def run_twice(bench: Bench) -> Item:
    """Run two batches of the same files at once; returns what became of `a.csv` in the second."""
    batches = [await bench.start(), replace(await bench.batch(), batch_id="b2")]
    await bench.ledger.start_batch(batches[1])
    await asyncio.gather(*(run_batch(batch, bench.context()) for batch in batches))
    second = await bench.ledger.item("b2", "a.csv")
    assert second is not None
    return second


@pytest.mark.parametrize("again", [False, True])
async def test_two_runs_that_send_the_same_content_at_once_create_it_once_unless_again(again: bool) -> None:
    bench = Bench(FILES, options=RunOptions(again=again))
    second = await run_twice(bench)
    assert len(bench.vendor.created) == (2 if again else 1)
    states = sorted([(await bench.item("a.csv")).state, second.state])
    assert states == (["collected", "collected"] if again else ["collected", "skipped"])
