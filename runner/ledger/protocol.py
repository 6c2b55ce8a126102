"""The ledger: the durable account of what happened to each item, and the protocol that every store of it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Unpack

from runner.models import Batch, BatchChanges, HistoryEntry, Item, ItemChanges, ItemState, RemoteImport


class Ledger(Protocol):
    """About a dozen verbs. A store decides nothing: every write is conditional on what the caller has seen.

    When a verb returns, its effect survives a crash of the process and of the machine.
    Any verb may raise LedgerError or StorageFull.
    """

    async def start_batch(self, batch: Batch) -> None:
        """Record a new batch. Raises LedgerError where its id exists."""
        ...

    async def batch(self, batch_id: str) -> Batch | None: ...

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        """Return the batches, or those of `source_uri`, by start; at the same millisecond by the order of creation."""
        ...

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        """Set fields of the batch (`state`, `listed`, `config`, `out`, `finished_at`, `exit_code`)."""
        ...

    async def count_up(self, batch_id: str, **counters: int) -> None:
        """Add to the batch's counters (`models.COUNTERS`)."""
        ...

    async def add(self, items: Sequence[Item]) -> int:
        """Add new items of one batch, in whatever state they carry; those already in the batch stay as they are.

        Returns how many were new. One call is one transaction, but in a shared store where it adds more than a few
        dozen items: there a call that was cut short is repeated to add the rest.
        """
        ...

    async def item(self, batch_id: str, source: str) -> Item | None: ...

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        """Return {source: item} for those sources that the batch has, as they are now, whoever moved them last.

        Never behind, unlike a page of a store that is shared; a hundred items cost one round trip there.
        """
        ...

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        """Move an item, if it is still at `item.revision`, and write its history; returns it as it is now.

        `state` may be the item's own. Setting `import_id` binds: the id must never have belonged to any item
        (ImportIdTaken); setting it to None releases the import, which stays taken for ever. Setting `tag` claims it: no
        other item that bears it may be `Item.is_held` (TagInUse), unless `share_tag`.
        Raises StaleItem, IllegalTransition, TagInUse, ImportIdTaken.
        """
        ...

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        """Return up to `limit` items in `state`, ordered by (rank, source), those after `after`.

        In a shared store an item that was added or moved a moment ago may be missing; none is there that is not so.
        """
        ...

    def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        """Yield the batch's items by source (binary order of UTF-8), with flat memory; writes may happen meanwhile.

        None is missing that was in one of the states all the while, in a shared store neither.
        """
        ...

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        """Return how many items are in each state; states without items are absent."""
        ...

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]: ...

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return {import id: (batch id, source)} for those ids that belong, or belonged, to an item."""
        ...

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        """Return the items of all batches that carry a tag."""
        ...

    async def already_sent(self, version_keys: Iterable[str]) -> set[str]:
        """Return those version keys under which an item of any batch is in one of `models.SENT_STATES`."""
        ...

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        """Return the instant up to which the vendor's imports are known here; None where they never were."""
        ...

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        """Record that every import made before `at` is bound, kept as an orphan, or not ours."""
        ...

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        """Remember tagged imports that no item owns; one that is kept already is replaced."""
        ...

    async def orphans(self, tag: str) -> list[RemoteImport]:
        """Return the kept orphans whose `original_filename` bears the tag, whether they have an owner by now or not."""
        ...

    async def close(self) -> None: ...


class CloudLedger(Ledger, Protocol):
    """What the functions of the deployment need beside: nobody there sees a batch from its start to its end."""

    async def incomplete_batches(self) -> list[Batch]:
        """Return the batches that are not complete, in no order; one that changed a moment ago may be missing."""
        ...

    async def moves_of(self, batch_id: str) -> tuple[int, int]:
        """Return how many transactions have moved or added items, and up to which of them the manifest was written."""
        ...

    async def manifested(self, batch_id: str, *, moves: int) -> bool:
        """Record that the manifest shows the batch as of `moves`; False where one as late as that was recorded before.

        Raises LedgerError where there is no such batch.
        """
        ...

    async def good_config(self) -> str | None:
        """Return the text of the last configuration that was found valid, None where there was none."""
        ...

    async def keep_config(self, text: str) -> None:
        """Keep the text of a configuration that was found valid in place of the one before."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """An item and its whole history, oldest first; the imports it names are those that ever belonged to the item."""

    item: Item
    history: Sequence[HistoryEntry]

    @property
    def import_ids(self) -> list[str]:
        """Return each import once, in the order in which they were bound."""
        named = [step.import_id for step in self.history]
        return list(dict.fromkeys(import_id for import_id in [*named, self.item.import_id] if import_id is not None))


class PortableLedger(Ledger, Protocol):
    """A ledger that can be copied, and copied to."""

    def recorded(self, batch_id: str) -> AsyncIterator[list[Recorded]]:
        """Yield the batch's items with their histories, by source, in pages."""
        ...

    async def restore(self, records: Sequence[Recorded]) -> int:
        """Add items of one batch with their histories and imports; those in the batch stay as they are.

        Returns how many were new. Raises ImportIdTaken.
        """
        ...

    def all_orphans(self) -> AsyncIterator[list[RemoteImport]]:
        """Yield the kept orphans in pages."""
        ...

    async def endpoints(self) -> dict[str, datetime]:
        """Return {endpoint: the instant up to which its imports are known}."""
        ...
