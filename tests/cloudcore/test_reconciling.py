"""Every few minutes: lost messages, dead functions, lost webhooks and past days leave nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runner.cloud import reconcile
from runner.cloud.messages import BatchRef, ImportHint, ItemRef, ListPage, StartLoad
from runner.cloud.protocols import Queue
from runner.config.run_spec import RunSpec
from runner.errors import AuthRefused, Unavailable
from runner.models import BatchState, Item, ItemKind, ItemState
from sandbox.api_state import SandboxSettings
from tests.cloudcore.bench import Bench
from tests.cloudcore.bucket import BucketSource
from tests.support.inputs import Fate

pytestmark = pytest.mark.virtual_time

ORDERS = "landed-20260701-orders"


async def landed(bench: Bench, *names: str, fate: Fate = "good") -> None:
    """Take files as far as the vendor; nobody notices when their imports end."""
    await bench.configured()
    for name in names:
        await bench.do(Queue.SUBMIT, bench.drop(f"orders/{name}", fate=fate))


async def moved(bench: Bench, source: str, *states: ItemState, **changes: Any) -> Item:
    """Move an item of the rolling batch, added where it is missing."""
    await bench.ledger.add([Item(batch_id=ORDERS, source=source)])
    item = await bench.ledger.item(ORDERS, source)
    assert item is not None
    for state in states:
        item = await bench.ledger.advance(item, state, reason="moved", **changes)
    return item


async def test_a_lost_webhook_is_noticed_and_one_that_arrived_is_not_enqueued_again(bench: Bench) -> None:
    await landed(bench, "a.csv", "b.csv")
    await asyncio.sleep(120)
    items = await bench.items()
    await bench.do(Queue.COLLECT, ImportHint(import_id=items["orders/b.csv"].import_id or ""))
    await bench.reconcile()
    assert bench.take(Queue.COLLECT) == [ImportHint(import_id=items["orders/a.csv"].import_id or "")]


@pytest.mark.plan(settings=SandboxSettings(running_s=1000.0))
async def test_an_import_that_is_still_running_is_not_enqueued(bench: Bench) -> None:
    await landed(bench, "a.csv")
    await bench.reconcile()
    assert bench.take(Queue.COLLECT) == []


async def test_an_import_that_is_gone_is_asked_for_itself(bench: Bench) -> None:
    await landed(bench, "a.csv")
    (item,) = (await bench.items()).values()
    bench.vendor.state.delete(item.import_id or "", bench.vendor.now())
    await bench.reconcile()
    await bench.work_off()
    assert (await bench.items())["orders/a.csv"].error_code == "import_missing"


@pytest.mark.parametrize(
    ("pause_s", "states"),
    [
        (150, ["processing", "processing", "failed"]),
        (60, ["processing"] * 5 + ["failed"]),
        (3600, ["processing", "processing", "failed"]),
    ],
)
async def test_an_import_is_gone_after_three_answers_over_five_minutes_whichever_function_asks(
    bench: Bench, pause_s: float, states: list[str]
) -> None:
    await landed(bench, "a.csv")
    (item,) = (await bench.items()).values()
    bench.vendor.state.delete(item.import_id or "", bench.vendor.now())
    found = []
    for _ in states:
        await bench.reconcile()
        await bench.work_off()
        found.append((await bench.states())["orders/a.csv"])
        await asyncio.sleep(pause_s)
    assert found == states
    (item,) = (await bench.items()).values()
    assert (item.error_code, item.is_held) == ("import_missing", True)


async def test_old_reviews_are_asked_for_one_by_one_a_few_a_pass_and_each_once_an_hour(bench: Bench) -> None:
    await bench.configured()
    await landed(bench, "a.csv", fate="refused")
    for number in range(30):
        long_ago = bench.deployment.clock.now().replace(day=1, month=6)
        item = await moved(bench, f"orders/{number}.csv", ItemState.CREATING)
        item = await bench.ledger.advance(
            item, ItemState.CREATED, reason="created", import_id=f"i-{number}", created_at=long_ago
        )
        await bench.ledger.advance(item, ItemState.NEEDS_REVIEW, reason="status", status="NEEDS_REVIEW")
    asked = []
    for _ in range(3):
        await bench.reconcile()
        asked.append([message.import_id for message in bench.take(Queue.COLLECT)])  # type: ignore[union-attr]
    assert [len(passed) for passed in asked] == [20, 10, 0]
    assert len({import_id for passed in asked for import_id in passed}) == 30
    await asyncio.sleep(3600)
    await bench.reconcile()
    assert len(bench.take(Queue.COLLECT)) == 20


async def test_an_item_whose_function_died_is_enqueued_once_its_lease_has_ended(bench: Bench) -> None:
    await landed(bench, "done.csv", fate="refused")
    bench.take(Queue.FINISH)
    await moved(bench, "orders/a.csv", ItemState.CREATING, intent_at=bench.deployment.clock.now())
    await bench.leases.take(ORDERS, "orders/a.csv", holder="dead", for_s=400)
    await asyncio.sleep(300)
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == []
    await asyncio.sleep(300)
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == [ItemRef(batch_id=ORDERS, source="orders/a.csv")]


async def test_a_result_that_no_function_is_collecting_is_enqueued(bench: Bench) -> None:
    await landed(bench, "a.csv")
    (item,) = (await bench.items()).values()
    await bench.ledger.advance(item, ItemState.SUCCEEDED, reason="status SUCCESSFUL", status="SUCCESSFUL")
    await bench.reconcile()
    assert bench.take(Queue.COLLECT) == [ImportHint(import_id=item.import_id or "")]


async def test_the_item_of_a_dead_letter_is_tried_again_once_an_hour_if_its_data_is_at_the_vendor(bench: Bench) -> None:
    await landed(bench, "a.csv")
    bench.take(Queue.FINISH)
    item = await moved(bench, "orders/dead.csv", ItemState.CREATING, intent_at=bench.deployment.clock.now())
    item = await bench.ledger.advance(
        item,
        ItemState.CREATED,
        reason="created",
        import_id="i",
        created_at=bench.deployment.clock.now(),
        error_code="dead_letter",
    )
    (other,) = [one for one in (await bench.items()).values() if one.source != item.source]
    await bench.ledger.advance(
        other, ItemState.SUCCEEDED, reason="status", status="SUCCESSFUL", error_code="dead_letter"
    )
    await asyncio.sleep(300)
    for times in (1, 0):
        await bench.reconcile()
        assert bench.take(Queue.UPLOAD) == [ItemRef(batch_id=ORDERS, source="orders/dead.csv", import_id="i")] * times
        assert bench.take(Queue.COLLECT) == [ImportHint(import_id=other.bound_id)] * times


async def test_a_queued_item_is_enqueued_only_if_it_can_have_no_message(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    await moved(bench, "orders/b.csv")
    ref = ItemRef(batch_id=ORDERS, source="orders/b.csv")
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == []
    await asyncio.sleep(301)
    await bench.deployment.queues.send(Queue.SUBMIT, [BatchRef(batch_id="any")], delay_s=900)
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == [BatchRef(batch_id="any")]
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == [ref]


async def test_a_queue_that_is_never_empty_does_not_hide_for_ever_that_a_message_was_lost(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    await moved(bench, "orders/b.csv")
    for hours, enqueued in ((5.9, 0), (0.2, 1), (3, 0), (3.1, 1)):
        await asyncio.sleep(hours * 3600)
        await bench.deployment.queues.send(Queue.SUBMIT, [BatchRef(batch_id="any")], delay_s=900)
        await bench.reconcile()
        taken = [one for one in bench.take(Queue.SUBMIT) if one != BatchRef(batch_id="any")]
        assert taken == [ItemRef(batch_id=ORDERS, source="orders/b.csv")] * enqueued


async def test_a_load_whose_listing_was_given_up_is_listed_again_once_in_a_while(bench: Bench) -> None:
    await bench.configured()
    bench.drop("nightly/a.csv")
    load = StartLoad(uri="s3://inbox/nightly/", name="nightly", at=bench.deployment.clock.now())

    async def away(*_: Any) -> Any:
        raise Unavailable("S3 does not answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BucketSource, "page", away)
        for receives in range(1, 6):
            with pytest.raises(Unavailable):
                await bench.do(Queue.LIST, load, receives=receives)
    batch = await bench.batch()
    page = ListPage(batch_id=batch.batch_id)
    await bench.deployment.queues.send(Queue.LIST, [page], delay_s=900)
    await bench.reconcile()
    assert bench.take(Queue.LIST) == [page], "one is on its way"
    for times in (1, 0):
        await bench.reconcile()
        taken = [replace(one, lap=None) for one in bench.take(Queue.LIST) if isinstance(one, ListPage) and one.lap]
        assert taken == [page] * times
    await bench.do(Queue.LIST, page)
    assert (await bench.batch()).listed
    assert bench.take(Queue.LOAD) == [ItemRef(batch_id=batch.batch_id, source="a.csv")]


async def test_at_most_500_queued_items_are_enqueued_in_a_pass(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    await bench.ledger.add([Item(batch_id=ORDERS, source=f"orders/{number}.csv") for number in range(700)])
    await asyncio.sleep(301)
    await bench.reconcile()
    assert len(bench.take(Queue.SUBMIT)) == 500


@pytest.mark.parametrize("sees_newer", [True, False])
async def test_a_json_create_in_doubt_is_settled_after_its_quiet_period_once_the_list_is_new_enough(
    bench: Bench, sees_newer: bool
) -> None:
    await landed(bench, "a.json")
    bench.take(Queue.FINISH)
    doubted = Item(batch_id=ORDERS, source="orders/b.json", kind=ItemKind.JSON, schema_id="contacts")
    await bench.ledger.add([doubted])
    await bench.ledger.advance(doubted, ItemState.CREATING, reason="intent", intent_at=bench.deployment.clock.now())
    await asyncio.sleep(600)
    await bench.reconcile()
    assert (await bench.states())["orders/b.json"] == "creating"
    await asyncio.sleep(600)
    await bench.reconcile()
    assert (await bench.states())["orders/b.json"] == "creating"
    if sees_newer:
        await landed(bench, "c.json")
        bench.take(Queue.FINISH)
    else:
        await asyncio.sleep(3600)
    await bench.reconcile()
    assert (await bench.states())["orders/b.json"] == "queued"
    assert bench.take(Queue.SUBMIT) == [ItemRef(batch_id=ORDERS, source="orders/b.json")]


async def test_an_idle_batch_without_its_manifest_is_enqueued_and_one_with_it_is_not(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    bench.take(Queue.FINISH)
    await bench.reconcile()
    assert bench.post.waiting[Queue.FINISH]
    await bench.work_off()
    await bench.reconcile()
    assert bench.take(Queue.FINISH) == []


async def test_a_rolling_batch_is_closed_a_while_after_its_day(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    await asyncio.sleep(2 * 3600 + 60)
    await bench.reconcile()
    assert not (await bench.batch()).listed
    await asyncio.sleep(900)
    await bench.reconcile()
    assert (await bench.batch()).listed


async def test_the_statuses_of_a_runners_imports_are_looked_at_and_nothing_else_of_them(bench: Bench) -> None:
    await landed(bench, "a.csv")
    batch = await bench.batch()
    spec = replace(RunSpec.from_json(batch.config), driver="runner")
    await bench.ledger.update_batch(batch.batch_id, config=spec.to_json())
    await moved(bench, "orders/b.csv")
    await moved(bench, "orders/c.csv", ItemState.CREATING)
    await asyncio.sleep(600)
    await bench.reconcile()
    assert len(bench.take(Queue.COLLECT)) == 1
    assert bench.take(Queue.SUBMIT) == []
    assert bench.take(Queue.FINISH) == []


async def test_a_batch_whose_record_cannot_be_read_is_nobodys_trouble(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    bench.take(Queue.FINISH)
    await bench.ledger.start_batch(replace(await bench.batch(), batch_id="odd", config="{}"))
    await bench.reconcile()
    assert bench.take(Queue.FINISH) == [BatchRef(batch_id=ORDERS)]


async def test_the_dashboard_gets_its_figures(bench: Bench) -> None:
    await landed(bench, "a.csv")
    await landed(bench, "b.csv", fate="review")
    await asyncio.sleep(200)
    await bench.reconcile()
    await bench.work_off()
    bench.heard.figures.clear()
    await moved(bench, "orders/c.csv")
    await asyncio.sleep(3600)
    await bench.reconcile()
    figures = bench.heard.figures
    assert (figures["ReviewsWaiting"], figures["ItemsQueued"], figures["ItemsOpen"]) == (1, 1, 0)
    assert 3800 <= figures["OldestReviewAgeSeconds"] <= 3810
    assert figures["OldestOpenAgeSeconds"] == 0
    assert figures["DuplicateRisk"] == 0


async def test_an_import_that_was_given_up_and_took_data_is_counted_as_a_risk(bench: Bench) -> None:
    await landed(bench, "a.csv")
    (item,) = (await bench.items()).values()
    now = bench.vendor.now()
    body = {"schema_id": "customers", "original_filename": item.original_filename}
    other = bench.vendor.state.create(body, now)
    bench.vendor.state.put_upload(other["upload"], b'{"fate":"good"}', now)
    bench.ledger._owners[other["id"]] = (item.batch_id, item.source)
    await asyncio.sleep(60)
    await bench.reconcile()
    assert bench.heard.figures["DuplicateRisk"] == 1


async def test_with_the_vendor_down_what_needs_no_vendor_is_done_and_the_trouble_is_raised(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    bench.take(Queue.FINISH)

    async def down(**_: Any) -> Any:
        raise Unavailable("the vendor is down")

    bench.deployment.api.list_page = down  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await bench.reconcile()
    assert bench.take(Queue.FINISH) == [BatchRef(batch_id=ORDERS)]


async def test_trouble_of_one_step_keeps_no_other_from_its_work(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    bench.take(Queue.FINISH)

    async def refused(**_: Any) -> Any:
        raise AuthRefused("the license key is not accepted")

    bench.deployment.api.list_page = refused  # type: ignore[method-assign]
    with pytest.raises(AuthRefused):
        await bench.reconcile()
    assert bench.take(Queue.FINISH) == [BatchRef(batch_id=ORDERS)]


async def test_with_little_time_left_the_steps_are_left_to_the_next_pass(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    bench.take(Queue.FINISH)
    await bench.reconcile(left_s=5)
    assert bench.take(Queue.FINISH) == []


async def test_a_batch_with_only_reviews_left_is_read_once_an_hour(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="review")
    await asyncio.sleep(200)
    await bench.ledger.update_batch(ORDERS, state=BatchState.SETTLED, listed=True)
    read: list[str] = []
    counts = bench.ledger.counts

    async def noted(batch_id: str) -> dict[ItemState, int]:
        read.append(batch_id)
        return await counts(batch_id)

    bench.ledger.counts = noted  # type: ignore[method-assign]
    passes: list[int] = []
    for _ in range(24):
        read.clear()
        await bench.reconcile()
        bench.take(Queue.COLLECT)
        passes.append(len(read))
        await asyncio.sleep(300)
    assert sum(count > 0 for count in passes) == 3, "two hours and the first pass"


async def test_steps_that_wait_for_the_vendor_leave_time_for_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await landed(bench, "a.csv", fate="refused")
    await moved(bench, "orders/b.csv")
    await asyncio.sleep(301)

    async def endless(_pass: object) -> None:
        await asyncio.get_running_loop().create_future()

    for name in ("find_orphans", "find_missed_webhooks"):
        monkeypatch.setattr(reconcile._Pass, name, endless)
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == [ItemRef(batch_id=ORDERS, source="orders/b.csv")]


async def test_a_step_for_which_a_pass_has_no_time_comes_first_in_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.configured()
    done: list[str] = []

    def taking(name: str, seconds: float) -> None:
        async def step(_pass: object) -> None:
            await asyncio.sleep(seconds)
            done.append(name)

        step.__name__ = name
        monkeypatch.setattr(reconcile._Pass, name, step)

    taking("find_orphans", 250)
    taking("find_missed_webhooks", 250)
    taking("settle_lost_creates", 1)
    for _ in range(3):
        await bench.reconcile(left_s=300)
    assert done == ["find_orphans", "find_missed_webhooks", "settle_lost_creates", "find_orphans"]


async def test_a_step_that_had_no_time_at_all_stays_the_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.configured()
    done: list[str] = []
    own_s = iter([300, 300, 1] * 3)

    async def own(_pass: object) -> None:
        await asyncio.sleep(next(own_s))

    def filling(name: str) -> None:
        async def step(_pass: object) -> None:
            await asyncio.sleep(285)
            done.append(name)

        step.__name__ = name
        monkeypatch.setattr(reconcile._Pass, name, step)

    monkeypatch.setattr(reconcile._Pass, "record_metrics", own)
    for name in ("find_orphans", "find_missed_webhooks", "settle_lost_creates"):
        filling(name)
    for _ in range(9):
        await bench.reconcile(left_s=300)
    assert done == ["find_orphans", "find_missed_webhooks", "settle_lost_creates"]


async def slow_folders(bench: Bench, monkeypatch: pytest.MonkeyPatch, *folders: str) -> list[str]:
    """Let a batch with an item at work arrive for each folder; return the folders that are read, 20 s for each."""
    for folder in folders:
        await bench.do(Queue.SUBMIT, bench.drop(f"{folder}/a.csv"))
    read: list[str] = []
    page = bench.ledger.page

    async def slow(batch_id: str, state: ItemState, **where: Any) -> list[Item]:
        if state is ItemState.PROCESSING and where["after"] is None:
            read.append(batch_id.rpartition("-")[2])
            await asyncio.sleep(20)
        return await page(batch_id, state, **where)

    monkeypatch.setattr(bench.ledger, "page", slow)
    return read


async def test_batches_that_one_pass_has_no_time_to_read_are_read_by_the_next_and_all_are_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.configured()
    folders = [f"{number:02}" for number in range(12)]
    read = await slow_folders(bench, monkeypatch, *folders)
    for _ in range(5):
        bench.heard.figures.clear()
        await bench.reconcile(left_s=190)
        assert bench.heard.figures["ItemsOpen"] == 12
    assert read[:12] == folders, "each once before one is read again"
    assert len(read) == 15


async def test_settled_batches_are_read_in_turn_however_many_are_at_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.configured()
    at_work, settled = (
        [f"b{number}" for number in range(6)],
        [f"{letter}{number}" for letter in "ac" for number in range(3)],
    )
    read = await slow_folders(bench, monkeypatch, *at_work, *settled)
    for folder in settled:
        await bench.ledger.update_batch(f"landed-20260701-{folder}", state=BatchState.SETTLED, listed=True)
    for _ in range(4):
        await bench.reconcile(left_s=190)
    assert [folder for folder in read if folder in at_work] == at_work * 2
    assert [folder for folder in read if folder in settled] == [*settled, *settled[:2]]


async def test_while_a_pass_is_in_progress_another_one_does_nothing(bench: Bench) -> None:
    await landed(bench, "a.csv", fate="refused")
    await moved(bench, "orders/b.csv")
    await asyncio.sleep(301)
    await bench.leases.take("reconcile", "reconcile", holder="other", for_s=60)
    await bench.reconcile()
    assert bench.take(Queue.SUBMIT) == []
    await asyncio.sleep(61)
    await bench.reconcile()
    assert len(bench.take(Queue.SUBMIT)) == 1
