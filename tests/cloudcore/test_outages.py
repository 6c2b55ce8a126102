"""An outage of the vendor, however long: no file is rejected, no message is given up, and one call a minute is made."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from runner.cloud.messages import ImportHint, ItemRef
from runner.cloud.protocols import Done, Queue, Requeued
from runner.errors import NotSent, Unavailable
from runner.models import ItemKind, ItemState
from sandbox.settings import SandboxSettings
from tests.cloudcore.bench import Bench
from tests.cloudcore.bucket import BucketSource
from tests.cloudcore.plan import BEGIN_S, Drop, Plan
from tests.cloudcore.scenario import Report, simulate
from tests.cloudcore.test_submitting import Unreachable
from tests.support.inputs import Input

HOUR_S = 3600.0
START_S = 120.0
FIRST_MINUTE_S = 60.0


def plan_of_outage(seed: int, *, lasts_s: float) -> Plan:
    """Return a plan in which files arrive before and during an outage, some of whose imports have ended meanwhile."""
    early = [(f"orders/{number:02}.csv", number * 4.0) for number in range(30)]
    later = [(f"late/{number:02}.csv", START_S + number * min(lasts_s, 2 * HOUR_S) / 30) for number in range(30)]
    return Plan(
        seed=seed,
        drops=tuple(Drop(key=key, given=Input.make(key, ItemKind.FILE, "good"), at=at) for key, at in (*early, *later)),
        settings=SandboxSettings(pending_s=20.0, running_s=20.0),
        outages=((START_S, START_S + lasts_s),),
        clears_at=START_S + lasts_s,
    )


def calls_in_outage(report: Report, *, lasts_s: float) -> list[float]:
    """Return when calls were made during the outage, in seconds after its beginning."""
    sent = (at - BEGIN_S - START_S for at, kind, _ in report.trace if kind.endswith(".sent") and kind != "queue.sent")
    return [at for at in sent if 0 <= at < lasts_s]


@pytest.mark.parametrize("hours", [1, 2, pytest.param(24, marks=pytest.mark.slow)])
def test_no_file_is_rejected_in_an_outage_of_hours_and_only_the_question_of_each_minute_fails(hours: int) -> None:
    lasts_s = hours * HOUR_S
    report = simulate(plan_of_outage(hours, lasts_s=lasts_s))
    assert report.states == {"collected": 60}
    assert report.redriven == 0, "no message was given up"
    calls = calls_in_outage(report, lasts_s=lasts_s)
    assert len([at for at in calls if at < FIRST_MINUTE_S]) <= 20, "until the outage is noticed"
    later = [at for at in calls if at >= FIRST_MINUTE_S]
    assert all(following - at >= 59 for at, following in pairwise(later))
    assert 0.3 * lasts_s / 60 <= len(later) <= lasts_s / 60


pytestmark = pytest.mark.virtual_time


def away(error: Exception | None = None) -> Unreachable:
    return Unreachable(error or Unavailable("down"))


@pytest.mark.parametrize("receives", [1, 5])
async def test_a_message_that_meets_an_outage_is_sent_again_and_its_item_stays_queued(
    bench: Bench, receives: int
) -> None:
    await bench.configured()
    bench.with_api(away())
    assert isinstance(await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), receives=receives), Requeued)
    assert await bench.states() == {"orders/a.csv": "queued"}
    assert 30 <= bench.delays(Queue.SUBMIT)[0] <= 40


async def test_while_the_vendor_is_away_no_message_makes_a_call_until_a_minute_is_over(bench: Bench) -> None:
    await bench.configured()
    api = away(NotSent("no connection"))
    bench.with_api(api)
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    asked = api.lists
    for number in range(5):
        assert isinstance(await bench.do(Queue.SUBMIT, bench.drop(f"orders/{number}.csv")), Requeued)
    assert (api.lists, api.creates) == (asked, 0)
    await asyncio.sleep(61)
    for number in range(5):
        await bench.do(Queue.SUBMIT, ItemRef(batch_id="landed-20260701-orders", source=f"orders/{number}.csv"))
    assert api.lists == asked + 1


async def test_the_first_message_after_an_outage_asks_and_is_sent(bench: Bench) -> None:
    await bench.configured()
    vendor = bench.deployment.api.inner.inner  # type: ignore[attr-defined]
    bench.with_api(away())
    message = bench.drop("orders/a.csv")
    await bench.do(Queue.SUBMIT, message)
    await asyncio.sleep(61)
    bench.with_api(vendor)
    assert await bench.do(Queue.SUBMIT, message) == Done()
    assert bench.uploads == ["orders/a.csv"]


async def test_trouble_with_one_kind_of_call_is_no_outage(bench: Bench) -> None:
    await bench.configured()

    async def no_create(_request: object) -> object:
        raise NotSent("no connection")

    bench.deployment.api.inner.inner.create = no_create  # type: ignore[attr-defined]
    for receives in range(1, 5):
        with pytest.raises(Unavailable):
            await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), receives=receives)
    assert await bench.deployment.breaker.wait_s() is None


async def test_the_longer_an_outage_lasts_the_less_often_messages_come(bench: Bench) -> None:
    await bench.configured()
    bench.with_api(away())
    message = bench.drop("orders/a.csv")
    delays: list[float] = []
    for _ in range(60):
        await bench.do(Queue.SUBMIT, message)
        delays += bench.delays(Queue.SUBMIT)
        bench.take(Queue.SUBMIT)
        await asyncio.sleep(300)
    assert delays[0] <= 70
    assert 840 <= delays[-1] <= 850


async def test_reconcile_reports_an_outage_as_a_metric_and_not_as_an_error(bench: Bench) -> None:
    await bench.configured()
    bench.with_api(away())
    await bench.reconcile()
    assert bench.heard.figures["VendorAway"] == 0, "it was not noticed yet"
    await asyncio.sleep(61)
    await bench.reconcile()
    assert bench.heard.figures["VendorAway"] == 1


async def test_an_item_that_a_temporary_error_meets_again_and_again_waits_for_hours_before_it_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.configured()
    message = bench.drop("orders/a.csv")

    async def unreadable(*_: object) -> object:
        raise Unavailable("S3 does not answer")

    monkeypatch.setattr(BucketSource, "prepare", unreadable)
    for _ in range(30):
        assert isinstance(await bench.do(Queue.SUBMIT, message, receives=5), Requeued)
        assert await bench.states() == {"orders/a.csv": "queued"}
        await asyncio.sleep(1800)
    with pytest.raises(Unavailable):
        await bench.do(Queue.SUBMIT, message, receives=5)
    (item,) = (await bench.items()).values()
    assert (str(item.state), item.error_code, item.error_message) == ("rejected", "dead_letter", "S3 does not answer")
    assert len(bench.take(Queue.FINISH)) == 1


async def test_a_result_that_was_given_up_is_asked_for_again_every_hour(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    await asyncio.sleep(200)
    (item,) = (await bench.items()).values()
    await bench.ledger.advance(
        item, ItemState.SUCCEEDED, reason="dead_letter", status="SUCCESSFUL", error_code="dead_letter"
    )
    for enqueued in (1, 0, 0):
        await bench.reconcile()
        assert bench.take(Queue.COLLECT) == [ImportHint(import_id=item.bound_id)] * enqueued
        await asyncio.sleep(1500)
    await asyncio.sleep(700)
    await bench.reconcile()
    await bench.work_off()
    (item,) = (await bench.items()).values()
    assert (str(item.state), item.error_code) == ("collected", None)
