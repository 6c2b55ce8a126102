"""Every hour, the inbox is compared with the ledger, so that a file is found also if no event reported it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from runner.cloud.handlers.sweep import FEW_MESSAGES, Swept, swept
from runner.cloud.messages import ObjectCreated, SweepPage
from runner.cloud.protocols import Done, Queue
from runner.models import ItemKind
from tests.cloudcore.bench import Bench
from tests.cloudcore.bucket import BucketSource
from tests.cloudcore.plan import Drop, Plan
from tests.cloudcore.scenario import simulate
from tests.support.inputs import Input

pytestmark = pytest.mark.virtual_time
HOUR_S = 3600.0


async def swept_files(bench: Bench) -> list[str]:
    """Let reconcile start a sweep, and the functions do it; return the keys that it registers, sorted."""
    await bench.reconcile()
    found: list[str] = []
    while pages := bench.take(Queue.LIST):
        for page in pages:
            assert await bench.do(Queue.LIST, page) == Done()
        found += [one.key for one in bench.take(Queue.REGISTER) if isinstance(one, ObjectCreated)]
    return sorted(found)


async def how_far(bench: Bench) -> Swept:
    found = await swept(bench.ledger, bench.deployment.landing.root)
    assert found is not None
    return found


async def hourly(bench: Bench, hours: int) -> list[list[str]]:
    """Let so many hours pass with a sweep in each; return what each of them registers."""
    found = []
    for _ in range(hours):
        await asyncio.sleep(HOUR_S)
        found.append(await swept_files(bench))
    return found


async def begun(bench: Bench) -> None:
    """Let the stack be an hour old, and its first sweep be over."""
    await bench.configured()
    await bench.reconcile()
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []


async def test_files_without_an_event_are_registered_within_an_hour_and_once(bench: Bench) -> None:
    await begun(bench)
    await bench.do(Queue.REGISTER, bench.drop("orders/known.csv"))
    bench.drop("orders/lost.csv")
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == ["orders/lost.csv"]
    await bench.do(Queue.REGISTER, bench.bucket.objects["orders/lost.csv"][-1].created("inbox"))
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []
    assert sorted(await bench.items()) == ["orders/known.csv", "orders/lost.csv"]


async def test_a_file_whose_message_is_purged_is_found_by_each_sweep_until_it_is_in_the_ledger(bench: Bench) -> None:
    await begun(bench)
    bench.drop("orders/a.csv")
    assert await hourly(bench, 4) == [["orders/a.csv"]] * 4
    bench.drop("orders/later.csv")
    assert await hourly(bench, 1) == [["orders/a.csv", "orders/later.csv"]]
    for key in ("orders/a.csv", "orders/later.csv"):
        await bench.do(Queue.REGISTER, bench.bucket.objects[key][-1].created("inbox"))
    assert await hourly(bench, 2) == [[], []]
    found = await how_far(bench)
    assert found.to == found.at
    assert bench.heard.figures["FilesWithoutEvent"] == 2
    assert bench.heard.figures["FilesNotRegistered"] == 4


@pytest.mark.plan(page_length=2)
async def test_the_oldest_missing_file_of_any_page_is_looked_for_again(bench: Bench) -> None:
    await begun(bench)
    bench.drop("orders/0.csv")
    await asyncio.sleep(HOUR_S / 2)
    for number in range(1, 6):
        bench.drop(f"orders/{number}.csv")
    everything = [f"orders/{number}.csv" for number in range(6)]
    assert await hourly(bench, 2) == [everything] * 2


async def test_files_that_arrive_twice_at_register_stay_one_item(bench: Bench) -> None:
    await begun(bench)
    created = bench.drop("orders/a.csv")
    for _ in range(3):
        await bench.do(Queue.REGISTER, replace(created, at=created.at))
    assert list(await bench.items()) == ["orders/a.csv"]


@pytest.mark.virtual_time(days=4)
async def test_a_file_that_is_missing_for_longer_than_a_day_is_looked_for_once_a_day(bench: Bench) -> None:
    await begun(bench)
    bench.drop("orders/a.csv")
    await hourly(bench, 26)
    found = await hourly(bench, 48)
    assert sum(bool(keys) for keys in found) == 2
    (arrived,) = (one.at for one in bench.bucket.objects["orders/a.csv"])
    assert abs((await how_far(bench)).to - arrived) < timedelta(seconds=1)


@pytest.mark.virtual_time(days=20)
async def test_a_file_that_cannot_be_registered_is_given_up_with_an_error_and_older_files_are_not_looked_up_for_ever(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(bench)
    bench.drop("orders/a.csv")
    await hourly(bench, 13 * 24)
    assert "no later sweep" not in caplog.text
    await hourly(bench, 3 * 24)
    assert caplog.text.count("files that no later sweep looks for") == 1
    assert await hourly(bench, 48) == [[]] * 48
    found = await how_far(bench)
    assert found.to == found.at


async def test_files_are_not_sent_once_more_while_register_has_many_messages(bench: Bench) -> None:
    await begun(bench)
    waiting = bench.drop("orders/a.csv")
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == ["orders/a.csv"]
    await bench.deployment.queues.send(Queue.REGISTER, [waiting] * (FEW_MESSAGES + 1))
    await asyncio.sleep(HOUR_S)
    await bench.reconcile()
    (page,) = bench.take(Queue.LIST)
    await bench.do(Queue.LIST, page)
    assert len(bench.take(Queue.REGISTER)) == FEW_MESSAGES + 1, "only the messages that were there"
    assert await hourly(bench, 1) == [["orders/a.csv"]]


async def test_no_sweep_begins_within_an_hour_of_the_last_one_or_while_one_is_in_progress(bench: Bench) -> None:
    await begun(bench)
    await asyncio.sleep(HOUR_S - 60)
    await bench.reconcile()
    assert bench.take(Queue.LIST) == []
    await asyncio.sleep(60)
    await bench.reconcile()
    (page,) = bench.take(Queue.LIST)
    await bench.leases.take("sweep", "sweep", holder="another", for_s=600)
    assert await bench.do(Queue.LIST, page) == Done()
    await bench.reconcile()
    assert bench.take(Queue.LIST) == []


async def test_files_of_loads_folders_and_the_configuration_are_left_out(bench: Bench) -> None:
    await begun(bench)
    for key in ("nightly/a.csv", "config/bulkhead.toml", "orders/"):
        bench.drop(key)
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []


@pytest.mark.plan(page_length=2)
async def test_a_page_that_is_delivered_twice_does_not_double_the_rest_of_the_sweep(bench: Bench) -> None:
    await begun(bench)
    for number in range(7):
        bench.drop(f"orders/{number}.csv")
    await asyncio.sleep(HOUR_S)
    await bench.reconcile()
    (page,) = bench.take(Queue.LIST)
    for _ in range(2):
        await bench.do(Queue.LIST, page)
    assert len(bench.take(Queue.LIST)) == 1


async def test_an_older_version_of_a_key_whose_later_one_is_known_stays_as_it_is(bench: Bench) -> None:
    await begun(bench)
    await bench.do(Queue.REGISTER, bench.drop("orders/a.csv"))
    await bench.do(Queue.REGISTER, bench.drop("orders/a.csv", mark="again"))
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []
    bench.drop("orders/a.csv", mark="once more")
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == ["orders/a.csv"]


async def test_a_file_whose_event_is_of_the_next_day_is_not_registered_again(bench: Bench) -> None:
    await begun(bench)
    created = bench.drop("orders/a.csv")
    await bench.do(Queue.REGISTER, replace(created, at=created.at + timedelta(days=1)))
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []


async def test_a_file_that_was_uploaded_in_parts_for_days_is_found_in_the_first_sweep_of_a_day(bench: Bench) -> None:
    await begun(bench)
    await asyncio.sleep(3 * HOUR_S)
    await swept_files(bench)
    stored = bench.bucket.put("orders/large.csv", Input.make("large", ItemKind.FILE, "good"))
    version = replace(stored.version, etag=f"{stored.version.etag}-80")
    bench.bucket.objects["orders/large.csv"] = [
        replace(stored, version=version, at=bench.deployment.clock.now() - timedelta(days=3))
    ]
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []
    await asyncio.sleep(24 * HOUR_S)
    assert await swept_files(bench) == ["orders/large.csv"]


async def test_after_an_update_files_of_the_last_two_weeks_are_looked_up(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/a.csv"))
    waiting = bench.drop("orders/only-a-message.csv")
    bench.bucket.objects[waiting.key] = [
        replace(bench.bucket.objects[waiting.key][0], at=waiting.at - timedelta(days=9))
    ]
    await asyncio.sleep(2 * HOUR_S)
    assert await swept_files(bench) == ["orders/only-a-message.csv"]


def moved(bench: Bench, inbox: str) -> None:
    """Let the files come from another bucket, or from below a prefix of it, from now on."""
    deployment = bench.deployment
    bench.deployment = replace(deployment, inbox=inbox, landing=replace(deployment.landing, root=f"{inbox}/"))


async def test_after_an_update_that_sets_another_inbox_too_its_older_files_are_left_alone(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/a.csv"))
    bench.drop("orders/from-before.csv")
    await asyncio.sleep(2 * HOUR_S)
    moved(bench, "s3://acme-incoming")
    assert await hourly(bench, 2) == [[], []]


async def test_files_that_were_in_a_bucket_before_it_became_the_inbox_are_left_alone(bench: Bench) -> None:
    await begun(bench)
    await bench.do(Queue.REGISTER, bench.drop("orders/a.csv"))
    await hourly(bench, 2)
    bench.drop("orders/from-before.csv")
    await asyncio.sleep(HOUR_S)
    moved(bench, "s3://acme-incoming")
    assert await swept_files(bench) == []
    bench.drop("orders/new.csv")
    assert await hourly(bench, 2) == [["orders/new.csv"]] * 2


async def test_files_that_arrived_while_another_bucket_was_the_inbox_are_left_alone(bench: Bench) -> None:
    await begun(bench)
    moved(bench, "s3://acme-incoming")
    await swept_files(bench)
    await hourly(bench, 2)
    bench.drop("orders/meanwhile.csv")
    await hourly(bench, 1)
    moved(bench, "s3://inbox")
    assert await hourly(bench, 3) == [[], [], []]


async def test_files_that_were_below_a_prefix_before_it_was_set_are_left_alone(bench: Bench) -> None:
    await begun(bench)
    bench.drop("orders/a.csv")
    moved(bench, "s3://inbox/orders")
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []


async def test_a_message_of_a_sweep_that_is_over_does_nothing(bench: Bench) -> None:
    await begun(bench)
    found = await how_far(bench)
    assert await bench.do(Queue.LIST, SweepPage(at=found.at)) == Done()
    assert await how_far(bench) == found


def test_files_whose_events_are_all_lost_are_imported_although_nobody_loads_them() -> None:
    keys = [f"orders/{number}.csv" for number in range(12)]
    drops = tuple(Drop(key=key, given=Input.make(key, ItemKind.FILE, "good"), at=60.0, events=0) for key in keys)
    assert simulate(Plan(seed=3, drops=drops, page_length=5)).states == {"collected": 12}


async def test_only_new_files_are_looked_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(bench)
    for number in range(20):
        await bench.do(Queue.REGISTER, bench.drop(f"orders/{number}.csv"))
    await asyncio.sleep(2 * HOUR_S)
    assert await swept_files(bench) == []

    def entry(*_: object) -> None:
        raise AssertionError("it is older than the last sweep")

    monkeypatch.setattr(BucketSource, "entry", entry)
    await asyncio.sleep(HOUR_S)
    assert await swept_files(bench) == []
