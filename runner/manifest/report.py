"""The report of a batch: one HTML page for people, and lists of files for `--files-from`, from one pass over items."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.aws.s3 import S3Place, is_s3
from runner.errors import BulkheadError
from runner.events import Notice
from runner.formatting import counted, shown
from runner.manifest.creates import CreatesOverTime
from runner.manifest.document import CHUNK_BYTES
from runner.manifest.file_list import FileList, SourcePlace
from runner.manifest.worst_first import DISMISSED, LOOKS, WorstFirst, clipped, look_of
from runner.models import DISMISSED_CODES, OPEN_STATES, ItemState
from runner.problems import Effect, Problem, ProblemGroups
from runner.problems.page import Room, group_shown, page, shares
from runner.reviews import NO_EARLIER_REVIEWS, EarlierReviews
from runner.sinks.result_array import Chunks
from runner.sources.spec import FAILED_TXT, REVIEW_TXT, local_path

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import datetime

    from runner.config.units import Rate
    from runner.manifest.row_summary import RowSummary
    from runner.models import Batch, Item
    from runner.problems import ProblemGroup
    from runner.protocols import Sink

REPORT_HTML = "report.html"

PAGE_BYTES = 5_000_000
REVIEWS_MAX = 500
GROUPS_MAX = 50
"""Groups that a section of the page shows; the manifest has the reason of every item."""

_FRAME_BYTES = 150_000
"""What the page needs for everything that does not grow with the batch: style, figures, and the chart."""

_GROUPS_BYTES = 500_000
_REVIEWS_BYTES = 1_000_000
_LINK_MAX_CHARS = 2000
_EFFECTS = {ItemState.REJECTED: Effect.REJECTED, ItemState.UNCERTAIN: Effect.REVIEW}
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True, slots=True, order=True)
class _Review:
    """An open review; `newness` and `number` are its place in a heap whose first entry is the newest review."""

    newness: float
    number: int
    source: str = field(compare=False)
    url: str | None = field(compare=False, repr=False)
    why: str = field(compare=False)
    age_s: float | None = field(compare=False)


class Report:
    """Takes the items of a batch one by one, in constant memory, and writes what a person wants to see of them.

    The names of failed files and of files under review go to a sink at once, the page at the end. `trouble` has the
    errors because of which one of them could not be written.
    """

    def __init__(
        self, batch: Batch, *, now: datetime, quota: Rate | None, earlier: EarlierReviews = NO_EARLIER_REVIEWS
    ) -> None:
        """`batch` is the batch as the ledger has it now, `earlier` the reviews to name beside it; ages are at `now`."""
        self.trouble: list[BulkheadError] = []
        self._batch = batch
        self._now = now
        self._earlier = earlier
        self._place = SourcePlace(batch)
        self._lists = {
            ItemState.FAILED: FileList(FAILED_TXT, self._place),
            ItemState.NEEDS_REVIEW: FileList(REVIEW_TXT, self._place),
        }
        self._by_look: Counter[tuple[str, str]] = Counter()
        self._creates = CreatesOverTime(quota)
        self._held_count = 0
        """Failed items that a run does not send again, only a redrive."""

        self._packs: set[str] = set()
        """The imports of packs that are counted, which are few, because each has many items."""

        self._groups = {name: ProblemGroups() for name in ("failed", "uncertain", "troubled", "rejected", "dismissed")}
        self._reviews: list[_Review] = []
        self._review_count = 0
        self._files = WorstFirst()

    def begin(self, writing: asyncio.TaskGroup, sink: Sink) -> None:
        """Start to write the lists."""
        for each in self._lists.values():
            writing.create_task(self._store(each, sink))

    async def take(self, item: Item) -> None:
        """Add an item; items come in the order of their sources."""
        self._by_look[look_of(item)] += 1
        self._files.take(item)
        self._count_create(item)
        if (name := _group_of(item)) is not None:
            self._groups[name].take(_Troubled(item))
        if item.state is ItemState.NEEDS_REVIEW:
            self._take_review(item)
        if item.state in self._lists and not item.is_dismissed:
            self._held_count += item.state is ItemState.FAILED and item.is_held
            await self._lists[item.state].add(item)

    def _count_create(self, item: Item) -> None:
        """Count the create of an item, or of its pack with the first item of that pack."""
        if item.created_at is None or item.pack_import_id in self._packs:
            return
        if item.pack_import_id is not None:
            self._packs.add(item.pack_import_id)
        self._creates.add(item.created_at)

    async def end(self) -> None:
        """Complete the lists, after the last item."""
        for each in self._lists.values():
            await each.document.end()

    async def write_page(self, sink: Sink, rows: RowSummary) -> None:
        """Write the page, after the last item; `rows` is the summary of the same items."""
        try:
            await sink.write(REPORT_HTML, self._chunks(rows))
        except BulkheadError as error:
            self.trouble.append(error)

    def notices(self) -> Iterator[Notice]:
        """Yield what the user should know about the report: what was not written, and names that no list can hold."""
        for error in self.trouble:
            yield Notice(code="report_not_written", message=f"the report is not up to date: {error}")
        for each in self._lists.values():
            if each.left_out:
                names = counted(each.left_out, "name")
                yield Notice(
                    code="names_left_out",
                    message=f"{names} with line breaks or bytes that are not UTF-8 cannot be written to {each.name}",
                )

    async def _store(self, files: FileList, sink: Sink) -> None:
        error = await files.document.try_to_store(sink, files.name)
        if error is not None:
            self.trouble.append(error)

    def _take_review(self, item: Item) -> None:
        self._review_count += 1
        opened = item.created_at
        review = _Review(
            newness=0.0 if opened is None else -opened.timestamp(),
            number=-self._review_count,
            source=clipped(item.source),
            url=item.review_url,
            why=clipped(item.error_message or ""),
            age_s=None if opened is None else (self._now - opened).total_seconds(),
        )
        if len(self._reviews) < REVIEWS_MAX:
            heappush(self._reviews, review)
        else:
            heappushpop(self._reviews, review)

    async def _chunks(self, rows: RowSummary) -> AsyncIterator[bytes]:
        chunks = Chunks(CHUNK_BYTES)
        for piece in page(_TEMPLATE, **self._values(rows)):
            if chunk := chunks.add(piece.encode("utf-8", "backslashreplace")):
                yield chunk
        yield chunks.rest()

    def _values(self, rows: RowSummary) -> dict[str, Any]:
        batch, room = self._batch, Room(PAGE_BYTES - _FRAME_BYTES)
        sections = {name: _section(groups.sorted(), room) for name, groups in self._groups.items()}
        figures = self._figures()
        left_out = _section(rows.groups, room)
        earlier = self._earlier_shown(room)
        reviews = self._reviews_shown(room)
        files = list(takewhile(lambda row: room.takes(row.source, row.note, markup_bytes=400), self._files.rows()))
        return {
            "batch": batch,
            "source": clipped(_source_text(batch.source_uri)),
            "reason": clipped(batch.reason or ""),
            "now": self._now,
            "elapsed_s": ((batch.finished_at or self._now) - batch.started_at).total_seconds(),
            "item_count": self._files.count,
            "figures": figures,
            "shares": shares({look: count for look, _, count in figures}),
            "totals": rows.totals,
            "chart": self._creates.chart(),
            "sections": sections,
            "left_out": left_out,
            "reviews": reviews,
            "review_count": self._review_count,
            "earlier_reviews": earlier,
            "earlier_count": self._earlier.count,
            "files": files,
            "files_left_out": self._files.count - len(files),
            "lists": self._lists,
            "resend": self._resend(),
            "held_count": self._held_count,
            "redrive": f"bulkhead {'' if batch.driver == 'runner' else 'cloud '}redrive {batch.batch_id}",
            "is_open": any(look == "open" for look, _ in self._by_look),
        }

    def _figures(self) -> list[tuple[str, str, int]]:
        """Return (class in the style, words, count) of each state that items are in, and of the most usual ones."""
        always = [LOOKS[state] for state in (ItemState.COLLECTED, ItemState.NEEDS_REVIEW, ItemState.FAILED)]
        order = [*LOOKS.values(), DISMISSED]
        found = [(*look, self._by_look[look]) for look in order if look in always or self._by_look[look]]
        open_count = sum(count for (look, _), count in self._by_look.items() if look == "open")
        return found + ([("open", "not finished", open_count)] if open_count else [])

    def _reviews_shown(self, room: Room) -> list[dict[str, Any]]:
        part = room.part(_REVIEWS_BYTES)
        found = []
        for review in sorted(self._reviews, reverse=True):
            one = _review_shown(review.source, review.url, review.age_s, why=review.why)
            if part.takes(one["source"], one["why"], one["text"], one["link"] or "", markup_bytes=300):
                found.append(one)
        room.give_back(part)
        return found

    def _earlier_shown(self, room: Room) -> list[dict[str, Any]]:
        found = []
        for review in self._earlier.first:
            why, age_s = clipped(review.why or ""), review.age_s(self._now)
            one = _review_shown(clipped(review.source), review.review_url, age_s, why=why, of=review.batch_id)
            if room.takes(one["source"], why, one["text"], one["link"] or "", one["batch_id"], markup_bytes=400):
                found.append(one)
        return found

    def _resend(self) -> str | None:
        """Return the command that sends failed files again; None if all are held, or nobody knows where they are."""
        place, failed = self._place.text, self._lists[ItemState.FAILED]
        if place is None or self._held_count == failed.count + failed.left_out or self._batch.driver != "runner":
            return None
        out = self._batch.out
        name = FAILED_TXT if is_s3(out) else f"{out}/{FAILED_TXT}"
        return shown(f"bulkhead run {shlex.quote(place)} --files-from {shlex.quote(name)} --retry-failed")


class _Troubled:
    """An item as a file with the one problem that it ended with; only a refused create is a matter of its schema."""

    def __init__(self, item: Item) -> None:
        self.source = item.source
        self.schema_id = item.schema_id if item.error_code == "create_refused" else None
        self.route = self.schema_id or ""
        self.problems: Sequence[Problem] = (
            Problem(
                effect=_EFFECTS.get(item.state, Effect.FAILS) if not item.is_dismissed else Effect.NOTE,
                kind=item.error_code or "failed",
                message=item.error_message or "no error message",
            ),
        )


def _group_of(item: Item) -> str | None:
    """Return the section of the page that has the reason of an item; None if there is nothing wrong with it."""
    if item.is_dismissed:
        return "dismissed"
    if item.state in (ItemState.FAILED, ItemState.UNCERTAIN, ItemState.REJECTED):
        return str(item.state)
    return "troubled" if item.state in OPEN_STATES and item.error_code else None


def _review_shown(source: str, url: str | None, age_s: float | None, *, why: str, of: str = "") -> dict[str, Any]:
    """Return a review as the page shows it; one of an earlier batch names the batch that it is `of`."""
    link = _link(url)
    text = "" if link or url is None else clipped(url)
    return {"source": source, "link": link, "text": text, "why": why, "age_s": age_s, "batch_id": of}


def _section(groups: Sequence[ProblemGroup], room: Room) -> dict[str, Any]:
    part = room.part(_GROUPS_BYTES)
    found = []
    for group in groups[:GROUPS_MAX]:
        one = _group_shown(group)
        if part.takes(one["headline"], one["advice"], one["words"], one["where"], *one["files"], markup_bytes=800):
            found.append(one)
    room.give_back(part)
    return {
        "groups": found,
        "more": len(groups) - len(found),
        "file_count": sum(group.file_count for group in groups),
    }


def _group_shown(group: ProblemGroup) -> dict[str, Any]:
    is_loss = group.effect is Effect.ROWS_REMOVED
    one = group_shown(
        group,
        {},
        words="rows left out" if is_loss else group.kind,
        where=f"schema {group.schema_id}" if group.schema_id else "",
    )
    if group.kind == "other":
        one["advice"] = "See manifest.csv, which has the reason of each file."
    if group.kind in DISMISSED_CODES:
        one["advice"] = "Nothing; if it matters after all, `bulkhead redrive --match` queues it again."
    return {**one, "headline": clipped(one["headline"]), "files": [clipped(source) for source in group.files]}


def _link(url: str | None) -> str | None:
    """Return a review URL as a link; None if it is no URL of a web page."""
    if url is None or not url.isprintable() or " " in url or len(url) > _LINK_MAX_CHARS:
        return None
    try:
        found = urlsplit(url)
    except ValueError:
        return None
    return url if found.scheme in ("http", "https") and found.hostname else None


def _source_text(uri: str) -> str:
    """Return where a batch's files come from, as a person writes it."""
    kind, _, rest = uri.partition("+")
    if kind == "list" and rest.startswith("file://"):
        return f"the files listed in {local_path(rest.partition('?')[0])}"
    if is_s3(uri):
        return str(S3Place.of_uri(uri))
    return local_path(uri) or "/" if uri.startswith("file://") else uri
