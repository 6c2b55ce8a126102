"""Missed webhooks: compare the vendor's list with the ledger for lost webhooks and for released imports with data."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.messages import ImportHint
from runner.cloud.protocols import Queue
from runner.dromo.listing import imports_since
from runner.local.reconcile import duplicate_risk
from runner.models import STATE_OF_STATUS, ImportStatus, ItemState, tag_of
from runner.stages.untaken import is_over, is_untaken

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.models import Item, RemoteImport

logger = logging.getLogger(__name__)

LONGEST_LOOK_BACK = timedelta(days=1)
"""The list is not read further back; older imports are retrieved one by one."""

MAX_PAGES = 50
MAX_RETRIEVED = 20
RETRIEVED_EVERY_S = 3600.0

_TRIES = 3
"""How many old imports are considered for each one retrieved: the others were retrieved within the hour."""

_S = ItemState
_ENDS = frozenset({_S.SUCCEEDED, _S.FAILED, _S.NEEDS_REVIEW})


@dataclass(slots=True)
class _Seen:
    """What the vendor's list showed: bound items it lacks, import ids that are ahead, imports with data by tag."""

    unseen: dict[str, Item]
    ahead: list[str] = field(default_factory=list)
    by_tag: defaultdict[str, list[RemoteImport]] = field(default_factory=lambda: defaultdict(list))


async def enqueue_missed(deployment: Deployment, items: Collection[Item]) -> int:
    """Enqueue collect for the bound `items` whose import is ahead of the ledger, never took its file, or is not listed.

    Imports older than the list is read, such as those of old reviews, are enqueued one by one: a few in each pass,
    each at most once an hour. Returns how many imports were released by their item and took data later. Raises
    LedgerError, TransientError.
    """
    bound = {item.import_id: item for item in items if item.import_id}
    if not bound:
        return 0
    since = _since(bound.values(), deployment.vendor_time.now())
    seen = _Seen({import_id: item for import_id, item in bound.items() if _is_recent(item, since)})
    async for remote in imports_since(deployment.api, since, max_pages=MAX_PAGES):
        _compare(seen, bound, remote, now=deployment.vendor_time.now())
    gone = [import_id for import_id, item in seen.unseen.items() if item.state is not _S.CREATED]
    old = [item for item in bound.values() if not _is_recent(item, since)]
    asked = [*seen.ahead, *gone[:MAX_RETRIEVED], *await _due(deployment, old)]
    await deployment.queues.send(Queue.COLLECT, [ImportHint(import_id=import_id) for import_id in asked])
    return await _released_with_data(deployment, seen)


def _since(items: Collection[Item], now: datetime) -> datetime:
    """Return how far back to read the list: to the oldest import that does not wait for a review."""
    made = [item.created_at for item in items if item.state is not _S.NEEDS_REVIEW and item.created_at is not None]
    return max(min(made, default=now), now - LONGEST_LOOK_BACK)


def _is_recent(item: Item, since: datetime) -> bool:
    return item.created_at is not None and item.created_at >= since


def _compare(seen: _Seen, bound: dict[str, Item], remote: RemoteImport, *, now: datetime) -> None:
    seen.unseen.pop(remote.import_id, None)
    item = bound.get(remote.import_id)
    is_due = item is not None and (
        is_ahead(remote.status, item) or (is_untaken(item, remote.status) and is_over(item, now))
    )
    if is_due and remote.import_id not in seen.ahead:
        seen.ahead.append(remote.import_id)
    tag = tag_of(remote.original_filename)
    if tag is not None and remote.status not in (ImportStatus.AWAITING_UPLOAD, ImportStatus.FAILED):
        seen.by_tag[tag].append(remote)


def is_ahead(status: str, item: Item) -> bool:
    """Return whether the vendor's status of an import is ahead of its item."""
    if item.state is _S.CREATED:
        return status != ImportStatus.AWAITING_UPLOAD
    state = STATE_OF_STATUS.get(status)
    return state in _ENDS and state is not item.state


async def _due(deployment: Deployment, old: Collection[Item]) -> list[str]:
    """Return the old imports to retrieve now; the order changes every hour, so that each gets its turn."""
    hour = int(deployment.clock.now().timestamp() // RETRIEVED_EVERY_S)
    due: list[str] = []
    in_turn = sorted(old, key=lambda item: zlib.crc32(f"{hour} {item.import_id}".encode()))
    for item in in_turn[: MAX_RETRIEVED * _TRIES]:
        import_id = item.bound_id
        taken = await deployment.leases.take(
            item.batch_id, f"asked {import_id}", holder=deployment.holder(), for_s=RETRIEVED_EVERY_S
        )
        if taken is None:
            due.append(import_id)
        if len(due) == MAX_RETRIEVED:
            break
    return due


async def _released_with_data(deployment: Deployment, seen: _Seen) -> int:
    """Count the imports that have data although their item released them: then two imports have the same tag."""
    doubled = {
        remote.import_id: remote
        for same_tag in seen.by_tag.values()
        if len({remote.import_id for remote in same_tag}) > 1
        for remote in same_tag
    }
    owners = await deployment.ledger.owners(doubled)
    found = [await duplicate_risk(deployment.ledger, doubled[import_id], owner) for import_id, owner in owners.items()]
    risks = [risk for risk in found if risk is not None]
    for risk in risks:
        logger.error("a released import took data", extra={"item": risk.source, "import_id": risk.import_id})
    return len(risks)
