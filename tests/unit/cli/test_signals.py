"""One signal drains, two stop now."""

import asyncio
import os
import signal

import pytest

from runner.cli.signals import DRAINING, STOPPING_NOW, Interruption, interrupting
from runner.stop import StopReason


class Target:
    def __init__(self) -> None:
        self.stops: list[StopReason] = []
        self.stopped = asyncio.Event()

    def stop(self, reason: StopReason) -> None:
        self.stops.append(reason)
        self.stopped.set()

    async def receive(self, number: signal.Signals) -> None:
        self.stopped.clear()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await self.stopped.wait()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, StopReason.INTERRUPTED),
        (signal.SIGTERM, StopReason.TERMINATED),
        (signal.SIGHUP, StopReason.TERMINATED),
    ],
)
async def test_a_signal_asks_the_run_to_drain(number: signal.Signals, reason: StopReason) -> None:
    target, said = Target(), list[str]()
    with interrupting(target, tell=said.append):
        await target.receive(number)
    assert target.stops == [reason]
    assert said == [DRAINING]


async def test_a_second_signal_stops_now_and_a_third_changes_nothing() -> None:
    target, said = Target(), list[str]()
    with interrupting(target, tell=said.append):
        await target.receive(signal.SIGINT)
        await target.receive(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
    assert len(target.stops) == 2
    assert said == [DRAINING, STOPPING_NOW]


async def test_after_the_run_signals_mean_again_what_they_meant() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupting(Target(), tell=lambda _: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.virtual_time(0)
async def test_a_run_that_must_end_in_time_is_stopped_when_its_time_is_over() -> None:
    target, said = Target(), list[str]()
    stopping = Interruption(target, said.append, within_s=20.0)
    stopping.receive(signal.SIGTERM)
    await asyncio.sleep(19.9)
    assert said == [DRAINING]
    await asyncio.sleep(0.2)
    assert said == [DRAINING, STOPPING_NOW]
    assert target.stops == [StopReason.TERMINATED] * 2


@pytest.mark.virtual_time(0)
async def test_a_run_that_has_ended_in_time_is_not_stopped_again() -> None:
    target = Target()
    stopping = Interruption(target, lambda _: None, within_s=20.0)
    stopping.receive(signal.SIGTERM)
    stopping.end()
    await asyncio.sleep(60)
    assert len(target.stops) == 1


@pytest.mark.virtual_time(0)
async def test_a_person_at_the_keyboard_decides_when_to_stop_at_once() -> None:
    target = Target()
    Interruption(target, lambda _: None, within_s=20.0).receive(signal.SIGINT)
    await asyncio.sleep(60)
    assert len(target.stops) == 1
