"""Random calls in random order have the same effect on the ledgers in SQLite and DynamoDB as on the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from runner.errors import BulkheadError
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Ledger
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import COUNTERS, Batch, BatchState, Item, ItemState
from tests.support.dynamodb import fixture_of, fresh_table

START = datetime(2026, 7, 23, 10, 15, 2, 123456, tzinfo=UTC)
BATCHES = ("b1", "b2", "b3")
SOURCES = ("a", "b", "B", "\u00e9", "\udcff", "a/\U0001f600", "z")
IMPORTS = ("i1", "i2", "i3", "i4")
KEYS = ("k1", "k2")
FILES = ("f1", "f2")

items = st.builds(
    Item,
    batch_id=st.sampled_from(BATCHES),
    source=st.sampled_from(SOURCES),
    rank=st.integers(-2, 2),
    state=st.sampled_from(ItemState),
    version_key=st.sampled_from(KEYS),
    file_key=st.sampled_from(["", *FILES]),
    earlier_state=st.sampled_from([None, ItemState.COLLECTED, ItemState.UNCERTAIN]),
    error_code=st.sampled_from([None, "import_missing", "import_failed", "failed_before"]),
    tag=st.sampled_from([None, "t1", "t2"]),
    import_id=st.sampled_from([None, None, None, *IMPORTS]),
    error_message=st.sampled_from([None, "bad", "bad \udcfe"]),
    finished_at=st.sampled_from([None, START]),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "import_id": st.sampled_from([None, *IMPORTS]),
        "rank": st.integers(-2, 2),
        "tag": st.sampled_from([None, "t1", "t2"]),
        "attempts": st.integers(0, 3),
        "version_key": st.sampled_from(KEYS),
        "file_key": st.sampled_from(FILES),
        "error_code": st.sampled_from([None, "import_missing"]),
        "earlier_state": st.sampled_from([None, ItemState.NEEDS_REVIEW]),
        "created_at": st.sampled_from([None, START]),
        "status": st.sampled_from([None, "PENDING", "\udcfd"]),
    },
)
batches = st.sampled_from(BATCHES)
Verb = Callable[[Ledger], Coroutine[Any, Any, Any]]


class Stores(RuleBasedStateMachine):
    """Each rule makes the same calls to both stores and compares the results."""

    def __init__(self) -> None:
        super().__init__()
        self.at = START
        self.runner = asyncio.Runner()
        self.memory = MemoryLedger(now=lambda: self.at)
        self.opened = AsyncExitStack()
        self.other = self.runner.run(self.open())

    async def open(self) -> Ledger:
        return SqliteLedger.open(":memory:", now=lambda: self.at)

    def teardown(self) -> None:
        self.runner.run(self.other.close())
        self.runner.run(self.opened.aclose())
        self.runner.close()

    def same(self, verb: Verb) -> Any:
        self.at += timedelta(microseconds=777)
        expected, found = (self.runner.run(outcome(store, verb)) for store in (self.memory, self.other))
        assert found == expected
        return found

    @rule(batch_id=batches, source_uri=st.sampled_from(["u1", "u\udcff"]), age=st.integers(0, 2))
    def start(self, batch_id: str, source_uri: str, age: int) -> None:
        started_at = START - timedelta(days=age)
        batch = Batch(
            batch_id=batch_id, source_uri=source_uri, account="a", out="o", config="{}", started_at=started_at
        )
        self.same(lambda store: store.start_batch(batch))

    @rule(batch_id=batches, state=st.sampled_from(BatchState), exit_code=st.sampled_from([None, 0, 4]))
    def update(self, batch_id: str, state: BatchState, exit_code: int | None) -> None:
        self.same(lambda store: store.update_batch(batch_id, state=state, exit_code=exit_code, listed=True))

    @rule(batch_id=batches, name=st.sampled_from(COUNTERS), count=st.integers(0, 5))
    def count(self, batch_id: str, name: str, count: int) -> None:
        self.same(lambda store: store.count_up(batch_id, **{name: count}))

    @rule(batch_id=batches, new=st.lists(items, max_size=5))
    def add(self, batch_id: str, new: list[Item]) -> None:
        own = [item for item in new if item.batch_id == batch_id]
        self.same(lambda store: store.add(own))

    @rule(
        batch_id=batches,
        source=st.sampled_from(SOURCES),
        state=st.sampled_from(ItemState),
        changes=changes,
        age=st.sampled_from([0, 0, 0, 1]),
        share_tag=st.booleans(),
    )
    def advance(
        self, batch_id: str, source: str, state: ItemState, changes: dict[str, Any], age: int, share_tag: bool
    ) -> None:
        async def verb(store: Ledger) -> Item | None:
            seen = await store.item(batch_id, source)
            if seen is None:
                return None
            if age:
                await store.advance(seen, seen.state, reason="another process")
            return await store.advance(seen, state, reason="rule \udcff", share_tag=share_tag, **changes)

        self.same(verb)

    @rule(batch_id=batches, state=st.sampled_from(ItemState), limit=st.integers(1, 3))
    def page_through(self, batch_id: str, state: ItemState, limit: int) -> None:
        async def verb(store: Ledger) -> list[list[Item]]:
            pages: list[list[Item]] = []
            after = None
            while page := await store.page(batch_id, state, after=after, limit=limit):
                pages.append(page)
                after = (page[-1].rank, page[-1].source)
            return pages

        self.same(verb)

    @rule(batch_id=batches, states=st.sets(st.sampled_from(ItemState)))
    def items_of_states(self, batch_id: str, states: set[ItemState]) -> None:
        async def verb(store: Ledger) -> list[Item]:
            return [item async for item in store.items(batch_id, states=states)]

        self.same(verb)

    @invariant()
    def hold_the_same(self) -> None:
        for batch_id in BATCHES:
            read = self.same(lambda store, batch_id=batch_id: everything_of(store, batch_id))
            counts, listed = read[0], read[1]
            assert sum(counts.values()) == len(listed)
        self.same(lambda store: store.batches())
        self.same(lambda store: store.batches(source_uri="u\udcff"))
        self.same(lambda store: store.owners([*IMPORTS, "none"]))
        self.same(tagged)
        self.same(versions)
        self.same(lambda store: store.by_file([*FILES, "none"]))


async def everything_of(store: Ledger, batch_id: str) -> tuple[Any, ...]:
    listed = [item async for item in store.items(batch_id)]
    histories = [await store.history(batch_id, item.source) for item in listed]
    held_back = await store.held_back(batch_id)
    return await store.counts(batch_id), listed, histories, await store.batch(batch_id), held_back


async def tagged(store: Ledger) -> dict[str, list[Item]]:
    return in_order(await store.by_tag(["t1", "t2", "none"]))


async def versions(store: Ledger) -> dict[str, list[Item]]:
    return in_order(await store.by_version([*KEYS, "none"]))


def in_order(found: dict[str, list[Item]]) -> dict[str, list[Item]]:
    return {key: sorted(items, key=lambda item: (item.batch_id, item.source)) for key, items in found.items()}


async def outcome(store: Ledger, verb: Verb) -> Any:
    """Return what the verb returned, or which error it raised."""
    try:
        return await verb(store)
    except BulkheadError as error:
        return type(error), str(error)


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("where", ["ministack", pytest.param("moto", marks=pytest.mark.slow)])
def test_a_ledger_in_dynamodb_behaves_as_the_one_in_memory(where: str, request: pytest.FixtureRequest) -> None:
    arguments = request.getfixturevalue(fixture_of(where)).client_arguments

    class DynamoStores(Stores):
        """The same rules, the other store in a table."""

        async def open(self) -> Ledger:
            table = await self.opened.enter_async_context(fresh_table(arguments))
            return DynamoLedger(table, now=lambda: self.at)

    few = settings(TestStores.settings, max_examples=2 if where == "moto" else 3, stateful_step_count=9)
    run_state_machine_as_test(DynamoStores, settings=few)  # type: ignore[no-untyped-call]
