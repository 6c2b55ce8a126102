"""Redrive: queue failed, rejected, or uncertain items again, on purpose only, and fetch results again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.concurrency import handle_all, in_groups
from runner.errors import ImportNotFound, StaleItem
from runner.events import Notice, ignore
from runner.globs import Globs
from runner.models import FAILED_BEFORE, STATE_OF_STATUS, BatchState, ImportStatus, Item, ItemState
from runner.retry import repeat_read
from runner.stages.pack_ends import pack_again

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

    from runner.events import EventHook
    from runner.ledger.protocol import ItemStore, Ledger
    from runner.models import RemoteImport
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions

_S = ItemState

GONE = "the vendor no longer has its import, which may have brought in the data; --import-again sends it again"


def must_be_asked_for(item: Item) -> bool:
    """Return whether only the vendor knows what became of the item's data, so that it must not just be sent again."""
    return item.is_held and item.carrying_id is not None


class Redrive:
    """Redrives items of one ledger; `open_api` is called when the vendor must be asked."""

    def __init__(self, ledger: Ledger, transitions: Transitions, open_api: Callable[[], Awaitable[ImportsApi]]) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._open_api = open_api

    async def batch(
        self, batch_id: str, *, states: Collection[ItemState], match: str | None, again: bool, emit: EventHook = ignore
    ) -> int:
        """Redrive the items in `states` whose source matches the glob `match`; return how many.

        Without a glob, all but those that are dismissed.

        The vendor is asked about each held item with an import before any item is moved. If it still has the import,
        the item takes the import's state; if it does not, the item stays, and a Notice names it. `again` queues all
        items and asks about none. Raises ConfigError if the glob is malformed, LedgerError, and AuthRefused and
        TransientError if the vendor cannot be asked.
        """
        globs = None if match is None else Globs([match])

        async def matching() -> AsyncIterator[Item]:
            async for item in self._ledger.items(batch_id, states=states):
                if globs.matches(item.source) if globs is not None else not item.is_dismissed:
                    yield item

        remotes = {} if again else await self._imports_of_held(matching())
        members: dict[str, list[Item]] = {}

        async def redriven(item: Item) -> bool:
            is_asked_for = must_be_asked_for(item) and not again
            remote = remotes.get(item.carrying_id or "") if is_asked_for else None
            if is_asked_for and remote is None:
                emit(Notice(code="import_gone", message=f"{item.source}: {GONE}"))
                return False
            if remote is not None and item.import_id is None and _has_data(remote):
                members.setdefault(remote.import_id, []).append(item)
                return False
            return await redrive_item(item, self._transitions, remote=remote) is not None

        count = sum([sum(await handle_all(redriven, group)) async for group in in_groups(matching())])
        count += sum([await self._with_pack(some, remotes[one], emit) for one, some in members.items()])
        if count:
            await self._ledger.update_batch(batch_id, state=BatchState.PAUSED)
        return count

    async def _imports_of_held(self, items: AsyncIterator[Item]) -> dict[str, RemoteImport]:
        """Return the imports that have, or may have, the data of held items, by id, as far as the vendor has them."""
        found: dict[str, RemoteImport] = {}
        asked: set[str | None] = set()
        async for item in items:
            import_id = item.carrying_id
            if import_id is None or import_id in asked or not must_be_asked_for(item):
                continue
            asked.add(import_id)
            if (remote := await _retrieved(await self._open_api(), import_id)) is not None:
                found[import_id] = remote
        return found

    async def _with_pack(self, members: list[Item], remote: RemoteImport, emit: EventHook) -> int:
        """Move members of a pack, and the pack to the state of its import; return how many items are at work again."""
        state = STATE_OF_STATUS.get(remote.status, _S.PROCESSING)
        reason = "redriven: the vendor has the import of its pack"
        try:
            return await pack_again(
                members, state, ledger=self._ledger, transitions=self._transitions, reason=reason, emit=emit
            )
        except StaleItem:
            return 0


async def _retrieved(api: ImportsApi, import_id: str) -> RemoteImport | None:
    """Return an import, None if the vendor does not have it."""
    try:
        return await repeat_read(lambda: api.retrieve(import_id))
    except ImportNotFound:
        return None


async def retry_refused(ledger: ItemStore, batch_id: str, *, transitions: Transitions) -> int:
    """Queue the items that the vendor refused, in this batch or in an earlier one; return how many.

    Raises LedgerError.
    """

    async def retried(item: Item) -> bool:
        was_refused = item.was_refused or item.error_code == FAILED_BEFORE
        return was_refused and await redrive_item(item, transitions) is not None

    failed = ledger.items(batch_id, states={_S.FAILED})
    return sum([sum(await handle_all(retried, group)) async for group in in_groups(failed)])


async def redrive_item(item: Item, transitions: Transitions, *, remote: RemoteImport | None = None) -> Item | None:
    """Queue one item for a new import, or move it to the state of `remote`, its import, unless that has no data.

    Return the item as it is then, or None if another process moved it first.
    """
    try:
        return await _redriven(item, transitions, remote)
    except StaleItem:
        return None


def _has_data(remote: RemoteImport) -> bool:
    return remote.status not in (ImportStatus.FAILED, ImportStatus.AWAITING_UPLOAD)


async def _redriven(item: Item, transitions: Transitions, remote: RemoteImport | None) -> Item:
    if remote is not None and _has_data(remote):
        return await transitions.advance(
            item,
            STATE_OF_STATUS.get(remote.status, _S.PROCESSING),
            reason="redriven: the vendor has its import",
            status=remote.status,
            review_url=remote.review_url,
            error_code=None,
            error_message=None,
            finished_at=None,
        )
    return await transitions.advance(
        item,
        _S.QUEUED,
        reason="redriven",
        import_id=None,
        status=None,
        review_url=None,
        error_code=None,
        error_message=None,
        finished_at=None,
        created_at=None,
        uploaded_at=None,
        attempts=0,
        rows_in=None,
        left_out_reasons=None,
        pack_import_id=None,
    )
