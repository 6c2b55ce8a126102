"""An API that only lists, and shows what a test says; the imports and the batch of such tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.models import Batch, ImportPage, RemoteImport

AT = datetime(2026, 7, 1, tzinfo=UTC)


class StillClock:
    """The clocks of a machine on which no time passes."""

    def now(self) -> datetime:
        return AT

    def ticks(self) -> float:
        return 0.0


class Lists:
    """Each walk over the list shows the next of `walks`, the last one again and again, in pages of `page_size`."""

    def __init__(self, *walks: Sequence[RemoteImport], page_size: int = 1000) -> None:
        self._walks = list(walks) or [()]
        self._page_size = page_size
        self.walks = 0
        self.pages = 0

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        self.walks += offset == 0
        self.pages += 1
        rows = self._walks[min(self.walks, len(self._walks)) - 1]
        last = offset + min(limit, self._page_size)
        return ImportPage(count=len(rows), imports=tuple(rows[offset:last]), has_next=last < len(rows))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def made(
    import_id: str,
    minute: float | None = 0,
    *,
    status: str = "SUCCESSFUL",
    name: str | None = None,
    schema_id: str = "s",
) -> RemoteImport:
    """Return an import that was made so many minutes after AT; None: the list does not say when."""
    at = None if minute is None else AT + timedelta(minutes=minute)
    return RemoteImport(import_id=import_id, status=status, schema_id=schema_id, original_filename=name, created_at=at)


def batch(batch_id: str = "b") -> Batch:
    return Batch(batch_id=batch_id, source_uri="u", account="a", out="o", config="{}", started_at=AT)
