"""Eight processes write to one table: only one wins each claim, and every change is counted exactly once."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.clock import system_now, system_ticks
from runner.config.units import Rate
from runner.errors import ImportIdTaken, TagInUse
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Batch, Item, ItemState
from runner.quota.dynamodb import SHARED_GUARD_S, DynamoSlots
from runner.quota.pacer import CreatePacer
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

PROCESSES = 8
THINGS = 12
START = datetime(2026, 7, 23, tzinfo=UTC)
QUOTA = Rate(20, 1.0)
PERMITS_EACH = 12

Work = Callable[[DynamoTable, int], Awaitable[Any]]
S = ItemState


async def race(arguments: dict[str, Any], name: str, work: Work) -> list[Any]:
    """Let eight processes do the work at the table, each with its number; returns what each returned."""
    loop = asyncio.get_running_loop()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        jobs = [(arguments, name, work, number) for number in range(PROCESSES)]
        return await loop.run_in_executor(None, pool.starmap, run, jobs)


def run(arguments: dict[str, Any], name: str, work: Work, number: int) -> Any:
    async def go() -> Any:
        async with DynamoTable.open(name, **arguments) as table:
            return await work(table, number)

    return asyncio.run(go())


@pytest.fixture
def arguments(ministack: LocalAws) -> dict[str, Any]:
    return dict(ministack.client_arguments)


async def begun(table: DynamoTable) -> DynamoLedger:
    """Start a batch with an item for each process and each thing."""
    ledger = DynamoLedger(table, now=system_now)
    await ledger.start_batch(Batch(batch_id="b", source_uri="u", account="a", out="o", config="{}", started_at=START))
    await ledger.add([item_of(number, thing) for number in range(PROCESSES) for thing in range(THINGS)])
    return ledger


def item_of(number: int, thing: int) -> Item:
    return Item(batch_id="b", source=f"{thing:02}/{number}.csv")


def shuffled(number: int) -> list[int]:
    return random.Random(number // 2).sample(range(THINGS), THINGS)


async def take_leases(table: DynamoTable, number: int) -> list[int]:
    leases = DynamoLeases(table, now=system_now)
    return [
        thing
        for thing in shuffled(number)
        if await leases.take("b", f"{thing}.csv", holder=str(number), for_s=600) is None
    ]


@pytest.mark.slow
async def test_a_lease_is_taken_once(arguments: dict[str, Any]) -> None:
    async with fresh_table(arguments) as table:
        won = await race(arguments, table.name, take_leases)
        assert sorted(thing for things in won for thing in things) == list(range(THINGS))


async def bind(table: DynamoTable, number: int) -> list[int]:
    ledger = DynamoLedger(table, now=system_now)
    won = []
    for thing in shuffled(number):
        item = await ledger.advance(item_of(number, thing), S.CREATING, reason="intent")
        try:
            await ledger.advance(item, S.CREATED, reason="bind", import_id=f"imp-{thing}")
        except ImportIdTaken:
            continue
        won.append(thing)
    return won


async def test_an_import_is_bound_once_and_every_move_is_counted(arguments: dict[str, Any]) -> None:
    async with fresh_table(arguments) as table:
        ledger = await begun(table)
        before, _ = await ledger.moves_of("b")
        won = await race(arguments, table.name, bind)
        assert sorted(thing for things in won for thing in things) == list(range(THINGS))
        owners = await ledger.owners(f"imp-{thing}" for thing in range(THINGS))
        winners = {f"imp-{thing}": ("b", f"{thing:02}/{n}.csv") for n, things in enumerate(won) for thing in things}
        assert owners == winners
        await assert_counted(ledger, moves=before + PROCESSES * THINGS + THINGS)


async def claim(table: DynamoTable, number: int) -> list[int]:
    ledger = DynamoLedger(table, now=system_now)
    won = []
    for thing in shuffled(number):
        try:
            await ledger.advance(item_of(number, thing), S.CREATING, reason="intent", tag=f"tag-{thing}")
        except TagInUse:
            continue
        won.append(thing)
    return won


@pytest.mark.slow
async def test_a_tag_is_claimed_once(arguments: dict[str, Any]) -> None:
    async with fresh_table(arguments) as table:
        ledger = await begun(table)
        before, _ = await ledger.moves_of("b")
        won = await race(arguments, table.name, claim)
        assert sorted(thing for things in won for thing in things) == list(range(THINGS))
        await assert_counted(ledger, moves=before + THINGS)


async def add_and_count(table: DynamoTable, number: int) -> int:
    ledger = DynamoLedger(table, now=system_now)
    items = [Item(batch_id="b", source=f"new/{n:03}.csv") for n in range(150)]
    random.Random(number).shuffle(items)
    added = [await ledger.add(items[start : start + 25]) for start in range(0, 150, 25)]
    for _ in range(5):
        await ledger.count_up("b", creates=1)
    return sum(added)


@pytest.mark.slow
async def test_items_that_all_add_are_added_and_counted_once(arguments: dict[str, Any]) -> None:
    async with fresh_table(arguments) as table:
        ledger = await begun(table)
        assert sum(await race(arguments, table.name, add_and_count)) == 150
        assert sum((await ledger.counts("b")).values()) == 150 + PROCESSES * THINGS
        await assert_counted(ledger)
        batch = await ledger.batch("b")
        assert batch is not None
        assert batch.counters == {"creates": PROCESSES * 5}


async def assert_counted(ledger: DynamoLedger, *, moves: int | None = None) -> None:
    """The counters say what the items say."""
    assert Counter([item.state async for item in ledger.items("b")]) == await ledger.counts("b")
    if moves is not None:
        assert await ledger.moves_of("b") == (moves, 0)


async def take_permits(table: DynamoTable, number: int) -> list[tuple[float, float]]:
    """Take permits and use each; returns between which instants of the machine's clock the vendor may have seen it."""
    slots = DynamoSlots(table)
    pacer = CreatePacer(
        slots, quota_key="k", quota=QUOTA, clock=slots, rng=random.Random(number), guard_s=SHARED_GUARD_S
    )
    used = []
    for _ in range(PERMITS_EACH):
        permit = await pacer.permit()
        at = system_ticks()
        await asyncio.sleep(random.Random(number).uniform(0, 0.1))
        used.append((at, system_ticks()))
        await permit.answered()
    return used


@pytest.mark.slow
async def test_the_quota_is_never_overdrawn(arguments: dict[str, Any]) -> None:
    async with fresh_table(arguments) as table:
        used = [one for some in await race(arguments, table.name, take_permits) for one in some]
        assert len(used) == PROCESSES * PERMITS_EACH
        for kind in (0, 1):
            arrivals = sorted(one[kind] for one in used)
            for place, at in enumerate(arrivals):
                assert bisect_left(arrivals, at + QUOTA.per_s) - place <= QUOTA.count
