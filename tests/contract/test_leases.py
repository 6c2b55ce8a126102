"""Every sentence of the Leases protocol, tested on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.leases import Lease, Leases, MemoryLeases
from tests.support.dynamodb import fixture_of, fresh_table

START = datetime(2126, 7, 23, 10, 0, tzinfo=UTC)
"""In the future, so that a store does not delete a lease whose time to live is over by its own clock."""
LONG = "x" * 3000
UNDECODABLE = b"caf\xe9\xff.csv".decode("utf-8", "surrogateescape")


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "ministack", pytest.param("moto", marks=pytest.mark.slow)])
async def leases(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Leases]:
    if request.param == "memory":
        yield MemoryLeases(now=clock.now)
        return
    async with fresh_table(request.getfixturevalue(fixture_of(request.param)).client_arguments) as table:
        yield DynamoLeases(table, now=clock.now)


async def test_a_lease_belongs_to_who_took_it_until_it_ends(leases: Leases, clock: Clock) -> None:
    assert await leases.take("b1", "a.csv", holder="one", for_s=60) is None
    clock.pass_time(20)
    assert await leases.take("b1", "a.csv", holder="two", for_s=60) == 40
    assert await leases.seen("b1", "a.csv") == Lease(holder="one", left_s=40)
    clock.pass_time(40)
    assert await leases.seen("b1", "a.csv") is None
    assert await leases.take("b1", "a.csv", holder="two", for_s=60) is None
    assert await leases.take("b1", "a.csv", holder="one", for_s=60) == 60


async def test_its_holder_can_renew_a_lease(leases: Leases, clock: Clock) -> None:
    await leases.take("b1", "a.csv", holder="one", for_s=60)
    clock.pass_time(50)
    assert await leases.take("b1", "a.csv", holder="one", for_s=60) is None
    assert await leases.take("b1", "a.csv", holder="two", for_s=60) == 60


async def test_a_lease_that_is_given_up_is_free(leases: Leases) -> None:
    await leases.take("b1", "a.csv", holder="one", for_s=60)
    await leases.release("b1", "a.csv", holder="one")
    assert await leases.seen("b1", "a.csv") is None
    assert await leases.take("b1", "a.csv", holder="two", for_s=60) is None


async def test_only_its_holder_gives_a_lease_up(leases: Leases, clock: Clock) -> None:
    await leases.take("b1", "a.csv", holder="one", for_s=60)
    await leases.release("b1", "a.csv", holder="two")
    await leases.release("b1", "other.csv", holder="one")
    assert await leases.seen("b1", "a.csv") == Lease(holder="one", left_s=60)


@pytest.mark.parametrize("place", [("b1", ""), ("b2", "a.csv"), ("b1", LONG), ("b1", LONG + "y"), ("b1", UNDECODABLE)])
async def test_each_item_and_each_batch_has_a_lease_of_its_own(leases: Leases, place: tuple[str, str]) -> None:
    await leases.take("b1", "a.csv", holder="one", for_s=60)
    await leases.take("b1", LONG + "z", holder="one", for_s=60)
    assert await leases.take(*place, holder="two", for_s=60) is None
    assert await leases.take("b1", "a.csv", holder="two", for_s=60) == 60
