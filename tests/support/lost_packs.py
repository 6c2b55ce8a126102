"""A pack at the vendor that a ledger has sent which is lost, and what adopts it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

from runner import identity
from runner.config.options import RunOptions
from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.dromo.clock import VendorTime
from runner.errors import ItemRejected
from runner.events import Event, Notice
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Move
from runner.models import Batch, CreateRequest, Item, ItemKind, ItemState, batch_of_packs
from runner.packing.body import PackName, pack_tag
from runner.packing.marker import MarkerColumn
from runner.protocols import Prepared
from runner.sinks.local import LocalSink
from runner.sources import SourceSpec
from runner.stages.absence import Absence
from runner.stages.collect import ResultFetch
from runner.stages.earlier import EarlierItems
from runner.stages.found_lists import FoundLists
from runner.stages.lost_members import LostMembers
from runner.stages.lost_packs import Adoption, LostPacks, PackAdopter
from runner.stages.orphans import Orphans
from runner.stages.other_sources import OtherSources
from runner.stages.pack_lists import PackLists
from runner.stages.pack_making import PackMaker
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packing_setup import RulesOfRoutes
from runner.stages.transitions import Transitions
from runner.stop import StopSignal
from tests.support.scripted import LoopClock, ScriptedVendor

ROUTE = Route(name="people", fields=({"key": "name", "label": "Full name", "type": "string"},))
BATCH = Batch(
    batch_id="b",
    source_uri="inbox",
    account="a",
    out="out",
    config=RunSpec(source=SourceSpec(kind="directory", path="/inbox"), routes=Routes([ROUTE])).to_json(),
    started_at=datetime(2026, 7, 23, tzinfo=UTC),
    listed=True,
)
RECIPE = PackRecipe(
    binding=ROUTE.binding, column=MarkerColumn("m"), keeps_unmapped=False, behavior="REMOVE_INVALID_ROWS"
)
S = ItemState


def content_of(name: str) -> str:
    """Return a table of two rows."""
    return f"Full name\r\nfirst of {name}\r\nsecond of {name}\r\n"


class _Content:
    """Implements Body."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._data


class Files:
    """The contents of files by name; an error stands for a file that cannot be read."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.contents: dict[str, str | Exception] = {name: content_of(name) for name in names}

    async def prepare(self, item: Item) -> Prepared:
        found = self.contents.get(item.source, ItemRejected("not_found", "there is no such file"))
        if isinstance(found, Exception):
            raise found
        return Prepared(uri=item.source, size_bytes=len(found), version="1", fingerprint=found, body=_Content(found))


class LostPackBench:
    """A pack of files at the vendor that a ledger has sent which is lost; today's ledger has the files queued."""

    def __init__(self, out: Path, *names: str) -> None:
        clock = LoopClock()
        self.files = Files(names)
        self.ledger = MemoryLedger(now=clock.now)
        self.vendor = ScriptedVendor(clock)
        self.said: list[str] = []
        self.options = RunOptions()
        self.lists = PackLists(LocalSink(out, threaded=False), endpoint="e")
        self._names, self._clock = names, clock
        self.tags = {name: self._tag(name) for name in names}
        self.tag = pack_tag(sorted(self.tags.values()), binding=ROUTE.binding, endpoint="e")

    def _tag(self, name: str) -> str:
        return identity.tag(name, content_of(name), ROUTE.binding, endpoint="e")

    async def sent(
        self, *, status: str = "SUCCESSFUL", with_list: bool = True, source_uri: str = BATCH.source_uri
    ) -> str:
        """Let the lost ledger have sent the pack, which is of a source; return its import's id."""
        pack = Item(batch_id="lost.packs", source=self.tag, kind=ItemKind.PACK, version=RECIPE.text)
        by_tag = sorted(self._names, key=self.tags.__getitem__)
        members = [Item(batch_id="lost", source=name, tag=self.tags[name], pack_rows=2) for name in by_tag]
        if with_list:
            await self.lists.keep(pack, members, fingerprint="sha256:1")
        name = str(PackName(len(members), self.tag, identity.short(source_uri)))
        remote = self.vendor.add(CreateRequest(original_filename=name), status=status)
        self.vendor.result = self.result_of(self.tags.values())
        await self.ledger.start_batch(BATCH)
        await self.ledger.add([Item(batch_id="b", source=name) for name in self._names])
        await self.ledger.keep_orphans([remote])
        return remote.import_id

    def result_of(self, tags: Iterable[str], numbers: Iterable[int] = (1, 2)) -> bytes:
        """Return the result of a pack with these rows of these members."""
        rows = [{"name": "x", "bulkhead_marker": f"{tag}.{number}"} for tag in tags for number in numbers]
        return json.dumps(rows).encode()

    async def adopt(self) -> Adoption:
        ledger, clock, vendor = self.ledger, self._clock, self.vendor
        vendor_time, stop = VendorTime(clock), StopSignal()
        transitions = Transitions(ledger, clock=clock, emit=self._take, by_state={})
        orphans = Orphans(vendor, ledger, endpoint="e", vendor_time=vendor_time)
        routes = Routes([ROUTE])
        rules = RulesOfRoutes(self.vendor.schema)
        members = LostMembers(
            ledger=ledger, files=self.files, routes=routes, rules=rules, earlier=EarlierItems(ledger, endpoint="e"),
            orphans=orphans, batch_id="b", endpoint="e", clock=clock,
        )  # fmt: skip
        fetch = ResultFetch(
            api=vendor, storage=vendor, transitions=transitions, options=self.options, rng=random.Random(1), stop=stop,
            absence=Absence(api=vendor, transitions=transitions),
        )  # fmt: skip
        found = FoundLists(api=vendor, fetch=fetch, members=members, routes=routes, rules=rules, endpoint="e")
        others = OtherSources(ledger, BATCH, lists=self.lists, found=found, members=members, emit=self._take)
        adopter = PackAdopter(
            ledger=ledger, api=vendor, lists=self.lists, members=members, found=found, transitions=transitions,
            orphans=orphans, others=others,
            maker=PackMaker(ledger, transitions, BATCH, endpoint="e", again=False, clock=clock),
            routes=routes, options=self.options, vendor_time=vendor_time, stop=stop, emit=self._take,
        )  # fmt: skip
        lost = LostPacks(ledger, batch_id=batch_of_packs("b"), source=identity.short("inbox"), ignored=())
        return await adopter.adopt(await lost.found(), await lost.of_other_sources())

    def _take(self, event: Event) -> None:
        self.said += [event.message] if isinstance(event, Notice) else []

    async def states(self) -> dict[str, ItemState]:
        return {item.source: item.state async for item in self.ledger.items("b")}

    async def move(self, source: str, state: ItemState, **changes: str) -> None:
        item = await self.ledger.item("b", source)
        assert item is not None
        await self.ledger.advance_all([Move(item=item, state=state, reason="x", changes=changes)])  # type: ignore[arg-type]
