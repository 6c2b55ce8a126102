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
    DuplicatePending,
    ItemRejected,
    LedgerError,
    LedgerUnavailable,
    NotYet,
    SinkFailed,
    StaleItem,
    StorageFull,
    TransientError,
)
from runner.masking import FORMS
from runner.models import OPEN_STATES, Item, ItemKind, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.messages import ItemRef

logger = logging.getLogger(__name__)

DEAD_LETTER = "dead_letter"
"""Error code of an item whose message is in a dead-letter queue: no function works on it until it is redriven."""

PUT_OFF_S = 840.0
PUT_OFF_MOST = 30
"""So often, for about half an hour each time, a queued item is tried again that fails for a temporary reason."""

_PUT_OFF = "a temporary error came again and again; tried again later"

_SHARED_CAUSES = (AuthRefused, AwsRefused, ConfigError, LedgerError, LedgerUnavailable, SinkFailed, StorageFull)
"""Errors that are not about one item: once the cause is fixed, reconcile enqueues the unchanged item again."""

_S = ItemState


def _has_shared_cause(error: Exception) -> bool:
    """Return whether other items fail for the same cause; the error of an unreadable object only looks shared."""
    return isinstance(error, _SHARED_CAUSES) and not isinstance(error.__cause__, ItemRejected)


def is_dead_lettered(item: Item) -> bool:
    return item.error_code == DEAD_LETTER


async def wait_for_weather(deployment: Deployment, ref: ItemRef, error: Exception, *, receives: int) -> float | None:
    """Return in how many seconds to try an item again whose failure is not its own, else None.

    During an outage of the vendor no try counts. Any other temporary error counts as one of the deliveries; after the
    last of them, an item of which nothing was sent waits, and begins again, up to PUT_OFF_MOST times. Raises
    LedgerError, TransientError.
    """
    if not isinstance(error, TransientError):
        return None
    if (wait_s := await deployment.breaker.wait_s()) is not None:
        return wait_s
    if receives < MAX_RECEIVES or isinstance(error, DuplicatePending | NotYet) or _has_shared_cause(error):
        return None
    item = await deployment.ledger.item(ref.batch_id, ref.source)
    if item is None or item.state is not _S.QUEUED:
        return None
    history = await deployment.ledger.history(ref.batch_id, ref.source)
    if sum(entry.reason == _PUT_OFF for entry in history) >= PUT_OFF_MOST:
        return None
    await deployment.transitions().advance(item, item.state, reason=_PUT_OFF)
    return PUT_OFF_S


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
