"""A vendor that does not answer: for how long a run waits for it, and what it does with the items meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.errors import BulkheadError, ConnectionBarred, NotSent, OutcomeUnknown, RequestInvalid
from runner.events import Notice, OutageBegan, OutageEnded
from runner.local.pipeline import Scope
from runner.models import ItemState
from runner.stop import StopReason
from tests.support.bench import Bench
from tests.support.scripted import ScriptedVendor

pytestmark = pytest.mark.virtual_time

FILES = {f"{number}.csv": b"x\n%d\n" % number for number in range(12)}
MINUTE = 60.0


class UnreachableVendor(ScriptedVendor):
    """Gives no answer while `is_down(seconds since the start)`."""

    is_down: Callable[[float], bool] = staticmethod(lambda _now: False)
    refusal: BulkheadError = NotSent("cannot connect to the API: Connection refused")

    def _check(self) -> None:
        if self.is_down(self.clock.ticks()):
            raise self.refusal

    async def create(self, request: Any) -> Any:
        self._check()
        return await super().create(request)

    async def retrieve(self, import_id: str) -> Any:
        self._check()
        return await super().retrieve(import_id)

    async def list_page(self, *, limit: int, offset: int) -> Any:
        self._check()
        return await super().list_page(limit=limit, offset=offset)

    async def results_url(self, import_id: str) -> str:
        self._check()
        return await super().results_url(import_id)


def bench_with(is_down: Callable[[float], bool], **options: Any) -> Bench:
    bench = Bench(FILES, options=RunOptions(**options))
    vendor = UnreachableVendor(bench.vendor.clock)
    vendor.is_down = is_down  # type: ignore[method-assign]
    bench.vendor = vendor
    return bench


def now(bench: Bench) -> float:
    return bench.clock.ticks()


async def test_a_run_gives_up_on_a_vendor_that_never_answers_after_give_up_after() -> None:
    bench = bench_with(lambda _now: True)
    result = await bench.run()
    assert bench.stop.reason is StopReason.VENDOR_UNREACHABLE
    assert bench.stop.detail.startswith("vendor unreachable since ")
    assert bench.stop.detail.endswith(": cannot connect to the API: Connection refused")
    assert result.outage == bench.stop.detail
    assert 15 * MINUTE <= now(bench) <= 16 * MINUTE
    assert set((await bench.states()).values()) == {"queued"}


async def test_a_run_that_a_proxy_or_a_certificate_keeps_from_the_vendor_ends_before_anything_is_sent() -> None:
    bench = bench_with(lambda _now: True)
    bench.vendor.refusal = ConnectionBarred("the certificate of api.example cannot be verified", hint="use --ca-file")
    await bench.run()
    assert bench.stop.reason is StopReason.AUTH_REFUSED
    assert bench.stop.detail == "the certificate of api.example cannot be verified"
    assert bench.stop.hint == "use --ca-file"
    assert now(bench) < 1
    assert set((await bench.states()).values()) == {"queued"}


async def test_a_run_waits_eight_times_longer_for_a_vendor_that_has_answered_it() -> None:
    bench = bench_with(lambda now: now > 0.5)
    await bench.run()
    assert bench.stop.reason is StopReason.VENDOR_UNREACHABLE
    assert 120 * MINUTE <= now(bench) <= 123 * MINUTE


@pytest.mark.parametrize("hours", [1, 30])
async def test_zero_waits_for_ever(hours: int) -> None:
    bench = bench_with(lambda now: now < hours * 3600, give_up_after_s=0.0)
    await bench.run()
    assert bench.stop.reason is None
    assert set((await bench.states()).values()) == {"collected"}


async def test_items_wait_for_the_end_of_an_outage_and_none_is_deferred() -> None:
    bench = bench_with(lambda now: 0.001 < now < 100 * MINUTE)
    result = await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert result.deferred == 0
    assert result.outage is None
    assert not [event for event in bench.events if isinstance(event, Notice) and event.code == "item_deferred"]


async def test_an_outage_is_announced_once_and_its_end_too() -> None:
    bench = bench_with(lambda now: now < 5 * MINUTE)
    await bench.run()
    heard = [event for event in bench.events if isinstance(event, OutageBegan | OutageEnded)]
    assert [type(event) for event in heard] == [OutageBegan, OutageEnded]
    assert heard[0].message.startswith("vendor unreachable since ")


async def test_the_ledger_says_during_an_outage_that_the_vendor_is_unreachable_and_no_longer_after_it() -> None:
    seen: list[str | None] = []
    bench = bench_with(lambda now: now < 5 * MINUTE)
    update = bench.ledger.update_batch

    async def note(batch_id: str, **changes: Any) -> Any:
        if "reason" in changes:
            seen.append(changes["reason"])
        return await update(batch_id, **changes)

    bench.ledger.update_batch = note  # type: ignore[method-assign]
    await bench.run()
    assert len(seen) == 2
    assert seen[0] is not None
    assert seen[0].startswith("vendor unreachable since ")
    assert seen[1] is None


async def test_a_vendor_that_refuses_creates_with_5xx_but_lists_imports_is_not_unreachable() -> None:
    bench = bench_with(lambda _now: False)
    bench.vendor.create_script.extend([OutcomeUnknown("the API answered 503")] * 10_000)
    await bench.run()
    assert bench.stop.reason is StopReason.TROUBLE
    assert now(bench) < 60 * MINUTE


async def test_a_refusal_is_an_answer() -> None:
    bench = bench_with(lambda _now: False)
    bench.vendor.create_script.extend([RequestInvalid("no")] * 12)
    await bench.run()
    assert set((await bench.states()).values()) == {"failed"}


async def test_a_time_budget_that_ends_first_says_that_the_vendor_was_unreachable() -> None:
    bench = bench_with(lambda _now: True, max_duration_s=120.0)
    result = await bench.run()
    assert bench.stop.reason is StopReason.OUT_OF_TIME
    assert result.outage is not None


@pytest.mark.parametrize("scope", [Scope.TRACK_ONCE, Scope.TRACK_WATCH])
async def test_tracking_gives_up_on_an_unreachable_vendor_too(scope: Scope) -> None:
    bench = bench_with(lambda _now: True)
    await bench.leave("0.csv", ItemState.NEEDS_REVIEW, import_id="import-1", created_at=bench.clock.now())
    await bench.run(scope=scope)
    assert bench.stop.reason is StopReason.VENDOR_UNREACHABLE
    assert now(bench) <= 16 * MINUTE
