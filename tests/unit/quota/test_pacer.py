"""The pacer: no window of the vendor ever has one create too many, and hardly any time is lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from runner.config.units import Rate
from runner.dromo.round_trips import RoundTrips
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from tests.support.listed import StillClock
from tests.support.scripted import LoopClock

pytestmark = pytest.mark.virtual_time

DEFAULT = Rate(20, 60.0)


def _pacer(*, slots: MemorySlots | None = None, quota: Rate = DEFAULT, **options: Any) -> CreatePacer:
    slots = slots or MemorySlots()
    return CreatePacer(slots, quota_key="k", quota=quota, clock=LoopClock(), rng=random.Random(1), **options)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _send(pacer: CreatePacer, sent: list[float], *, latency_s: float) -> None:
    permit = await pacer.permit()
    sent.append(_now())
    await asyncio.sleep(latency_s)
    await permit.answered()


def _most_in_a_window(times: list[float], window_s: float) -> int:
    return max(sum(at <= other < at + window_s for other in times) for at in times)


async def test_the_whole_quota_goes_out_at_once_and_the_next_waits_for_the_first_answer_plus_a_window() -> None:
    pacer, sent = _pacer(), []
    await asyncio.gather(*(_send(pacer, sent, latency_s=0.5) for _ in range(21)))
    assert max(sent[:20]) < 0.1
    assert 60.5 <= sent[20] <= 61.0


async def test_no_window_of_a_minute_ever_holds_more_than_the_quota_whatever_the_latencies() -> None:
    pacer, sent, rng = _pacer(), [], random.Random(7)
    await asyncio.gather(*(_send(pacer, sent, latency_s=rng.expovariate(2)) for _ in range(200)))
    assert _most_in_a_window(sent, 60.0) == 20


@pytest.mark.parametrize(
    ("seen", "is_refused", "guard_s"),
    [
        ([], False, 0.05),
        ([0.2] * 19, False, 0.05),
        ([0.4] * 19 + [0.2], False, 0.05 - 0.9 * 0.2),
        ([0.2] * 20, True, 0.25),
    ],
)
async def test_the_guard_is_less_than_the_shortest_of_twenty_round_trips_until_the_vendor_refuses_a_create(
    seen: list[float], is_refused: bool, guard_s: float
) -> None:
    round_trips = RoundTrips()
    pacer = _pacer(quota=Rate(1, 60.0), round_trips=round_trips)
    for seconds in seen:
        round_trips.note(seconds)
    if is_refused:
        await pacer.hold(0.0)
        await asyncio.sleep(3)
    began = _now()
    await (await pacer.permit()).answered()
    await pacer.permit()
    assert _now() - began == pytest.approx(60 + guard_s, abs=0.001)


async def test_a_guard_that_was_set_stays_whatever_the_round_trips() -> None:
    round_trips = RoundTrips()
    for _ in range(20):
        round_trips.note(1.0)
    pacer = _pacer(quota=Rate(1, 60.0), round_trips=round_trips, guard_s=2.0)
    await pacer.hold(0.0)
    await asyncio.sleep(3)
    assert pacer.window_s == 62.0


async def test_round_trips_that_are_longer_than_the_window_free_a_slot_with_its_answer() -> None:
    round_trips = RoundTrips()
    for _ in range(20):
        round_trips.note(1.0)
    assert _pacer(quota=Rate(5, 0.5), round_trips=round_trips).window_s == 0.0


async def test_two_pacers_on_one_store_share_the_quota() -> None:
    slots, sent = MemorySlots(), []
    pacers = [_pacer(slots=slots), _pacer(slots=slots)]
    await asyncio.gather(*(_send(pacers[n % 2], sent, latency_s=0.2) for n in range(60)))
    assert _most_in_a_window(sent, 60.0) == 20


async def test_the_slot_of_a_dead_process_becomes_free_by_time() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    await pacer.permit()
    await pacer.permit()
    assert 120 <= _now() <= 130


async def test_a_create_without_an_answer_keeps_its_slot_for_as_long_as_it_may_still_arrive() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    await (await pacer.permit()).outcome_unknown()
    await pacer.permit()
    assert 30 + 60 <= _now() <= 30 + 61


async def test_a_permit_that_was_not_used_is_free_at_once() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    await (await pacer.permit()).unused()
    await pacer.permit()
    assert _now() < 1


async def test_a_429_holds_everyone_who_shares_the_key() -> None:
    slots = MemorySlots()
    first, second = _pacer(slots=slots), _pacer(slots=slots)
    wait_s = await (await first.permit()).throttled(10)
    await second.permit()
    assert 10 <= wait_s <= _now() <= 13


async def test_a_permit_is_not_fresh_after_the_process_was_suspended() -> None:
    permit = await _pacer().permit()
    assert permit.is_fresh
    await asyncio.sleep(5)
    assert not permit.is_fresh


async def test_free_slots_counts_what_could_be_sent_now() -> None:
    pacer = _pacer()
    await (await pacer.permit()).answered()
    assert await pacer.free_slots() == 19
    await pacer.hold(5)
    assert await pacer.free_slots() == 0


async def test_a_429_that_asks_for_years_stops_nobody_that_long() -> None:
    permit = await _pacer().permit()
    assert await permit.throttled(10.0**9) < 1000


@pytest.mark.parametrize(("asked_s", "least_s"), [(7.0, 8.0), (0.0, 1.0), (None, 4.0), (5000.0, 901.0)])
async def test_a_hold_is_one_to_two_seconds_longer_than_the_vendor_asked_for(
    asked_s: float | None, least_s: float
) -> None:
    pacer = _pacer()
    for _ in range(50):
        assert least_s <= await pacer.hold(asked_s) <= least_s + 1


async def test_a_permit_is_fresh_for_two_seconds() -> None:
    permit = await _pacer().permit()
    await asyncio.sleep(1.9)
    assert permit.is_fresh
    await asyncio.sleep(0.2)
    assert not permit.is_fresh


async def test_a_slot_that_another_process_gives_back_is_noticed_within_five_seconds() -> None:
    slots = MemorySlots()
    mine, other = _pacer(slots=slots, quota=Rate(1, 60.0)), _pacer(slots=slots, quota=Rate(1, 60.0))
    permit = await other.permit()
    waiting = asyncio.ensure_future(mine.permit())
    await asyncio.sleep(1.0)
    await permit.unused()
    await waiting
    assert 4.9 <= _now() <= 5.1


async def test_a_slot_that_this_process_gives_back_is_noticed_at_once() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    permit = await pacer.permit()
    waiting = asyncio.ensure_future(pacer.permit())
    await asyncio.sleep(1.0)
    await permit.unused()
    await waiting
    assert _now() < 1.1


async def test_a_permit_now_waits_for_nobody_not_even_as_the_turn_passes_to_the_next_who_waits() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    permit = await pacer.permit()
    waiting = [asyncio.ensure_future(pacer.permit()) for _ in range(2)]
    await asyncio.sleep(1.0)
    await permit.unused()
    assert await asyncio.ensure_future(pacer.permit_now()) is None
    assert _now() < 1.1
    await asyncio.gather(*waiting)


async def test_a_permit_now_is_granted_once_nobody_waits_any_more() -> None:
    pacer = _pacer(quota=Rate(1, 60.0))
    permit = await pacer.permit()
    waiting = asyncio.ensure_future(pacer.permit())
    await asyncio.sleep(1.0)
    fewer = pacer.leaving(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await pacer.permit_now() is None
    await permit.unused()
    again = await pacer.permit_now()
    assert again is not None
    await again.unused()
    assert await fewer.permit_now() is not None


async def test_a_slot_is_free_at_the_instant_at_which_it_becomes_so() -> None:
    pacer = CreatePacer(MemorySlots(), quota_key="k", quota=DEFAULT, clock=StillClock(), rng=random.Random(1))
    assert await pacer.free_slots() == 20
    assert await pacer.due_in_s() == 0.0
    await pacer.permit()
    assert await pacer.free_slots() == 19


async def test_the_next_create_is_due_when_the_first_slot_is_free_and_no_hold_is_left() -> None:
    pacer = _pacer(quota=Rate(2, 60.0))
    await asyncio.sleep(5)
    assert await pacer.due_in_s() == 0.0
    await (await pacer.permit()).answered()
    await asyncio.sleep(10)
    await (await pacer.permit()).answered()
    assert await pacer.due_in_s() == pytest.approx(50.05, abs=0.01)
    await pacer.hold(100.0)
    assert 101.0 <= await pacer.due_in_s() <= 102.0
    assert await pacer.free_slots() == 0


@pytest.mark.parametrize(("left", "used"), [(0, 20), (4, 16), (19, 1), (20, 1), (30, 1)])
async def test_a_pacer_that_leaves_slots_to_others_uses_the_rest_and_at_least_one(left: int, used: int) -> None:
    pacer, sent = _pacer().leaving(left), []
    await asyncio.wait([asyncio.ensure_future(_send(pacer, sent, latency_s=0.5)) for _ in range(21)], timeout=30)
    assert len(sent) == used
