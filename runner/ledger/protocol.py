"""The ledger protocols: what every store can do, and what the functions and `ledger copy` need in addition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Unpack

from runner.models import Batch, BatchChanges, HistoryEntry, Item, ItemChanges, ItemState, RemoteImport
from runner.row_counts import RowTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of an item to another state, as `ItemStore.advance` makes it."""

    item: Item
    state: ItemState
    reason: str
    share_tag: bool = False
    changes: ItemChanges = field(default_factory=ItemChanges)


class BatchStore(Protocol):
    """The batches of a ledger."""

    async def start_batch(self, batch: Batch) -> None:
        """Record a new batch. Raises LedgerError if its id exists."""
        ...

    async def batch(self, batch_id: str) -> Batch | None: ...

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        """Return the batches, or those of `source_uri`, in the order in which they were created in this ledger.

        Batches of packs (`models.batch_of_packs`) are left out.
        """
        ...

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        """Set fields of the batch, and return it as it is now. Raises LedgerError if it does not exist."""
        ...

    async def count_up(self, batch_id: str, **counters: int) -> None:
        """Add to the batch's counters (`models.COUNTERS`). Raises LedgerError if the batch does not exist."""
        ...


class ItemStore(Protocol):
    """The items of a ledger's batches, and their histories."""

    async def add(self, items: Sequence[Item]) -> int:
        """Add new items of one batch, in the state they have; items that are already in the batch do not change.

        Returns the number of new items. One call is one transaction, except in DynamoDB for more than a few dozen
        items: if such a call is interrupted, repeat it to add the rest. Raises ImportIdTaken.
        """
        ...

    async def item(self, batch_id: str, source: str) -> Item | None: ...

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        """Return {source: item} for those sources that are in the batch.

        Always current, unlike `page` in a shared store; a hundred items cost one round trip there.
        """
        ...

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        """Move an item, if it is still at `item.revision`, and write its history; returns the item as it is now.

        `state` may be the item's current state. Setting `import_id` binds the import: its id must never have belonged
        to any item (ImportIdTaken). Setting it to None releases the import, whose id can never be bound again. Setting
        `tag` claims the tag: no other item with it may be `Item.blocks_content`, or, with `share_tag`, `Item.is_held`
        (TagInUse).
        Raises StaleItem, IllegalTransition, TagInUse, ImportIdTaken.
        """
        ...

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        """Return up to `limit` items in `state`, ordered by (rank, source), that come after `after`.

        In a shared store, an item that was added or moved a moment ago may be missing. Every item returned is in
        `state`.
        """
        ...

    def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        """Yield the batch's items by source (binary order of UTF-8) with constant memory, also during writes.

        No item is missing that was in one of the states during the whole call; this holds for shared stores, too.
        """
        ...

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        """Return {state: number of items}; states without items are absent."""
        ...

    async def row_totals(self, batch_id: str) -> RowTotals:
        """Return the rows of the batch's collected items, which change in the same write as an item's state.

        Of items that a version without these counts collected, the rows are unknown; in DynamoDB, also those in the
        result.
        """
        ...

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]: ...

    async def held_back(self, batch_id: str) -> list[Item]:
        """Return the batch's skipped items whose `earlier_state` is not `collected`, by source."""
        ...


