"""Dead letters: the reason why a message was given up, on the item that it was for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.cloud.lifecycle import ring_if_at_rest
from runner.cloud.protocols import MOST_RECEIVES
from runner.errors import (
    AuthRefused,
    AwsRefused,
    ConfigError,
    ItemRejected,
    LedgerError,
    LedgerUnavailable,
    StaleItem,
    StorageFull,
    TransientError,
)
from runner.models import OPEN_STATES, Item, ItemKind, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment

logger = logging.getLogger(__name__)

DEAD_LETTER = "dead_letter"
"""Error code of an item whose message is in a dead-letter queue: nobody works on it until that is put right."""

_OF_EVERYBODY = (AuthRefused, AwsRefused, ConfigError, LedgerError, LedgerUnavailable, StorageFull)
"""What is not the item's trouble: once it is over, reconcile finds the item as it was."""

_LONGEST_REASON = 500
_S = ItemState


def _is_of_everybody(error: Exception) -> bool:
    """Tell whether an error is not the item's alone; one object that cannot be read may look as if none could be."""
    return isinstance(error, _OF_EVERYBODY) and not isinstance(error.__cause__, ItemRejected)


def is_dead_lettered(item: Item) -> bool:
    return item.error_code == DEAD_LETTER


async def mark_dead_lettered(
    deployment: Deployment, batch_id: str, source: str, error: Exception, *, receives: int
) -> None:
    """Note on the item why its message is given up, if this was the last time that it comes.

    An item that was not sent is rejected. One whose data is, or may be, at the vendor keeps its state.
    """
    if receives < MOST_RECEIVES or _is_of_everybody(error):
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
            error_message=reason[:_LONGEST_REASON],
        )
    except StaleItem:
        logger.info("a dead letter's item was moved by somebody else", extra={"item": source})
    else:
        await ring_if_at_rest(deployment, batch_id)
