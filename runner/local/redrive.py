"""Redrive: queue failed, rejected, or uncertain items again, on purpose only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import StaleItem
from runner.globs import Globs
from runner.models import FAILED_BEFORE, RESULT_INVALID, Item, ItemState

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.ledger.protocol import ItemStore
    from runner.stages.transitions import Transitions

_S = ItemState


async def redrive(
    ledger: ItemStore, batch_id: str, *, states: Collection[ItemState], match: str | None, transitions: Transitions
) -> int:
    """Redrive the items in `states` whose source matches the glob `match`, all without one; return how many.

    Raises ConfigError if the glob is malformed, and LedgerError.
    """
    count, globs = 0, None if match is None else Globs([match])
    async for item in ledger.items(batch_id, states=states):
        if globs is None or globs.matches(item.source):
            count += await redrive_item(item, transitions) is not None
    return count


async def retry_refused(ledger: ItemStore, batch_id: str, *, transitions: Transitions) -> int:
    """Queue the items that the vendor refused, in this batch or in an earlier one; return how many.

    Raises LedgerError.
    """
    count = 0
    async for item in ledger.items(batch_id, states={_S.FAILED}):
        if item.was_refused or item.error_code == FAILED_BEFORE:
            count += await redrive_item(item, transitions) is not None
    return count


async def redrive_item(item: Item, transitions: Transitions) -> Item | None:
    """Queue one item for a new import; if only its result was unusable, let that be downloaded again.

    Return the item as it is then, or None if another process moved it first.
    """
    try:
        return await _redriven(item, transitions)
    except StaleItem:
        return None


async def _redriven(item: Item, transitions: Transitions) -> Item:
    if item.was_imported and item.error_code == RESULT_INVALID:
        return await transitions.advance(item, _S.SUCCEEDED, reason="redriven", finished_at=None)
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
    )
