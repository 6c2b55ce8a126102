"""Reconcile: compare a batch with the vendor, and repair what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.dromo.listing import imports_since
from runner.errors import ImportNotFound, StaleItem
from runner.events import Notice, ignore
from runner.formatting import counted, lasting
from runner.models import (
    OPEN_STATES,
    PACK_REVIEW_FINISHED,
    STATE_OF_STATUS,
    ImportStatus,
    Item,
    ItemKind,
    ItemState,
    batch_of_packs,
    tag_of,
)
from runner.packing.body import PackName
from runner.retry import repeat_read
from runner.stages.absence import ANSWERS, OVER
from runner.stages.pack_ends import DISSOLVED, is_sent_otherwise
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
    pack: str | None = None
    """The pack whose import it is; `source` is None then, and its files follow it with the next run."""


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
    if difference.kind not in (DifferenceKind.STATUS, DifferenceKind.MISSING):
        return difference
    item = await _item_of(difference, ledger, batch)
    if item is None or item.import_id != difference.import_id or not _is_repaired_here(item, difference):
        return difference
    was = item.state
    try:
        if item.state is _S.CREATED and difference.kind is DifferenceKind.STATUS:
            item = await transitions.advance(item, _S.PROCESSING, reason="the data had arrived")
    except StaleItem:
        return difference
    current = await tracker.check(item)
    return replace(difference, fixed=current.state is not was)


def _is_repaired_here(item: Item, difference: Difference) -> bool:
    """Return whether an item can be moved here; only a run knows whether the review of a pack was deleted."""
    is_deleted_review = item.kind is ItemKind.PACK and item.state is _S.NEEDS_REVIEW
    return item.state in _BOUND and not (is_deleted_review and difference.kind is DifferenceKind.MISSING)


async def _item_of(difference: Difference, ledger: Ledger, batch: Batch) -> Item | None:
    if difference.pack is not None:
        return await ledger.item(batch_of_packs(batch.batch_id), difference.pack)
    return await ledger.item(batch.batch_id, difference.source or "")


async def differences(ledger: Ledger, api: ImportsApi, batch: Batch, *, emit: EventHook = ignore) -> list[Difference]:
    """Compare the batch with the vendor's list since the batch began; changes nothing.

    Imports without an owner are differences if an item of this ledger has their tag; a notice counts the others, which
    are of other ledgers. Raises TransientError.
    """
    remote = {found.import_id: found async for found in imports_since(api, batch.started_at)}
    owners = await ledger.owners(remote)
    batches = [batch.batch_id]
    if await ledger.batch(batch_of_packs(batch.batch_id)) is not None:
        batches.append(batch_of_packs(batch.batch_id))
    bound = {
        item.import_id: item for one in batches async for item in ledger.items(one, states=_BOUND) if item.import_id
    }
    found = [_ahead(item, remote[import_id]) for import_id, item in bound.items() if import_id in remote]
    found += [await _maybe_missing(api, item) for import_id, item in bound.items() if import_id not in remote]
    found += await _orphans(ledger, [one for one in remote.values() if one.import_id not in owners], emit)
    here = [other for other in remote.values() if owners.get(other.import_id, ("",))[0] in batches]
    found += [await duplicate_risk(ledger, other, owners[other.import_id]) for other in here]
    return [difference for difference in found if difference is not None]


def _ahead(item: Item, remote: RemoteImport) -> Difference | None:
    state = STATE_OF_STATUS.get(remote.status, item.state)
    if remote.status == ImportStatus.AWAITING_UPLOAD or state is item.state:
        return None
    return _difference(
        item, remote.import_id, DifferenceKind.STATUS, f"the ledger says {item.state}, the vendor {remote.status}"
    )


def _difference(item: Item, import_id: str, kind: DifferenceKind, detail: str) -> Difference:
    """Return a difference of an item, or of a pack, which is no item to users."""
    if item.kind is not ItemKind.PACK:
        return Difference(source=item.source, import_id=import_id, kind=kind, detail=detail)
    name = PackName.parse(item.original_filename)
    files = counted(name.file_count, "file") if name is not None else "files"
    return Difference(
        source=None, pack=item.source, import_id=import_id, kind=kind, detail=f"a pack of {files}: {detail}"
    )


async def _maybe_missing(api: ImportsApi, item: Item) -> Difference | None:
    import_id = item.bound_id
    try:
        return _ahead(item, await repeat_read(lambda: api.retrieve(import_id)))
    except ImportNotFound:
        detail = (
            f"the ledger says {item.state}, the vendor does not find the import; "
            f"it is gone after {ANSWERS} such answers over {lasting(OVER.total_seconds())}"
        )
        return _difference(item, import_id, DifferenceKind.MISSING, detail)


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
    """Return the difference if `owner`, (batch id, source), gave the import up and the import got data anyway.

    A pack that has ended without a result gives its import up, too: its files are sent otherwise.
    """
    if remote.status in (ImportStatus.AWAITING_UPLOAD, ImportStatus.FAILED):
        return None
    item = await ledger.item(*owner)
    if item is None or (item.state in OPEN_STATES and item.import_id is None):
        return None
    if item.kind is ItemKind.PACK and is_sent_otherwise(item):
        was_deleted = item.error_code in (DISSOLVED, PACK_REVIEW_FINISHED)
        why = "its import was deleted, so that its files could be sent otherwise, but"
        if not was_deleted:
            why = f"it is {item.state}, so its files are sent otherwise, but its import"
        return _difference(item, remote.import_id, DifferenceKind.DUPLICATE_RISK, f"{why} is {remote.status}")
    if item.import_id == remote.import_id:
        return None
    detail = f"given up by the item, but the import is {remote.status}"
    return _difference(item, remote.import_id, DifferenceKind.DUPLICATE_RISK, detail)
