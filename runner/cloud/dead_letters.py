"""Dead letters: when a message fails for the last time, its item records why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.cloud.lifecycle import enqueue_finish_if_idle
from runner.cloud.protocols import MAX_RECEIVES
from runner.errors import (
    AuthRefused,
    AwsRefused,
    ConfigError,
    ItemRejected,
    LedgerError,
    LedgerUnavailable,
    SinkFailed,
    StaleItem,
    StorageFull,
    TransientError,
)
from runner.masking import FORMS
from runner.models import OPEN_STATES, Item, ItemKind, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment

logger = logging.getLogger(__name__)

DEAD_LETTER = "dead_letter"
"""Error code of an item whose message is in a dead-letter queue: no function works on it until it is redriven."""

_SHARED_CAUSES = (AuthRefused, AwsRefused, ConfigError, LedgerError, LedgerUnavailable, SinkFailed, StorageFull)
"""Errors that are not about one item: once the cause is fixed, reconcile enqueues the unchanged item again."""

_S = ItemState


def _has_shared_cause(error: Exception) -> bool:
    """Return whether other items fail for the same cause; the error of an unreadable object only looks shared."""
    return isinstance(error, _SHARED_CAUSES) and not isinstance(error.__cause__, ItemRejected)


def is_dead_lettered(item: Item) -> bool:
    return item.error_code == DEAD_LETTER


async def mark_dead_lettered(
    deployment: Deployment, batch_id: str, source: str, error: Exception, *, receives: int
) -> None:
    """Record on the item why its message failed, if this was the last delivery; `receives` counts from 1.

    An item that was not sent is rejected. An item whose data is, or may be, at the vendor keeps its state. Raises
    LedgerError, TransientError.
    """
    if receives < MAX_RECEIVES or _has_shared_cause(error):
        return
    item = await deployment.ledger.item(batch_id, source)
    if item is None or item.state not in OPEN_STATES:
        return
    is_unsent = item.state is _S.QUEUED or (item.state is _S.CREATING and item.kind is ItemKind.FILE)
    reason = f"{type(error).__name__}: {error}" if not isinstance(error, TransientError) else str(error)
    try:
        await deployment.transitions().advance(
            item,
            _S.REJECTED if is_unsent else item.state,
            reason=DEAD_LETTER,
            error_code=DEAD_LETTER,
            error_message=FORMS.short(reason),
        )
    except StaleItem:
        logger.info("another function moved the item of a dead letter", extra={"item": source})
    else:
        await enqueue_finish_if_idle(deployment, batch_id)
