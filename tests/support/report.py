"""Batches as reports show them: a spec, items in every state, and the page of a batch as a parser reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.config.units import Rate
from runner.ledger.memory import MemoryLedger
from runner.manifest import REPORT_HTML, Report, write_manifest, write_report
from runner.models import Batch, BatchState, Item, ItemState
from runner.row_counts import LeftOutReason
from runner.sinks import LocalSink
from runner.sources.spec import SourceSpec

S = ItemState
START = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
NOW = START + timedelta(days=2, hours=3)
QUOTA = Rate(20, 60.0)
ID = "20261127-200000-k3f9x2"
VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})
INLINE = frozenset({"a", "b", "code", "i", "span", "strong"})


def batch_of(spec: SourceSpec | None = None, **fields: Any) -> Batch:
    spec = spec or SourceSpec(kind="directory", path="/data/inbox")
    known: dict[str, Any] = {
        "source_uri": "file:///data/inbox",
        "account": "e-k",
        "out": "/data/out",
        "config": RunSpec(source=spec, routes=Routes.single(schema_id="s")).to_json(),
        "state": BatchState.SETTLED,
        "exit_code": 4,
        "reason": "3 items failed",
        "finished_at": START + timedelta(hours=1),
    }
    return Batch(batch_id=ID, started_at=START, **known | fields)


def item(source: str, state: ItemState = S.COLLECTED, **fields: Any) -> Item:
    return Item(batch_id=ID, source=source, state=state, **fields)


def failed(source: str, message: str = "The workbook is damaged.", *, code: str = "import_failed") -> Item:
    return item(source, S.FAILED, error_code=code, error_message=message)


def review(source: str, *, days: float = 2, url: str | None = "https://app.dromo.io/review/1") -> Item:
    return item(source, S.NEEDS_REVIEW, review_url=url, created_at=NOW - timedelta(days=days))


def lossy(source: str, count: int = 2) -> Item:
    reasons = (LeftOutReason("email", "mail", count),)
    return item(source, row_count=10 - count, rows_in=10, left_out_reasons=reasons, result="r.json")


async def written(folder: Path, items: Iterable[Item], batch: Batch | None = None, now: datetime = NOW) -> Report:
    """Write the manifest and the report of a batch with these items."""
    batch = batch or batch_of()
    ledger = MemoryLedger(now=lambda: START)
    await ledger.start_batch(batch)
    await ledger.add(items)
    report = Report(batch, now=now, quota=QUOTA)
    await write_manifest(ledger, batch, LocalSink(folder), exit_code=batch.exit_code, now=now, report=report)
    return report


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Items:
    """The part of a ledger that a report reads: items in the order of their sources."""

    def __init__(self, *items: Item) -> None:
        self._items = sorted(items, key=lambda one: one.source)

    async def items(self, batch_id: str, *, states: Any = None) -> AsyncIterator[Item]:
        for one in self._items:
            yield one

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        return {}


class Documents:
    """A sink that keeps documents by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, bytes] = {}

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        self.by_name[name] = b"".join([chunk async for chunk in chunks])
        return name


async def documents(*items: Item, batch: Batch | None = None) -> dict[str, bytes]:
    """Return the documents of a report, by name."""
    batch, sink = batch or batch_of(), Documents()
    await write_report(cast("Any", Items(*items)), batch, cast("Any", sink), Report(batch, now=NOW, quota=QUOTA))
    return sink.by_name


async def page_of(*items: Item, batch: Batch | None = None) -> Page:
    """Return the page of a batch with these items."""
    return Page((await documents(*items, batch=batch))[REPORT_HTML].decode())


class Page(HTMLParser):
    """A page, parsed. Raises AssertionError unless each element that is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        self._texts.append("" if tag in INLINE else " ")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop() == tag
        self._texts.append("" if tag in INLINE else " ")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self._texts.append(data)

    @property
    def text(self) -> str:
        """All text, with single blanks."""
        return " ".join("".join(self._texts).split())

    @property
    def style(self) -> str:
        return self.html.partition("<style>")[2].partition("</style>")[0]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with a tag."""
        return [attributes for found, attributes in self.tags if found == tag]

    @property
    def links(self) -> list[str | None]:
        return [attributes.get("href") for attributes in self.all("a")]
