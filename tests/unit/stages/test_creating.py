"""Creating: which tries count as attempts, which import may be taken for a lost create's, and what a stop leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.config.routes import Route, Routes
from runner.errors import (
    AuthRefused,
    BulkheadError,
    DuplicatePending,
    ForeignImports,
    ItemRejected,
    LedgerReplaced,
    NotSent,
    OutcomeUnknown,
    RequestInvalid,
    SchemaNotFound,
    StorageFull,
    TagInUse,
    Unavailable,
)
from runner.events import Notice
from runner.models import CreateRequest, ImportPage, Item, ItemKind, ItemState, RemoteImport
from runner.protocols import Body, Prepared
from runner.stages.factory import Stages
from runner.stages.submit import SubmitOutcome, SubmitResult
from runner.stages.transitions import Transitions
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}


async def test_a_permit_that_grew_old_while_the_intent_was_written_is_not_used_and_costs_no_attempt() -> None:
    bench = Bench(FILES)
    advance, slow = bench.ledger.advance, [10.0]

    async def slow_once(item: Item, state: ItemState, **changes: object) -> Item:
        if state is ItemState.CREATING and slow:
            await asyncio.sleep(slow.pop())
        return await advance(item, state, **changes)  # type: ignore[arg-type]

    bench.ledger.advance = slow_once  # type: ignore[method-assign, assignment]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.attempts) == (ItemState.COLLECTED, 1)
    assert bench.vendor.calls.count("create") == 1
    assert await bench.context().pacer.free_slots() == 19


@pytest.mark.parametrize(
    ("made_before", "creates"),
    [(timedelta(0), 1), (timedelta(minutes=2), 1), (timedelta(minutes=2, seconds=1), 2), (None, 2)],
)
async def test_again_an_import_is_taken_for_the_lost_create_only_if_it_can_have_been_made_by_it(
    made_before: timedelta | None, creates: int
) -> None:
    bench = Bench(FILES, options=RunOptions(again=True))
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    add = bench.vendor.add

    def dated(request: CreateRequest) -> RemoteImport:
        made = add(request)
        bench.vendor.change(made.import_id, created_at=None if made_before is None else made.created_at - made_before)  # type: ignore[operator]
        return bench.vendor.imports[made.import_id]

    bench.vendor.add = dated  # type: ignore[method-assign, assignment]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert len(bench.vendor.created) == creates


async def test_again_an_earlier_import_of_the_same_content_is_left_alone() -> None:
    bench = Bench(FILES, options=RunOptions(again=True))
    earlier = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag('a.csv')}.csv"))
    await bench.run()
    assert (await bench.item("a.csv")).import_id != earlier.import_id


async def test_a_lost_create_is_repeated_if_the_list_cannot_be_read() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    list_page = bench.vendor.list_page

    async def unavailable_at_first(*, limit: int, offset: int) -> ImportPage:
        if len(bench.vendor.created) == 1:
            raise Unavailable("HTTP 503")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = unavailable_at_first  # type: ignore[method-assign]
    await bench.run()
    assert bench.vendor.received == {"import-2": [FILES["a.csv"]]}


async def test_a_lost_create_that_took_minutes_is_found_behind_imports_that_were_made_meanwhile() -> None:
    bench = Bench(FILES)
    create, list_page = bench.vendor.create, bench.vendor.list_page

    async def lost_after_minutes(request: CreateRequest) -> RemoteImport:
        await create(request)
        await asyncio.sleep(10)
        bench.vendor.add(CreateRequest(schema_id="s1", original_filename="other.csv"))
        await asyncio.sleep(300)
        raise OutcomeUnknown("cut")

    async def one_a_page(*, limit: int, offset: int) -> ImportPage:
        return await list_page(limit=1, offset=offset)

    bench.vendor.create = lost_after_minutes  # type: ignore[method-assign]
    bench.vendor.list_page = one_a_page  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-1"
    assert bench.vendor.calls.count("create") == 1


async def test_a_stop_while_creates_wait_for_the_quota_leaves_their_items_queued() -> None:
    bench = Bench({f"{number:02}.csv": b"%d" % number for number in range(25)}, options=RunOptions(uploads=25))
    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(5)
    bench.stop.request(StopReason.INTERRUPTED)
    result = await running
    states = list((await bench.states()).values())
    assert (states.count("queued"), len(bench.vendor.created)) == (5, 20)
    assert result.deferred == 0


@pytest.mark.parametrize("waits", [False, True])
async def test_a_permit_that_comes_as_the_run_stops_is_given_back(waits: bool) -> None:
    bench = Bench(FILES)
    context = bench.context()
    permit = context.pacer.permit

    async def stop_then() -> object:
        granted = await permit()
        bench.stop.request(StopReason.INTERRUPTED)
        return granted

    async def none_now() -> None:
        return None

    context.pacer.permit_now = none_now if waits else stop_then  # type: ignore[method-assign, assignment]
    context.pacer.permit = stop_then  # type: ignore[method-assign, assignment]
    bench.context = lambda: context  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "queued"}
    assert await context.pacer.free_slots() == 20


JSON = {f"{name}.json": b'[{"x":"%s"}]' % name.encode() for name in "abc"}
OUTCOMES = SubmitOutcome


class Submitting:
    """Submits single items of a bench, as a function does."""

    def __init__(self, bench: Bench, **changes: Any) -> None:
        self.bench = bench
        self.context = replace(bench.context(), **changes)
        transitions = Transitions(bench.ledger, clock=bench.clock, emit=bench.events.append, by_state={})
        self.stages = Stages(self.context, transitions)

    async def submit(self, source: str) -> SubmitResult:
        if await self.bench.ledger.batch(BATCH_ID) is None:
            await self.bench.start()
        kind = ItemKind.JSON if source.endswith(".json") else ItemKind.FILE
        await self.bench.ledger.add([Item(batch_id=BATCH_ID, source=source, kind=kind)])
        return await self.stages.submitter.submit(await self.bench.item(source))


async def test_an_item_that_is_uploaded_or_rejected_has_advanced() -> None:
    bench = Bench({"a.csv": b"1", "b.txt": b"2"}, routes=Routes([Route(name="r", match="*.csv", schema_id="s1")]))
    submitting = Submitting(bench)
    results = [await submitting.submit(source) for source in ("a.csv", "b.txt")]
    assert [(one.outcome, one.item.state, one.reason) for one in results] == [
        (OUTCOMES.ADVANCED, ItemState.PROCESSING, ""),
        (OUTCOMES.ADVANCED, ItemState.REJECTED, ""),
    ]
    assert submitting.stages.uploader.bytes_uploaded == 1


async def test_items_of_a_missing_schema_stay_queued_with_a_sentence_and_only_one_is_sent() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    submitting = Submitting(bench)
    sentence = "schema 's1' (route all) does not exist; this account has: no saved schemas"
    results = [await submitting.submit(source) for source in ("a.csv", "b.csv")]
    assert [(one.outcome, one.item.state, one.reason) for one in results] == [
        (OUTCOMES.SCHEMA_MISSING, ItemState.QUEUED, sentence),
        (OUTCOMES.SCHEMA_MISSING, ItemState.QUEUED, sentence),
    ]
    assert bench.vendor.calls.count("create") == 1


async def test_an_item_waits_for_a_permit_only_as_long_as_it_may() -> None:
    bench = Bench({f"{number:02}.csv": b"%d" % number for number in range(21)}, options=RunOptions(permit_wait_s=5.0))
    submitting = Submitting(bench)
    for source in sorted(bench.files)[:20]:
        await submitting.submit(source)
    began_at = bench.clock.ticks()
    result = await submitting.submit("20.csv")
    assert (result.outcome, result.item.state) == (OUTCOMES.NO_PERMIT, ItemState.QUEUED)
    assert bench.clock.ticks() - began_at == pytest.approx(5.0, abs=0.1)
    await asyncio.sleep(70)
    assert await submitting.context.pacer.free_slots() == 20


async def test_an_item_that_no_create_took_is_not_created_and_one_that_a_stop_keeps_back_is_unfinished() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"}, options=RunOptions(create_attempts=2))
    bench.vendor.create_script.extend([NotSent("refused")] * 2)
    submitting = Submitting(bench)
    results = [await submitting.submit("a.csv")]
    bench.stop.request(StopReason.INTERRUPTED)
    results.append(await submitting.submit("b.csv"))
    assert [(one.outcome, one.item.state) for one in results] == [
        (OUTCOMES.NOT_CREATED, ItemState.QUEUED),
        (OUTCOMES.UNFINISHED, ItemState.QUEUED),
    ]
    history = await bench.ledger.history(BATCH_ID, "a.csv")
    assert [entry.reason for entry in history[1:]] == [
        "create attempt 1",
        "create attempt 2",
        "no create succeeded in 2 attempts",
    ]


@pytest.mark.parametrize(
    ("size", "most", "is_apart"), [(4, 3, True), (4, 4, False), (4, None, False), (None, 0, False), (1, 0, True)]
)
async def test_a_file_is_uploaded_apart_if_it_is_larger_than_what_is_uploaded_together_with_a_create(
    size: int | None, most: int | None, *, is_apart: bool
) -> None:
    submitting = Submitting(Bench(FILES, options=RunOptions(upload_apart_bytes=most)))
    item = Item(batch_id=BATCH_ID, source="a.csv", size_bytes=size)
    assert submitting.stages.submitter.is_apart(item) is is_apart


async def test_while_the_outcome_of_a_json_create_is_unknown_files_and_other_schemas_go_on() -> None:
    routes = Routes([Route(name="c", match="c.json", schema_id="s2"), Route(name="r", schema_id="s1")])
    bench = Bench({**JSON, **FILES}, routes=routes)
    bench.vendor.create_script.append(OutcomeUnknown("cut"))
    submitting = Submitting(bench)
    results = [await submitting.submit(source) for source in ("a.json", "b.json", "c.json", "a.csv")]
    assert [(one.outcome, one.item.state) for one in results] == [
        (OUTCOMES.OUTCOME_UNKNOWN, ItemState.CREATING),
        (OUTCOMES.HELD_BACK, ItemState.QUEUED),
        (OUTCOMES.ADVANCED, ItemState.PROCESSING),
        (OUTCOMES.ADVANCED, ItemState.PROCESSING),
    ]
    assert bench.vendor.calls.count("create") == 3


async def test_json_items_that_wait_for_their_turn_are_held_back_once_the_outcome_of_the_first_is_unknown() -> None:
    bench = Bench(JSON)
    create = bench.vendor.create

    async def slowly(request: CreateRequest) -> RemoteImport:
        await asyncio.sleep(10)
        await create(request)
        raise OutcomeUnknown("cut")

    bench.vendor.create = slowly  # type: ignore[method-assign]
    submitting = Submitting(bench)
    results = await asyncio.gather(*map(submitting.submit, ("a.json", "b.json")))
    assert [one.outcome for one in results] == [OUTCOMES.OUTCOME_UNKNOWN, OUTCOMES.HELD_BACK]
    assert len(bench.vendor.created) == 1


async def test_json_that_a_lost_ledger_may_have_sent_waits_for_a_person_and_is_told_once() -> None:
    bench = Bench({**JSON, **FILES})
    bench.vendor.add(CreateRequest(schema_id="s1", initial_data=b"[]"))
    submitting = Submitting(bench)
    results = [await submitting.submit(source) for source in ("a.json", "b.json", "a.csv")]
    outcomes = [OUTCOMES.JSON_IN_DOUBT, OUTCOMES.HELD_BACK, OUTCOMES.ADVANCED]
    assert [one.outcome for one in results] == outcomes
    (notice,) = [event for event in bench.events if isinstance(event, Notice)]
    assert (notice.code, notice.message) == ("json_in_doubt", results[0].reason)
    assert bench.vendor.calls.count("create") == 1


class Refusing:
    """A gate that lets nothing through."""

    async def admit(self, _item: Item, _route: Route) -> None:
        raise ItemRejected("check_failed", "3 rows would be left out")


async def test_what_the_gate_refuses_is_rejected_and_not_created() -> None:
    bench = Bench(FILES)
    result = await Submitting(bench, gate=Refusing()).submit("a.csv")
    assert (result.outcome, result.item.state) == (OUTCOMES.ADVANCED, ItemState.REJECTED)
    assert (result.item.error_code, result.item.error_message) == ("check_failed", "3 rows would be left out")
    assert bench.vendor.calls.count("create") == 0


async def unreadable(_item: Item) -> Prepared:
    raise ItemRejected("unreadable", "it cannot be read")


async def test_a_file_that_cannot_be_prepared_is_rejected() -> None:
    bench = Bench(FILES)
    bench.source.prepare = unreadable  # type: ignore[method-assign]
    result = await Submitting(bench).submit("a.csv")
    assert (result.item.state, result.item.error_code) == (ItemState.REJECTED, "unreadable")


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_file_that_cannot_be_read_any_more_is_rejected_unless_its_data_arrives_late(arrives: bool) -> None:
    bench = Bench(FILES)
    import_id = await bench.leave_uploading("a.csv")
    bench.source.prepare = unreadable  # type: ignore[method-assign]
    if arrives:
        asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(import_id, status="RUNNING"))
    result = await Submitting(bench).stages.submitter.upload(await bench.item("a.csv"))
    assert result.item.state is (ItemState.PROCESSING if arrives else ItemState.REJECTED)
    assert bench.clock.ticks() >= bench.options.settle_s


async def test_an_import_that_belongs_to_another_item_is_not_bound_and_the_create_is_repeated() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    submitting = Submitting(bench)
    first = (await submitting.submit("a.csv")).item
    create, again = bench.vendor.create, [bench.vendor.imports["import-1"]]

    async def the_first_again(request: CreateRequest) -> RemoteImport:
        return again.pop() if again else await create(request)

    bench.vendor.create = the_first_again  # type: ignore[method-assign]
    second = (await submitting.submit("b.csv")).item
    assert (first.import_id, second.import_id, second.state) == ("import-1", "import-2", ItemState.PROCESSING)
    assert bench.vendor.received == {"import-1": [b"1"], "import-2": [b"2"]}


async def test_without_tags_in_names_an_import_with_the_items_tag_is_not_adopted() -> None:
    bench = Bench(FILES, options=RunOptions(filename_tag=False))
    bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag('a.csv')}.csv"))
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-2"


@pytest.mark.parametrize(
    "error",
    [
        ForeignImports("another ledger"),
        LedgerReplaced("the ledger is gone"),
        AuthRefused("401"),
        Unavailable("502"),
        RequestInvalid("400"),
    ],
)
async def test_what_prevents_a_create_gives_its_permit_back(error: BulkheadError) -> None:
    bench = Bench(FILES)

    async def prevent(_tag: str, _source: str) -> None:
        raise error

    submitting = Submitting(bench, before_create=prevent)
    with pytest.raises(type(error)):
        await submitting.submit("a.csv")
    assert await submitting.context.pacer.free_slots() == 20
    assert bench.vendor.calls.count("create") == 0


@pytest.mark.parametrize(
    ("looks", "outcome", "state"),
    [
        ([None, Unavailable("502"), None], OUTCOMES.ADVANCED, ItemState.PROCESSING),
        ([None, *[Unavailable("502")] * 99], OUTCOMES.NOT_CREATED, ItemState.QUEUED),
    ],
    ids=["once", "always"],
)
async def test_a_look_that_fails_between_two_creates_of_an_item_is_a_try_and_the_item_is_handed_on_as_it_is(
    looks: list[Exception | None], outcome: SubmitOutcome, state: ItemState
) -> None:
    bench, left = Bench(FILES), list(looks)
    bench.vendor.create_script.append(NotSent("refused"))

    async def look(_tag: str, _source: str) -> None:
        if (error := left.pop(0)) is not None:
            raise error

    submitting = Submitting(bench, before_create=look)
    result = await submitting.submit("a.csv")
    assert (result.outcome, result.item.state) == (outcome, state)
    assert result.item == await bench.item("a.csv")
    assert await submitting.context.pacer.free_slots() == (19 if state is ItemState.PROCESSING else 20)


@pytest.mark.parametrize("error", [StorageFull("disk full"), ForeignImports("another ledger")])
async def test_what_ends_the_run_also_does_so_between_two_creates_of_an_item(error: BulkheadError) -> None:
    bench, left = Bench(FILES), [None, error]
    bench.vendor.create_script.append(NotSent("refused"))

    async def look(_tag: str, _source: str) -> None:
        if (raised := left.pop(0)) is not None:
            raise raised

    with pytest.raises(type(error)):
        await Submitting(bench, before_create=look).submit("a.csv")


async def test_an_item_whose_tag_another_claims_first_gives_its_permit_back_and_looks_again() -> None:
    bench = Bench(FILES)
    advance, refusals = bench.ledger.advance, [TagInUse("another item has the tag")]

    async def refused_once(item: Item, state: ItemState, **changes: object) -> Item:
        if state is ItemState.CREATING and refusals:
            raise refusals.pop()
        return await advance(item, state, **changes)  # type: ignore[arg-type]

    bench.ledger.advance = refused_once  # type: ignore[method-assign, assignment]
    submitting = Submitting(bench)
    assert (await submitting.submit("a.csv")).item.state is ItemState.PROCESSING
    assert await submitting.context.pacer.free_slots() == 19


async def test_json_counts_as_uploaded_when_its_import_was_made_and_a_file_only_when_it_was_stored() -> None:
    bench = Bench({**JSON, **FILES})
    put = bench.vendor.put

    async def late(url: str, body: Body, *, only_if_absent: bool) -> bool:
        assert (await bench.item("a.csv")).uploaded_at is None
        await asyncio.sleep(30)
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = late  # type: ignore[method-assign]
    submitting = Submitting(bench)
    json, file = [(await submitting.submit(source)).item for source in ("a.json", "a.csv")]
    assert json.uploaded_at == json.created_at
    assert file.uploaded_at is not None
    assert file.created_at is not None
    assert file.uploaded_at - file.created_at >= timedelta(seconds=30)


async def test_data_that_an_earlier_run_may_have_sent_is_given_a_moment_to_show_before_it_is_sent() -> None:
    bench = Bench(FILES)
    bench.vendor.honors_condition = False
    import_id = await bench.leave_uploading("a.csv")
    asyncio.get_running_loop().call_later(2, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert bench.vendor.received == {}


@pytest.mark.parametrize(
    ("state", "is_pending"), [(ItemState.CREATING, True), (ItemState.CREATED, True), (ItemState.PROCESSING, False)]
)
async def test_content_that_another_batch_is_about_to_send_is_waited_for_and_what_it_sent_is_skipped(
    state: ItemState, is_pending: bool
) -> None:
    bench = Bench(FILES)
    submitting = Submitting(bench)
    other = replace(await bench.start(), batch_id="other")
    await bench.ledger.start_batch(other)
    await bench.ledger.add([Item(batch_id="other", source="a.csv", state=state, tag=bench.tag("a.csv"))])
    if is_pending:
        with pytest.raises(DuplicatePending):
            await submitting.submit("a.csv")
    else:
        await submitting.submit("a.csv")
    assert (await bench.item("a.csv")).state is (ItemState.QUEUED if is_pending else ItemState.SKIPPED)
    assert bench.vendor.calls.count("create") == 0


@pytest.mark.parametrize("dated", [True, False])
async def test_an_item_has_the_date_that_the_vendor_gave_its_import_and_else_the_vendors_time(dated: bool) -> None:
    bench = Bench(FILES)
    add, made_at = bench.vendor.add, bench.clock.now() - timedelta(seconds=50)

    def with_date(request: CreateRequest) -> RemoteImport:
        made = add(request)
        bench.vendor.change(made.import_id, created_at=made_at if dated else None)
        return bench.vendor.imports[made.import_id]

    bench.vendor.add = with_date  # type: ignore[method-assign, assignment]
    created_at = (await Submitting(bench).submit("a.csv")).item.created_at
    assert created_at is not None
    assert (abs(created_at - made_at) < timedelta(seconds=1)) is dated
