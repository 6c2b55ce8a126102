"""Redrive: queue items of the stack's batches again that failed or whose messages are dead letters."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.cloud.dead_letters import is_dead_lettered
from runner.cloud.lifecycle import rolling_id, submit_queue
from runner.cloud.messages import ImportHint, ItemRef, ObjectCreated, decode
from runner.cloud.protocols import Queue
from runner.errors import MessageInvalid, StaleItem
from runner.globs import Globs
from runner.local.redrive import must_be_asked_for, redrive_item
from runner.models import OPEN_STATES, BatchState, ImportStatus, ItemState, RemoteImport
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.cloud.messages import Message
    from runner.cloud.protocols import Queues
    from runner.ledger.protocol import Ledger
    from runner.local.gone_results import GoneResults
    from runner.models import Item
    from runner.stages.transitions import Transitions

MAY_BE_DEAD_LETTERED = OPEN_STATES - {ItemState.QUEUED}
"""Open states that an item with a dead letter may be in; an item that was not sent is rejected instead."""

_MESSAGES_AT_ONCE = 100
_TO_SUBMIT = frozenset({ItemState.QUEUED, ItemState.CREATING, ItemState.CREATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """How many items were queued again, and how many dead letters went back to each queue."""

    items: int = 0
    dead_letters: dict[Queue, int] = field(default_factory=dict)


class Redrive:
    """Queues items of batches that the stack drives again; `count` is how many.

    The ledger is changed before a message is sent. After an interruption in between, the batch is running, and
    reconcile enqueues the items that have no message. All methods may raise LedgerError, TransientError.
    """

    def __init__(self, ledger: Ledger, queues: Queues, transitions: Transitions, *, inbox_prefix: str = "") -> None:
        self._ledger = ledger
        self._queues = queues
        self._transitions = transitions
        self._inbox_prefix = inbox_prefix
        self._moved: list[Item] = []
        self._opened: set[str] = set()
        self.count = 0

    async def batch(
        self, batch_id: str, *, states: Collection[ItemState], match: str | None, import_again: bool = False
    ) -> None:
        """Queue the items in one of `states`, and those with a dead letter, whose source matches the glob.

        A held item with an import goes to the function that asks the vendor about it, unless `import_again`.
        Raises ConfigError if the glob is malformed.
        """
        globs = None if match is None else Globs([match])
        async for item in self._ledger.items(batch_id, states={*states, *MAY_BE_DEAD_LETTERED}):
            if globs is not None and not globs.matches(item.source):
                continue
            if item.state in states or is_dead_lettered(item):
                await self._put_back(item, import_again=import_again)
            if len(self._moved) >= _MESSAGES_AT_ONCE:
                await self._enqueue()
        await self._enqueue()

    async def results(self, gone: GoneResults, *, match: str | None) -> None:
        """Let the functions fetch the gone results of items whose source matches the glob.

        Raises ConfigError if the glob is malformed, and SinkFailed and Unavailable if the sink cannot be read.
        """
        for item in await gone.matching(match):
            await self._reopen_once(item.batch_id)
            self._note(await gone.reopen(item))
            if len(self._moved) >= _MESSAGES_AT_ONCE:
                await self._enqueue()
        await self._enqueue()

    async def dead_letter(self, body: str) -> None:
        """Clear the error of a dead letter's items, so that the functions work on them when the message is back."""
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
                sources = (message.key, versioned_source(message.key, str(version)))
                named = [(batch_id, source) for batch_id in self._rolling_ids(message) for source in sources]
            case ImportHint():
                named = list((await self._ledger.owners([message.import_id])).values())
            case _:
                named = []
        found = [await self._ledger.item(batch_id, source) for batch_id, source in named]
        return [item for item in found if item is not None]

    def _rolling_ids(self, message: ObjectCreated) -> dict[str, None]:
        """Return the batches that the file of a message may be in: named by the folder below the prefix, or before it.

        The second is the name that version 0.1.0 gave a batch, and any version before its prefix was changed.
        """
        return dict.fromkeys(rolling_id(message.key, message.at, below=below) for below in (self._inbox_prefix, ""))

    async def _put_back(self, item: Item, *, import_again: bool = False) -> None:
        await self._reopen_once(item.batch_id)
        if item.state in OPEN_STATES:
            moved = await self._clear_error(item)
        else:
            last_known = None if import_again else _last_known(item)
            moved = await redrive_item(item, self._transitions, remote=last_known)
        self._note(moved)

    def _note(self, moved: Item | None) -> None:
        """Count an item and remember to enqueue it, unless another function moved it first."""
        if moved is not None:
            self._moved.append(moved)
            self.count += 1

    async def _clear_error(self, item: Item) -> Item | None:
        """Clear the dead letter's error and keep the item's state; None if another function moved it."""
        try:
            return await self._transitions.advance(
                item, item.state, reason="redriven", error_code=None, error_message=None
            )
        except StaleItem:
            return None

    async def _keep_open(self) -> None:
        """Reopen the batches that `finish` ended just before their items were moved."""
        for batch_id in self._opened:
            await self._reopen(batch_id)

    async def _reopen_once(self, batch_id: str) -> None:
        if batch_id not in self._opened:
            await self._reopen(batch_id)

    async def _reopen(self, batch_id: str) -> None:
        """Set a batch to running: reconcile does not read a batch that is complete."""
        self._opened.add(batch_id)
        batch = await self._ledger.batch(batch_id)
        if batch is not None and batch.state is not BatchState.RUNNING:
            await self._ledger.update_batch(
                batch_id, state=BatchState.RUNNING, finished_at=None, exit_code=None, reason=None
            )

    async def _enqueue(self) -> None:
        """Enqueue the moved items: for submit if they have to be sent, for collect if they are at the vendor."""
        await self._keep_open()
        refs: defaultdict[Queue, list[ItemRef]] = defaultdict(list)
        for one in (one for one in self._moved if one.state in _TO_SUBMIT):
            refs[submit_queue(one.batch_id)].append(ItemRef(batch_id=one.batch_id, source=one.source))
        hints = [
            ImportHint(import_id=one.import_id) for one in self._moved if one.state not in _TO_SUBMIT and one.import_id
        ]
        for queue, some in refs.items():
            await self._queues.send(queue, some)
        if hints:
            await self._queues.send(Queue.COLLECT, hints)
        self._moved.clear()


def _last_known(item: Item) -> RemoteImport | None:
    """Return the import of an item that the vendor must be asked about first, as a function finds it to ask."""
    if not must_be_asked_for(item):
        return None
    status = ImportStatus.SUCCESSFUL if item.was_imported else ImportStatus.RUNNING
    return RemoteImport(import_id=item.bound_id, status=status)
