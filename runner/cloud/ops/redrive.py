"""Redriving: items that have ended, or were given up, go back to work, and whoever works on them is rung."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.cloud.batch_ids import rolling_id
from runner.cloud.dead_letters import is_dead_lettered
from runner.cloud.messages import ImportHint, ItemRef, ObjectCreated, decode
from runner.cloud.protocols import Queue
from runner.errors import MessageInvalid, StaleItem
from runner.globs import Globs
from runner.local.reconcile import put_back
from runner.models import OPEN_STATES, BatchState, ItemState
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.cloud.messages import Message
    from runner.cloud.protocols import Queues
    from runner.ledger.protocol import Ledger
    from runner.models import Item
    from runner.stages.transitions import Transitions

MAY_BE_GIVEN_UP = OPEN_STATES - {ItemState.QUEUED}
"""Open states in which an item may be that the functions have given up; one that was not sent is rejected then."""

_RINGS_AT_ONCE = 100
_SENT_ANEW = frozenset({ItemState.QUEUED, ItemState.CREATING, ItemState.CREATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """How many items are back to work, and how many dead letters went back to each queue."""

    items: int = 0
    dead_letters: dict[Queue, int] = field(default_factory=dict)


class Redrive:
    """Puts items of batches that the stack drives back to work; `count` is how many.

    An item is moved before anybody is rung for it. Where this is cut short in between, the batch runs already, and
    reconcile rings for what nobody works on.
    """

    def __init__(self, ledger: Ledger, queues: Queues, moves: Transitions) -> None:
        self._ledger = ledger
        self._queues = queues
        self._transitions = moves
        self._moved: list[Item] = []
        self._opened: set[str] = set()
        self.count = 0

    async def batch(self, batch_id: str, *, states: Collection[ItemState], match: str | None) -> None:
        """Put items in one of `states` back, and those that were given up, if their source matches the glob.

        Raises ConfigError if the glob is malformed.
        """
        globs = None if match is None else Globs([match])
        async for item in self._ledger.items(batch_id, states={*states, *MAY_BE_GIVEN_UP}):
            if globs is not None and not globs.matches(item.source):
                continue
            if item.state in states or is_dead_lettered(item):
                await self._put_back(item)
            if len(self._moved) >= _RINGS_AT_ONCE:
                await self._ring()
        await self._ring()

    async def dead_letter(self, body: str) -> None:
        """Put the items that a dead letter was about back, since the letter alone would find them given up."""
        try:
            message = decode(body)
        except MessageInvalid:
            return
        for item in await self._items_of(message):
            if is_dead_lettered(item):
                await self._put_back(item)
        await self._keep_open()
        self._moved.clear()

    async def _items_of(self, message: Message) -> list[Item]:
        match message:
            case ItemRef():
                named = [(message.batch_id, message.source)]
            case ObjectCreated():
                version = ObjectVersion(etag=message.etag, size_bytes=message.size_bytes, version_id=message.version_id)
                batch_id = rolling_id(message.key, message.at)
                named = [(batch_id, message.key), (batch_id, versioned_source(message.key, str(version)))]
            case ImportHint():
                named = list((await self._ledger.owners([message.import_id])).values())
            case _:
                named = []
        found = [await self._ledger.item(batch_id, source) for batch_id, source in named]
        return [item for item in found if item is not None]

    async def _put_back(self, item: Item) -> None:
        if item.batch_id not in self._opened:
            await self._let_run(item.batch_id)
        moved = await (self._put_right(item) if item.state in OPEN_STATES else put_back(item, self._transitions))
        if moved is not None:
            self._moved.append(moved)
            self.count += 1

    async def _put_right(self, item: Item) -> Item | None:
        """Let a given-up item be worked on where it stands."""
        try:
            return await self._transitions.advance(
                item, item.state, reason="redriven", error_code=None, error_message=None
            )
        except StaleItem:
            return None

    async def _keep_open(self) -> None:
        """Open the batches again where `finish` has found them at their end just before their items were moved."""
        for batch_id in self._opened:
            await self._let_run(batch_id)

    async def _let_run(self, batch_id: str) -> None:
        """Open a batch that was at its end: one that is not running is looked after by nobody."""
        self._opened.add(batch_id)
        batch = await self._ledger.batch(batch_id)
        if batch is not None and batch.state is not BatchState.RUNNING:
            await self._ledger.update_batch(batch_id, state=BatchState.RUNNING, finished_at=None, exit_code=None)

    async def _ring(self) -> None:
        """Ring for what was moved: submit for what is to be sent, collect for what is at the vendor."""
        await self._keep_open()
        refs = [ItemRef(batch_id=one.batch_id, source=one.source) for one in self._moved if one.state in _SENT_ANEW]
        hints = [
            ImportHint(import_id=one.import_id) for one in self._moved if one.state not in _SENT_ANEW and one.import_id
        ]
        if refs:
            await self._queues.send(Queue.SUBMIT, refs)
        if hints:
            await self._queues.send(Queue.COLLECT, hints)
        self._moved.clear()
