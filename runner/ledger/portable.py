"""PortableLedger: what a store can do beside so that its batches can be moved to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runner.ledger import Ledger
from runner.models import HistoryEntry, Item, RemoteImport


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
