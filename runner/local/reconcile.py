"""Repair: what an earlier run left unfinished, what differs from the vendor, and putting items back to work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.dromo.listing import imports_since
from runner.errors import ImportNotFound, StaleItem
from runner.globs import Globs
from runner.models import OPEN_STATES, RESULT_INVALID, STATE_OF_STATUS, ImportStatus, Item, ItemKind, ItemState, tag_of
from runner.retry import repeat_read
from runner.stages.track import Tracker
from runner.stages.transitions import ItemOvertaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from runner.ledger.protocol import Ledger
    from runner.models import Batch, RemoteImport
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions

_S = ItemState
WITH_IMPORT = frozenset({_S.CREATED, _S.PROCESSING, _S.SUCCEEDED})
"""States in which an item has an import and the runner has something to do with it."""

_UNFINISHED = WITH_IMPORT | {_S.CREATING}
_BOUND = frozenset({_S.CREATED, _S.PROCESSING, _S.NEEDS_REVIEW})


async def unfinished(ledger: Ledger, batch_id: str, *, transitions: Transitions) -> AsyncIterator[Item]:
    """Yield the items that are neither queued nor at rest.

    A file whose create was not recorded is queued again and not yielded: if the create took effect, its import is an
    empty orphan that is found by its tag. A JSON item is yielded in state `creating`.
    """
    async for item in ledger.items(batch_id, states=_UNFINISHED):
        if item.state is not _S.CREATING or item.kind is not ItemKind.FILE:
            yield item
            continue
        try:
            await transitions.advance(
                item, _S.QUEUED, reason="the run ended before the answer to its create was recorded"
            )
        except ItemOvertaken as error:
            if error.current.state in WITH_IMPORT:
                yield error.current
        except StaleItem:
            continue


async def redrive(
    ledger: Ledger, batch_id: str, *, states: Collection[ItemState], match: str | None, transitions: Transitions
) -> int:
    """Put failed, rejected or uncertain items whose source matches the glob back to work; returns how many.

    Raises ConfigError if the glob is malformed.
    """
    count, globs = 0, None if match is None else Globs([match])
    async for item in ledger.items(batch_id, states=states):
        if globs is None or globs.matches(item.source):
            count += await put_back(item, transitions) is not None
    return count


async def put_back(item: Item, transitions: Transitions) -> Item | None:
    """Put one item back to work, for an import of its own; where only its result was of no use, that is fetched again.

    Returns it as it is then, None where somebody else moved it meanwhile.
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


class DifferenceKind(StrEnum):
    """The vendor is ahead; an import without owner; one that is gone; one that took data after it was given up."""

    STATUS = "status"
    ORPHAN = "orphan"
    MISSING = "missing"
    DUPLICATE_RISK = "duplicate_risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference between ledger and vendor; `fixed` where it was repaired."""

    source: str | None
    import_id: str
    kind: DifferenceKind
    detail: str
    fixed: bool = False


async def repair(
    found: list[Difference], *, ledger: Ledger, api: ImportsApi, batch: Batch, transitions: Transitions
) -> list[Difference]:
    """Bring items to where the vendor is; orphans are left to the next run, which adopts them by their tag."""
    tracker = Tracker(api=api, transitions=transitions)
    return [await _repaired(difference, ledger, batch, tracker, transitions) for difference in found]


async def _repaired(
    difference: Difference, ledger: Ledger, batch: Batch, tracker: Tracker, transitions: Transitions
) -> Difference:
    if difference.source is None or difference.kind not in (DifferenceKind.STATUS, DifferenceKind.MISSING):
        return difference
    item = await ledger.item(batch.batch_id, difference.source)
    if item is None or item.import_id != difference.import_id:
        return difference
    try:
        if item.state is _S.CREATED and difference.kind is DifferenceKind.STATUS:
            item = await transitions.advance(item, _S.PROCESSING, reason="the data had arrived")
    except StaleItem:
        return difference
    await tracker.check(item)
    return replace(difference, fixed=True)


async def differences(ledger: Ledger, api: ImportsApi, batch: Batch) -> list[Difference]:
    """Compare the batch with the vendor's list since the batch began; changes nothing. Raises TransientError."""
    remote = {found.import_id: found async for found in imports_since(api, batch.started_at)}
    owners = await ledger.owners(remote)
    bound = {item.import_id: item async for item in ledger.items(batch.batch_id, states=_BOUND) if item.import_id}
    found = [_ahead(item, remote[import_id]) for import_id, item in bound.items() if import_id in remote]
    found += [await _maybe_missing(api, item) for import_id, item in bound.items() if import_id not in remote]
    found += [_unowned(other) for other in remote.values() if other.import_id not in owners]
    here = [other for other in remote.values() if owners.get(other.import_id, ("",))[0] == batch.batch_id]
    found += [await given_up(ledger, other, owners[other.import_id]) for other in here]
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
            detail=f"the ledger says {item.state}, the vendor no longer has the import",
        )


def _unowned(remote: RemoteImport) -> Difference | None:
    if tag_of(remote.original_filename) is None:
        return None
    return Difference(
        source=None,
        import_id=remote.import_id,
        kind=DifferenceKind.ORPHAN,
        detail=f"{remote.status}, created by a run whose record is lost, or by another ledger",
    )


async def given_up(ledger: Ledger, remote: RemoteImport, owner: tuple[str, str]) -> Difference | None:
    """Tell whether an import was released by its `owner`, (batch id, source), and took data all the same."""
    if remote.status in (ImportStatus.AWAITING_UPLOAD, ImportStatus.FAILED):
        return None
    item = await ledger.item(*owner)
    if item is None or item.import_id == remote.import_id or (item.state in OPEN_STATES and item.import_id is None):
        return None
    return Difference(
        source=item.source,
        import_id=remote.import_id,
        kind=DifferenceKind.DUPLICATE_RISK,
        detail=f"given up by the item, yet {remote.status}",
    )
