"""One run at a time works on a batch of a shared ledger, for as long as the run lives."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.errors import BatchTaken, LedgerUnavailable
from runner.ledger.leases import MemoryLeases
from runner.local.batch_lease import LEASE_S, hold_batch_lease, is_running, this_process
from runner.stop import StopReason, StopSignal
from tests.support.scripted import LoopClock
from tests.support.vloop import run_virtually

pytestmark = pytest.mark.virtual_time

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
ELSEWHERE = "pid 7 on another-machine, since 2026-07-23T10:00:00.000Z"


class Bench:
    """Leases in memory, the loop's clock, and a run's stop signal; make it inside the loop."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.leases = MemoryLeases(now=self.clock.now)
        self.stop = StopSignal()

    def hold(self) -> AbstractAsyncContextManager[None]:
        return hold_batch_lease(self.leases, "b1", clock=self.clock, stop=self.stop)


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_a_batch_is_held_until_its_run_ends_however_long_that_is() -> None:
    bench = Bench()
    async with bench.hold():
        for _ in range(20):
            await asyncio.sleep(LEASE_S)
            assert await is_running(bench.leases, "b1")
            assert not await is_running(bench.leases, "b2")
            assert await bench.leases.take("b1", "", holder=ELSEWHERE, for_s=9) is not None
    assert not await is_running(bench.leases, "b1")
    assert not bench.stop.requested


async def test_the_error_says_who_holds_the_batch_and_until_when() -> None:
    bench = Bench()
    await bench.leases.take("b1", "", holder=ELSEWHERE, for_s=40)
    ends_at = (bench.clock.now() + timedelta(seconds=40)).astimezone().strftime("%H:%M:%S")
    with pytest.raises(BatchTaken, match=rf"pid 7 on another-machine.*ends at {ends_at} \(in 40 s\)") as caught:
        async with bench.hold():
            pass
    assert caught.value.left_s == 40
    assert "resume --wait" in str(caught.value.hint)
    await asyncio.sleep(40)
    async with bench.hold():
        assert await is_running(bench.leases, "b1")


def held_by(holder: str) -> None:
    """Check that the lease of this holder is respected."""

    async def go() -> None:
        bench = Bench()
        await bench.leases.take("b1", "", holder=holder, for_s=60)
        assert await is_running(bench.leases, "b1")
        with pytest.raises(BatchTaken):
            async with bench.hold():
                pass

    run_virtually(go())


def taken_over_from(holder: str) -> None:
    """Check that the lease of this holder is taken over without waiting."""

    async def go() -> None:
        bench = Bench()
        await bench.leases.take("b1", "", holder=holder, for_s=60)
        assert not await is_running(bench.leases, "b1")
        async with bench.hold():
            assert await is_running(bench.leases, "b1")
        assert bench.clock.ticks() < 1

    run_virtually(go())


def of_another_process(pid: int) -> str:
    """Return the holder text of this process, as that of process `pid` that started at another time."""
    own = this_process(datetime(2026, 7, 23, tzinfo=UTC))
    start = own.partition(", process ")[2].partition("@")[0]
    return own.replace(f"pid {os.getpid()} ", f"pid {pid} ").replace(f"process {start}@", f"process {int(start) - 1}@")


def test_the_lease_of_a_process_of_this_host_that_is_gone_is_taken_over_at_once() -> None:
    taken_over_from(of_another_process(a_dead_pid()))


def test_a_holder_that_an_older_version_wrote_is_understood() -> None:
    taken_over_from(f"pid {a_dead_pid()} on {socket.gethostname()}, since x")


@needs_proc
def test_a_process_that_reuses_the_id_of_the_holder_does_not_keep_the_lease() -> None:
    taken_over_from(of_another_process(os.getpid()))


@needs_proc
def test_a_killed_process_that_its_parent_has_not_waited_for_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    while "Z" not in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2]:
        time.sleep(0.01)
    try:
        taken_over_from(f"pid {process.pid} on {socket.gethostname()}, since x")
    finally:
        process.wait()
        process.stdout.close()


@needs_proc
@pytest.mark.parametrize("place", ["boot", "container"])
def test_a_process_of_another_machine_or_container_with_the_same_host_name_is_not_judged(place: str) -> None:
    boot, _, container = this_process(datetime(2026, 7, 23, tzinfo=UTC)).partition("@")[2].partition("/")
    holder = of_another_process(a_dead_pid())
    held_by(holder.replace(boot, "0" * 8) if place == "boot" else holder.replace(f"/{container}", "/1"))


async def test_a_renewal_of_a_dead_process_that_arrives_late_does_not_keep_the_lease() -> None:
    dead = f"pid {a_dead_pid()} on {socket.gethostname()}, since x"

    class Late(MemoryLeases):
        async def release(self, batch_id: str, source: str, *, holder: str) -> None:
            await super().release(batch_id, source, holder=holder)
            if not late:
                late.append(await self.take(batch_id, source, holder=holder, for_s=60))

    late: list[float | None] = []

    clock = LoopClock()
    leases = Late(now=clock.now)
    await leases.take("b1", "", holder=dead, for_s=60)
    async with hold_batch_lease(leases, "b1", clock=clock, stop=StopSignal()):
        assert late == [None]


@pytest.mark.parametrize(
    "holder",
    [
        this_process(datetime(2026, 7, 23, tzinfo=UTC)),
        f"pid {os.getpid()} on {socket.gethostname()}, since x",
        ELSEWHERE,
        "somebody",
    ],
    ids=["this process", "this process by an older version", "another machine", "no process"],
)
def test_the_lease_of_a_live_or_unknown_process_is_left_alone(holder: str) -> None:
    held_by(holder)


async def test_a_run_that_finds_its_batch_taken_over_stops_in_order() -> None:
    bench = Bench()
    async with bench.hold():
        await asyncio.sleep(1)
        bench.leases._taken["b1", ""] = (ELSEWHERE, bench.clock.now() + timedelta(seconds=600))
        await bench.stop.wait()
    assert bench.stop.reason is StopReason.TROUBLE
    assert await is_running(bench.leases, "b1")


async def test_a_run_survives_a_ledger_that_does_not_answer_for_a_while() -> None:
    class Unreachable(MemoryLeases):
        unreachable = False

        async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
            if self.unreachable:
                raise LedgerUnavailable("no answer")
            return await super().take(batch_id, source, holder=holder, for_s=for_s)

    clock, stop = LoopClock(), StopSignal()
    leases = Unreachable(now=clock.now)
    async with hold_batch_lease(leases, "b1", clock=clock, stop=stop):
        leases.unreachable = True
        await asyncio.sleep(40)
        leases.unreachable = False
        await asyncio.sleep(40)
        assert await is_running(leases, "b1")
    assert not stop.requested
