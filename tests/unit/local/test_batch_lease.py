"""One run at a time drives a batch of a shared ledger, for as long as it lives."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from runner.errors import BatchTaken, LedgerUnavailable
from runner.ledger.leases import MemoryLeases
from runner.local.batch_lease import LEASE_S, driving, is_driven
from runner.models import iso
from runner.stop import StopReason, StopSignal
from tests.support.scripted import LoopClock
from tests.support.vloop import run_virtually

ELSEWHERE = "pid 7 on another-machine, since 2026-07-23T10:00:00.000Z"


class Wards:
    """Leases in memory, the loop's clock, and a run's stop signal; make it inside the loop."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.leases = MemoryLeases(now=self.clock.now)
        self.stop = StopSignal()

    def drive(self) -> AbstractAsyncContextManager[None]:
        return driving(self.leases, "b1", clock=self.clock, stop=self.stop)


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_batch_is_driven_until_its_run_ends_however_long_that_is() -> None:
    async def go() -> None:
        wards = Wards()
        async with wards.drive():
            for _ in range(20):
                await asyncio.sleep(LEASE_S)
                assert await is_driven(wards.leases, "b1")
                assert not await is_driven(wards.leases, "b2")
                assert await wards.leases.take("b1", "", holder=ELSEWHERE, for_s=9) is not None
        assert not await is_driven(wards.leases, "b1")
        assert not wards.stop.requested

    run_virtually(go())


def test_who_drives_it_and_until_when_is_said_to_whom_it_is_refused() -> None:
    async def go() -> None:
        wards = Wards()
        await wards.leases.take("b1", "", holder=ELSEWHERE, for_s=40)
        until = iso(wards.clock.now() + timedelta(seconds=40))
        with pytest.raises(BatchTaken, match=f"another-machine.*until {until}"):
            async with wards.drive():
                pass
        await asyncio.sleep(40)
        async with wards.drive():
            assert await is_driven(wards.leases, "b1")

    run_virtually(go())


def test_what_a_dead_process_of_this_machine_left_is_taken_over_at_once() -> None:
    dead = a_dead_pid()

    async def go() -> None:
        wards = Wards()
        holder = f"pid {dead} on {socket.gethostname()}, since x"
        await wards.leases.take("b1", "", holder=holder, for_s=60)
        assert not await is_driven(wards.leases, "b1")
        async with wards.drive():
            assert await is_driven(wards.leases, "b1")

    run_virtually(go())


@pytest.mark.parametrize(
    "holder",
    [f"pid {os.getpid()} on {socket.gethostname()}, since x", ELSEWHERE, "somebody"],
    ids=["this process", "another machine", "no process"],
)
def test_what_a_live_or_an_unknown_process_holds_is_left_to_it(holder: str) -> None:
    async def go() -> None:
        wards = Wards()
        await wards.leases.take("b1", "", holder=holder, for_s=60)
        assert await is_driven(wards.leases, "b1")
        with pytest.raises(BatchTaken):
            async with wards.drive():
                pass

    run_virtually(go())


def test_a_run_that_slept_and_finds_its_batch_in_other_hands_stops_in_order() -> None:
    async def go() -> None:
        wards = Wards()
        async with wards.drive():
            await asyncio.sleep(1)
            wards.leases._taken["b1", ""] = (ELSEWHERE, wards.clock.now() + timedelta(seconds=600))
            await wards.stop.wait()
        assert wards.stop.reason is StopReason.TROUBLE
        assert await is_driven(wards.leases, "b1")

    run_virtually(go())


def test_a_ledger_that_does_not_answer_for_a_while_ends_no_run() -> None:
    class Deaf(MemoryLeases):
        deaf = False

        async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
            if self.deaf:
                raise LedgerUnavailable("no answer")
            return await super().take(batch_id, source, holder=holder, for_s=for_s)

    async def go() -> None:
        clock, stop = LoopClock(), StopSignal()
        leases = Deaf(now=clock.now)
        async with driving(leases, "b1", clock=clock, stop=stop):
            leases.deaf = True
            await asyncio.sleep(40)
            leases.deaf = False
            await asyncio.sleep(40)
            assert await is_driven(leases, "b1")
        assert not stop.requested

    run_virtually(go())