class ImportIndex(Protocol):
    """What a ledger knows of the vendor's imports, and of content that was sent, in all batches."""

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return {import id: (batch id, source)} for the ids that belong, or once belonged, to an item."""
        ...

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        """Return {tag: the items of all batches that have it}; tags without items are absent."""
        ...

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        """Return {version key: the items of all batches that are in one of `models.SENT_STATES`}.

        Keys without items are absent. In a shared store, an item that moved a moment ago may be missing, and so may one
        that has a file key: `by_file` returns it.
        """
        ...

    async def by_file(self, file_keys: Iterable[str], *, may_lag: bool = False) -> dict[str, list[Item]]:
        """Return {file key: the items of all batches that are `Item.was_tried`}; files without items are absent.

        The items of a file come in the order of their batches (as `BatchStore.batches`), those of one batch in the
        order of their creates. Always current, unless `may_lag`: then a shared store reads for half of the price, and
        may lack an item that was tried a moment ago.
        """
        ...

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        """Return the instant up to which the ledger knows the vendor's imports; None if it never listed them.

        For "`endpoint` json `schema id`", it is when JSON of the schema was found, or said, to be new.
        """
        ...

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        """Record that every import created before `at` is bound, kept as an orphan, or not ours."""
        ...

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        """Store tagged imports that no item owns, or replace what is stored of them."""
        ...

    async def orphans(self, tag: str) -> list[RemoteImport]:
        """Return the stored orphans whose `original_filename` has the tag, also those that an item owns by now."""
        ...

    async def orphans_named(self, start: str) -> list[RemoteImport]:
        """Return the stored orphans whose `original_filename` begins with `models.PACK_NAME_START`, or a longer text.

        A table has only those that a version with packing has stored.
        """
        ...


class Ledger(BatchStore, ItemStore, ImportIndex, Protocol):
    """What a run needs of a store. A store decides nothing: every write is conditional on what the caller has read.

    When a method returns, its effect survives a crash of the process and of the machine. Every method may raise
    LedgerError, StorageFull (SQLite), or LedgerUnavailable (DynamoDB).
    """

    async def close(self) -> None: ...


class PackLedger(Ledger, Protocol):
    """What packing needs in addition: the ledgers that are files have it."""

    async def advance_all(self, moves: Sequence[Move], *, add: Sequence[Item] = ()) -> list[Item]:
        """Add new items, and move others as `advance` does, in one transaction; return those moved, as they are now.

        Raises as `add` and `advance` do, and LedgerError if an item to add exists; then nothing has changed.
        """
        ...

    async def members(self, batch_id: str, pack: str) -> list[Item]:
        """Return the items of a batch that are, or were last, members of a pack, by their rows in it."""
        ...


class CloudLedger(Ledger, Protocol):
    """What the functions of a deployment need in addition: none of them sees a whole batch."""

    async def incomplete_batches(self) -> list[Batch]:
        """Return the batches that are not complete, in no order; a batch that changed a moment ago may be missing."""
        ...

    async def recent_batches(self, count: int) -> list[Batch]:
        """Return the `count` newest batches, oldest first; reads no others, except in ledgers of earlier versions."""
        ...

    async def moves_of(self, batch_id: str) -> tuple[int, int]:
        """Return how many transactions moved or added items, and how many of them the manifest includes.

        A shared store may leave out moves from one open state to another, which no manifest shows. Raises LedgerError
        if the batch does not exist.
        """
        ...

    async def record_manifest(self, batch_id: str, *, moves: int) -> bool:
        """Record that the manifest includes the first `moves` transactions; False if an equal or later one is recorded.

        Raises LedgerError if the batch does not exist.
        """
        ...

    async def has_open(self, batch_id: str) -> bool:
        """Return whether an item of the batch is in an open state, as exact as `counts` and cheaper."""
        ...

    async def flush_counts(self) -> None:
        """Write what moves and `count_up` have left to be counted, which other processes do not see until then.

        A shared store counts at once whatever changes how many items are open in all. How the open items divide among
        their states, and the counters of a batch, it may count later: they lack what a process did that died.
        """
        ...

    async def good_config(self) -> str | None:
        """Return the text of the latest valid configuration, or None."""
        ...

    async def keep_config(self, text: str) -> None:
        """Store the text of a valid configuration in place of the previous one."""
        ...

    async def config_is_from_inbox(self) -> bool:
        """Return whether the stored configuration is one of version 0.1.0, which read it from the inbox."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """An item and its whole history, oldest entry first."""

    item: Item
    history: Sequence[HistoryEntry]

    @property
    def import_ids(self) -> list[str]:
        """Return every import that ever belonged to the item, once, in the order in which they were bound."""
        named = [step.import_id for step in self.history]
        return list(dict.fromkeys(import_id for import_id in [*named, self.item.import_id] if import_id is not None))


class PortableLedger(Ledger, Protocol):
    """What `bulkhead ledger copy` needs of the ledger it reads and of the one it writes."""

    def recorded(self, batch_id: str) -> AsyncIterator[list[Recorded]]:
        """Yield the batch's items with their histories, by source, in pages."""
        ...

    async def restore(self, records: Sequence[Recorded]) -> int:
        """Add items of one batch with their histories and imports; items already in the batch do not change.

        Returns the number of new items. Raises ImportIdTaken.
        """
        ...

    def all_orphans(self) -> AsyncIterator[list[RemoteImport]]:
        """Yield the stored orphans in pages."""
        ...

    async def endpoints(self) -> dict[str, datetime]:
        """Return {endpoint: what `reconciled_to` returns for it}."""
        ...
