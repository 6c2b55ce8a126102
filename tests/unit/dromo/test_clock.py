"""The vendor's time, as its answers tell it: neither a wrong clock nor a set one reaches the protocol."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.clock import WallClock
from runner.dromo.clock import LONGEST_ROUND_TRIP_S, VendorTime
from runner.errors import OutcomeUnknown
from runner.models import CreateRequest
from tests.support.bench import Bench

pytestmark = pytest.mark.virtual_time

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class SetClock:
    """Clocks that stand still until they are set."""

    def __init__(self) -> None:
        self.wall = NOON
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return self.wall

    def ticks(self) -> float:
        return self.elapsed_s


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def test_before_the_first_answer_it_is_our_own_time(clock: SetClock) -> None:
    assert VendorTime(clock).now() == NOON


def test_an_answer_tells_the_time_which_then_goes_on(clock: SetClock) -> None:
    vendor_time = VendorTime(clock)
    vendor_time.answered(NOON - timedelta(hours=3), asked_at=clock.ticks())
    clock.elapsed_s += 60
    assert vendor_time.now() == NOON - timedelta(hours=3) + timedelta(seconds=60)


def test_a_clock_that_is_set_changes_nothing(clock: SetClock) -> None:
    vendor_time = VendorTime(clock)
    first = vendor_time.now()
    clock.wall += timedelta(hours=1)
    assert vendor_time.now() == first


@pytest.mark.parametrize(
    ("ours", "earliest"),
    [
        (timedelta(hours=3), timedelta(0)),
        (-timedelta(hours=3), -timedelta(hours=3)),
        (-timedelta(days=400), -timedelta(days=1)),
    ],
)
def test_the_earliest_time_is_that_of_the_clock_that_is_behind_but_not_by_more_than_a_day(
    clock: SetClock, ours: timedelta, earliest: timedelta
) -> None:
    vendor_time = VendorTime(clock)
    vendor_time.answered(NOON, asked_at=clock.ticks())
    clock.wall = NOON + ours
    assert vendor_time.earliest_now() == NOON + earliest


def test_an_answer_that_was_long_on_its_way_does_not_tell_the_time(clock: SetClock) -> None:
    vendor_time = VendorTime(clock)
    vendor_time.answered(NOON, asked_at=clock.ticks())
    asked_at = clock.ticks()
    clock.elapsed_s += LONGEST_ROUND_TRIP_S + 1
    vendor_time.answered(NOON, asked_at=asked_at)
    assert vendor_time.now() == NOON + timedelta(seconds=LONGEST_ROUND_TRIP_S + 1)


@pytest.mark.parametrize("skew_h", [-1, 1])
async def test_a_lost_json_create_is_not_repeated_by_a_machine_whose_clock_is_an_hour_off(skew_h: int) -> None:
    bench = Bench({"a.json": b'[{"x":1}]'})
    bench.skew = timedelta(hours=skew_h)
    add = bench.vendor.add
    bench.vendor.add = lambda request: add(request, status="SUCCESSFUL")  # type: ignore[method-assign, misc]
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert len(bench.vendor.created) == 1
    assert (await bench.item("a.json")).import_id == "import-1"


async def test_a_file_is_created_once_by_a_machine_whose_clock_is_an_hour_ahead() -> None:
    bench = Bench({"a.csv": b"x\n1\n"})
    bench.skew = timedelta(hours=1)
    await bench.run()
    assert [request.original_filename for request in bench.vendor.created] == [f"a.~{bench.tag('a.csv')}.csv"]
    assert await bench.states() == {"a.csv": "collected"}


async def test_a_lost_ledgers_imports_are_known_up_to_the_vendors_time() -> None:
    bench = Bench({})
    bench.skew = timedelta(hours=1)
    bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"))
    await bench.run()
    known = await bench.ledger.reconciled_to("e")
    assert known is not None
    assert known <= bench.vendor.clock.now()


def test_a_container_that_was_frozen_knows_what_time_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = NOON
    monkeypatch.setattr("runner.clock.system_now", lambda: wall)
    monkeypatch.setattr("runner.clock.system_ticks", lambda: 5.0)
    time = VendorTime(WallClock())
    time.answered(wall + timedelta(seconds=3), asked_at=time.ticks())
    wall += timedelta(hours=1)
    assert time.now() == wall + timedelta(seconds=3)
