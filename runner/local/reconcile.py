"""Reconcile: compare a batch with the vendor, and repair what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.dromo.listing import imports_since
from runner.errors import ImportNotFound, StaleItem
from runner.events import Notice, ignore
from runner.formatting import counted, lasting
from runner.models import OPEN_STATES, STATE_OF_STATUS, ImportStatus, Item, ItemState, tag_of
from runner.retry import repeat_read
from runner.stages.absence import ANSWERS, OVER
from runner.stages.track import Tracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Batch, RemoteImport
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions

_S = ItemState
_BOUND = frozenset({_S.CREATED, _S.PROCESSING, _S.NEEDS_REVIEW})


class DifferenceKind(StrEnum):
    """How an import and the ledger differ.

    `status`: the vendor is ahead; `orphan`: an import without an owner; `missing`: the import is gone;
    `duplicate_risk`: an import got data after its item gave it up; `result_gone`: a result is not in its place.
    """

    STATUS = "status"
    ORPHAN = "orphan"
    MISSING = "missing"
    DUPLICATE_RISK = "duplicate_risk"
    RESULT_GONE = "result_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference between ledger and vendor, or ledger and results; `fixed` if it was repaired."""

    source: str | None
    import_id: str
    kind: DifferenceKind
    detail: str
    fixed: bool = False
    batch_id: str | None = None
    """The batch that `source` is in, if it is another one than the batch that is compared."""


async def repair(
    found: list[Difference], ledger: Ledger, api: ImportsApi, batch: Batch, transitions: Transitions
) -> list[Difference]:
    """Move items to the vendor's state. Orphans are left to the next run, which adopts them by their tag.

    Returns the differences, those that were repaired marked as `fixed`. Raises TransientError.
    """
    tracker = Tracker(api=api, transitions=transitions)
    return [await _repaired(difference, ledger, batch, tracker, transitions) for difference in found]


async def _repaired(
    difference: Difference, ledger: Ledger, batch: Batch, tracker: Tracker, transitions: Transitions
) -> Difference:
    if difference.source is None or difference.kind not in (DifferenceKind.STATUS, DifferenceKind.MISSING):
        return difference
    item = await ledger.item(batch.batch_id, difference.source)
    if item is None or item.import_id != difference.import_id or item.state not in _BOUND:
        return difference
    was = item.state
    try:
        if item.state is _S.CREATED and difference.kind is DifferenceKind.STATUS:
            item = await transitions.advance(item, _S.PROCESSING, reason="the data had arrived")
    except StaleItem:
        return difference
    current = await tracker.check(item)
    return replace(difference, fixed=current.state is not was)


async def differences(ledger: Ledger, api: ImportsApi, batch: Batch, *, emit: EventHook = ignore) -> list[Difference]:
    """Compare the batch with the vendor's list since the batch began; changes nothing.

    Imports without an owner are differences if an item of this ledger has their tag; a notice counts the others, which
    are of other ledgers. Raises TransientError.
    """
    remote = {found.import_id: found async for found in imports_since(api, batch.started_at)}
    owners = await ledger.owners(remote)
    bound = {item.import_id: item async for item in ledger.items(batch.batch_id, states=_BOUND) if item.import_id}
    found = [_ahead(item, remote[import_id]) for import_id, item in bound.items() if import_id in remote]
    found += [await _maybe_missing(api, item) for import_id, item in bound.items() if import_id not in remote]
    found += await _orphans(ledger, [one for one in remote.values() if one.import_id not in owners], emit)
    here = [other for other in remote.values() if owners.get(other.import_id, ("",))[0] == batch.batch_id]
    found += [await duplicate_risk(ledger, other, owners[other.import_id]) for other in here]
    return [difference for difference in found if difference is not None]


def _ahead(item: Item, remote: RemoteImport) -> Difference | None:
    state = STATE_OF_STATUS.get(remote.status, item.state)
    if remote.status == ImportStatus.AWAITING_UPLOAD or state is item.state:
        return None
    return Difference(
        source=item.source,
        import_id=remote.import_id,
        kind=DifferenceKind.STATUS,
        detail=f"the ledger says {item.state}, the vendor {remote.status}",
    )


async def _maybe_missing(api: ImportsApi, item: Item) -> Difference | None:
    import_id = item.bound_id
    try:
        return _ahead(item, await repeat_read(lambda: api.retrieve(import_id)))
    except ImportNotFound:
        return Difference(
            source=item.source,
            import_id=import_id,
            kind=DifferenceKind.MISSING,
            detail=f"the ledger says {item.state}, the vendor does not find the import; "
            f"it is gone after {ANSWERS} such answers over {lasting(OVER.total_seconds())}",
        )


async def _orphans(ledger: Ledger, unowned: Sequence[RemoteImport], emit: EventHook) -> list[Difference]:
    """Return the imports that have the tag of an item of this ledger; a notice counts the other tagged ones."""
    tags = {one.import_id: tag for one in unowned if (tag := tag_of(one.original_filename)) is not None}
    items = await ledger.by_tag(set(tags.values()))
    found = [
        _orphan(one, items[tags[one.import_id]][-1])
        for one in unowned
        if one.import_id in tags and items.get(tags[one.import_id])
    ]
    if others := len(tags) - len(found):
        emit(Notice(code="other_imports", message=f"{counted(others, 'import')} of other ledgers are not compared"))
    return found


def _orphan(remote: RemoteImport, item: Item) -> Difference:
    return Difference(
        source=item.source,
        batch_id=item.batch_id,
        import_id=remote.import_id,
        kind=DifferenceKind.ORPHAN,
        detail=f"{remote.status}, created for this file of batch {item.batch_id} by a run whose record is lost",
    )


async def duplicate_risk(ledger: Ledger, remote: RemoteImport, owner: tuple[str, str]) -> Difference | None:
    """Return the difference if `owner`, (batch id, source), gave the import up and the import got data anyway."""
    if remote.status in (ImportStatus.AWAITING_UPLOAD, ImportStatus.FAILED):
        return None
    item = await ledger.item(*owner)
    if item is None or item.import_id == remote.import_id or (item.state in OPEN_STATES and item.import_id is None):
        return None
    return Difference(
        source=item.source,
        import_id=remote.import_id,
        kind=DifferenceKind.DUPLICATE_RISK,
        detail=f"given up by the item, but the import is {remote.status}",
    )
