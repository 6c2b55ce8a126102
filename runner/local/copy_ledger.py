"""Copy batches from one ledger to another, whatever their stores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from runner.errors import BatchTaken, ConfigError, LedgerError
from runner.ledger.location import LedgerTable
from runner.models import BatchState, ItemState, batch_of_packs

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.protocol import PortableLedger, Recorded
    from runner.local.resources import Resources
    from runner.models import Batch, Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A batch that is complete in the target ledger: its `items`, and how many of them were `new` there."""

    batch_id: str
    items: int
    new: int


async def copy_ledger(
    source: Resources, target: Resources, *, batch_id: str | None, on_copied: Callable[[Copied], None]
) -> None:
    """Copy one batch, or all batches and what the ledger knows about the vendor's imports.

    Nothing is overwritten. If a copy is interrupted, run it again to continue. Raises ConfigError, LedgerError, and
    BatchTaken (LedgerLocked if the ledger is a file) if a run is working on either ledger.
    """
    if source.settings.ledger == target.settings.ledger:
        raise ConfigError("source and target are the same ledger", hint="name another ledger as the target")
    settings = source.settings
    if not settings.ledger_is_there:
        raise ConfigError(f"there is no ledger at {settings.ledger}", hint="`bulkhead config` shows where yours is")
    old = await source.ledger(write=True)
    batches = await old.batches() if batch_id is None else [await _named(old, batch_id)]
    new = await target.ledger(write=True)
    for batch in batches:
        await _refuse_running(source, batch)
        await _copy_packs(target, old, new, batch)
        on_copied(await _copy_batch(old, new, batch))
    await _copy_orphans(old, new, whole=batch_id is None)
    if batch_id is None:
        await _copy_endpoints(old, new)


async def _named(ledger: PortableLedger, batch_id: str) -> Batch:
    batch = await ledger.batch(batch_id)
    if batch is None:
        raise ConfigError(f"there is no batch {batch_id} to copy", hint="`bulkhead batches` lists them")
    return batch


async def _refuse_running(resources: Resources, batch: Batch) -> None:
    if isinstance(resources.settings.ledger, LedgerTable) and await resources.is_running(batch.batch_id):
        raise BatchTaken(f"a run is working on batch {batch.batch_id}", hint="copy the batch after the run has ended")


async def _copy_packs(target: Resources, old: PortableLedger, new: PortableLedger, batch: Batch) -> None:
    """Copy the packs of a batch. Raises ConfigError if some have not ended, and no run on the target finishes them."""
    packs = await old.batch(batch_of_packs(batch.batch_id))
    if packs is None:
        return
    if isinstance(target.settings.ledger, LedgerTable) and (await old.counts(batch.batch_id)).get(ItemState.PACKED):
        raise ConfigError(
            f"batch {batch.batch_id} has packs that have not ended, which only a ledger in a file can keep",
            hint=f"finish them first: `bulkhead resume {batch.batch_id}`",
        )
    await _copy_batch(old, new, packs)


async def _copy_batch(old: PortableLedger, new: PortableLedger, batch: Batch) -> Copied:
    await _begin(new, batch)
    added = 0
    async for page in old.recorded(batch.batch_id):
        count = await new.restore(page)
        if count < len(page):
            await _compare(new, batch, page)
        added += count
    counts = await old.counts(batch.batch_id)
    if await new.counts(batch.batch_id) != counts:
        raise _changed(f"batch {batch.batch_id}")
    await new.update_batch(
        batch.batch_id,
        state=batch.state,
        listed=batch.listed,
        account=batch.account,
        finished_at=batch.finished_at,
        exit_code=batch.exit_code,
        reason=batch.reason,
        config=batch.config,
    )
    return Copied(batch_id=batch.batch_id, items=sum(counts.values()), new=added)


def _unfinished(batch: Batch) -> Batch:
    """Return the batch as the target ledger has it until the copy is complete: with a config that no run accepts."""
    mark = orjson.dumps({"copied": False, "source": batch.source_uri.encode(errors="replace").decode()}).decode()
    return replace(
        batch, state=BatchState.PAUSED, listed=False, finished_at=None, exit_code=None, reason=None, config=mark
    )


async def _begin(new: PortableLedger, batch: Batch) -> None:
    there = await new.batch(batch.batch_id)
    if there is None:
        await new.start_batch(_unfinished(batch))
    elif there.config != _unfinished(batch).config:
        raise LedgerError(
            f"batch {batch.batch_id} is already in the target ledger, and nothing is overwritten",
            hint="copy to another ledger, or choose another batch with --batch",
        )


async def _compare(new: PortableLedger, batch: Batch, page: list[Recorded]) -> None:
    """Raise LedgerError if an item that was in the target ledger before differs from the source."""
    there: dict[str, Item] = await new.look_up(batch.batch_id, [record.item.source for record in page])
    other = next((record.item for record in page if there.get(record.item.source) != record.item), None)
    if other is not None:
        raise _changed(f"{other.source} of batch {batch.batch_id}")


def _changed(what: str) -> LedgerError:
    return LedgerError(f"{what} changed after its copy started", hint="copy it to a ledger that does not have it")


async def _copy_orphans(old: PortableLedger, new: PortableLedger, *, whole: bool) -> None:
    """Copy the orphans; unless all batches are copied (`whole`), only those without an owner."""
    async for page in old.all_orphans():
        owned = {} if whole else await old.owners(orphan.import_id for orphan in page)
        await new.keep_orphans([orphan for orphan in page if orphan.import_id not in owned])


async def _copy_endpoints(old: PortableLedger, new: PortableLedger) -> None:
    """Copy the instants up to which the vendor's imports are known, if they are later than in the target ledger."""
    for endpoint, at in (await old.endpoints()).items():
        known = await new.reconciled_to(endpoint)
        if known is None or known < at:
            await new.set_reconciled(endpoint, at)
