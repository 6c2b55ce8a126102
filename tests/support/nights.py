"""Nights: batches of one ledger that all have the same file, and the folder in which they save its results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from runner.events import Event, Notice, ignore
from runner.ledger.memory import MemoryLedger
from runner.models import Batch, Item, ItemState
from runner.protocols import SavedResult
from runner.sinks import LocalSink
from runner.stages.result_places import ResultPlaces
from runner.stages.transitions import Transitions
from tests.support.scripted import EPOCH, LoopClock

SOURCE = "in/a.csv"
USUAL = "results/in/a.csv.json"


def rows(version: int) -> bytes:
    return b'[{"version": %d}]' % version


class Nights:
    """A ledger with one batch a night, each with the same file, and the folder that they share."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.clock = LoopClock()
        self.ledger = MemoryLedger(now=self.clock.now)
        self.sink = LocalSink(out, threaded=False)
        self.events: list[Event] = []

    async def night(self, number: int, *, out: Path | None = None, file_key: str = "key") -> Item:
        """Return the item of a night, whose import has succeeded."""
        batch_id = f"night-{number}"
        batch = Batch(
            batch_id=batch_id,
            source_uri="file:///data",
            account="a",
            out=str(out or self.out),
            config="{}",
            started_at=EPOCH + timedelta(days=number),
        )
        await self.ledger.start_batch(batch)
        await self.ledger.add([Item(batch_id=batch_id, source=SOURCE, file_key=file_key)])
        item = await self.current(number)
        item = await self.ledger.advance(item, ItemState.CREATING, reason="test")
        item = await self.ledger.advance(item, ItemState.CREATED, reason="test", import_id=f"import-{number}")
        return await self.ledger.advance(item, ItemState.SUCCEEDED, reason="test")

    async def current(self, number: int) -> Item:
        item = await self.ledger.item(f"night-{number}", SOURCE)
        assert item is not None
        return item

    def places(self) -> ResultPlaces:
        transitions = Transitions(self.ledger, clock=self.clock, emit=ignore, by_state={})
        return ResultPlaces(self.ledger, transitions=transitions, emit=self.events.append)

    async def save(self, item: Item, content: bytes) -> tuple[Item, SavedResult]:
        """Save a result, but do not record that it is collected."""
        place = self.places().of(item)
        saved = await self.sink.save_result(SOURCE, stream(content), place)
        return place.item, saved

    async def collect(self, item: Item, content: bytes) -> str:
        item, saved = await self.save(item, content)
        await self.ledger.advance(
            item, ItemState.COLLECTED, reason="test", result=saved.path, result_sha256=saved.sha256
        )
        return saved.path

    def content(self, path: str = USUAL) -> bytes:
        return (self.out / path).read_bytes()

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Notice)]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
