"""A pack at the vendor that a ledger has sent which is lost, and what adopts it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from runner import identity
from runner.config.options import RunOptions
from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.dromo.clock import VendorTime
from runner.errors import ItemRejected
from runner.events import Event, Notice
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Move
from runner.models import Batch, CreateRequest, Item, ItemKind, ItemState, RemoteImport, batch_of_packs
from runner.packing.body import PackName, pack_tag
from runner.packing.marker import MarkerColumn
from runner.protocols import Prepared
from runner.sinks.local import LocalSink
from runner.sources import SourceSpec
from runner.stages.absence import Absence
from runner.stages.collect import ResultFetch
from runner.stages.earlier import EarlierItems
from runner.stages.found_lists import FoundLists
from runner.stages.known_packs import KnownPacks
from runner.stages.lost_members import LostMembers
from runner.stages.lost_packs import Adoption, LostPacks, PackAdopter
from runner.stages.orphans import Orphans
from runner.stages.other_sources import OtherSources
from runner.stages.pack_ends import PackEnds
from runner.stages.pack_lists import PackLists
from runner.stages.pack_making import NewMember, PackMaker
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packing_setup import RulesOfRoutes
from runner.stages.transitions import Transitions
from runner.stages.unsent_packs import UnsentPacks
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


class CountedSink(LocalSink):
    """Notes the documents that are read."""

    def __init__(self, root: Path, *, threaded: bool) -> None:
        super().__init__(root, threaded=threaded)
        self.reads: list[str] = []

    async def read(self, name: str) -> bytes | None:
        self.reads.append(name.rpartition("/")[2])
        return await super().read(name)


class LostPackBench:
    """A pack of files at the vendor that a ledger has sent which is lost; today's ledger has the files queued."""

    def __init__(self, out: Path, *names: str) -> None:
        clock = LoopClock()
        self.files = Files(names)
        self.ledger = MemoryLedger(now=clock.now)
        self.vendor = ScriptedVendor(clock)
        self.said: list[str] = []
        self.stop = StopSignal()
        self.options = RunOptions()
        self.stop = StopSignal()
        self.sink = CountedSink(out, threaded=False)
        self.lists = PackLists(self.sink, endpoint="e")
        self._names, self._clock = names, clock
        self.tags = {name: self.tag_of(name) for name in names}
        self.tag = pack_tag(sorted(self.tags.values()), binding=ROUTE.binding, endpoint="e")

    def tag_of(self, name: str) -> str:
        """Return the tag of a file with the content that was sent."""
        return identity.tag(name, content_of(name), ROUTE.binding, endpoint="e")

    async def sent(
        self,
        *,
        status: str = "SUCCESSFUL",
        with_list: bool = True,
        source_uri: str = BATCH.source_uri,
        **changes: Any,
    ) -> str:
        """Let the lost ledger have sent the pack, which is of a source; return its import's id, which has `changes`."""
        pack = Item(batch_id="lost.packs", source=self.tag, kind=ItemKind.PACK, version=RECIPE.text)
        by_tag = sorted(self._names, key=self.tags.__getitem__)
        members = [Item(batch_id="lost", source=name, tag=self.tags[name], pack_rows=2) for name in by_tag]
        if with_list:
            await self.lists.keep(pack, members, fingerprint="sha256:1")
        name = str(PackName(len(members), self.tag, identity.short(source_uri)))
        remote = replace(self.vendor.add(CreateRequest(original_filename=name), status=status), **changes)
        self.vendor.imports[remote.import_id] = remote
        self.vendor.result = self.result_of(self.tags.values())
        await self.ledger.start_batch(BATCH)
        await self.ledger.add([Item(batch_id="b", source=name) for name in self._names])
        await self.ledger.keep_orphans([remote])
        return remote.import_id

    def result_of(self, tags: Iterable[str], numbers: Iterable[int] = (1, 2)) -> bytes:
        """Return the result of a pack with these rows of these members."""
        rows = [{"name": "x", "bulkhead_marker": f"{tag}.{number}"} for tag in tags for number in numbers]
        return json.dumps(rows).encode()

    @cached_property
    def _transitions(self) -> Transitions:
        return Transitions(self.ledger, clock=self._clock, emit=self._take, by_state={})

    @cached_property
    def _absence(self) -> Absence:
        return Absence(api=self.vendor, transitions=self._transitions)

    @cached_property
    def _vendor_time(self) -> VendorTime:
        return VendorTime(self._clock)

    @cached_property
    def _orphans(self) -> Orphans:
        return Orphans(self.vendor, self.ledger, endpoint="e", vendor_time=self._vendor_time)

    @cached_property
    def _rules(self) -> RulesOfRoutes:
        return RulesOfRoutes(self.vendor.schema)

    @cached_property
    def _members(self) -> LostMembers:
        ledger = self.ledger
        return LostMembers(
            ledger=ledger, files=self.files, routes=Routes([ROUTE]), rules=self._rules,
            earlier=EarlierItems(ledger, endpoint="e"), orphans=self._orphans, batch_id="b", endpoint="e",
            clock=self._clock,
        )  # fmt: skip

    @cached_property
    def _found(self) -> FoundLists:
        fetch = ResultFetch(
            api=self.vendor, storage=self.vendor, transitions=self._transitions, options=self.options,
            rng=random.Random(1), stop=StopSignal(), absence=self._absence,
        )  # fmt: skip
        return FoundLists(
            api=self.vendor, fetch=fetch, members=self._members, routes=Routes([ROUTE]), rules=self._rules, endpoint="e"
        )

    def next_run(self) -> None:
        """Forget what is not in the ledger or in the folder of results, as the end of a run does."""
        for made in ("others", "_found", "_members"):
            vars(self).pop(made, None)
        self.sink.reads.clear()

    @cached_property
    def others(self) -> OtherSources:
        known = KnownPacks(self.sink, source=identity.short(BATCH.source_uri), endpoint="e")
        return OtherSources(
            self.ledger, BATCH, lists=self.lists, known=known, found=self._found, members=self._members,
            vendor_time=self._vendor_time, stop=self.stop, emit=self._take,
        )  # fmt: skip

    @cached_property
    def _lost(self) -> LostPacks:
        return self.lost()

    def lost(self, *, ignored: Collection[str] = (), schemas: Collection[str | None] | None = None) -> LostPacks:
        source = identity.short(BATCH.source_uri)
        return LostPacks(self.ledger, batch_id=batch_of_packs("b"), source=source, ignored=ignored, schemas=schemas)

    async def another_pack(self, *names: str, status: str) -> RemoteImport:
        """Let the lost ledger have sent some of the files in one more pack, which the run has listed."""
        tags = {name: self.tags[name] for name in names}
        tag = pack_tag(sorted(tags.values()), binding=ROUTE.binding, endpoint="e")
        pack = Item(batch_id="lost.packs", source=tag, kind=ItemKind.PACK, version=RECIPE.text)
        by_tag = sorted(names, key=tags.__getitem__)
        members = [Item(batch_id="lost", source=name, tag=tags[name], pack_rows=2) for name in by_tag]
        await self.lists.keep(pack, members, fingerprint="sha256:2")
        name = str(PackName(len(members), tag, identity.short(BATCH.source_uri)))
        remote = self.vendor.add(CreateRequest(original_filename=name), status=status)
        await self.ledger.keep_orphans([remote])
        return remote

    async def another_import(self, **changes: Any) -> RemoteImport:
        """Let the vendor have one more import with the name of the pack, which the run has listed."""
        name = str(PackName(len(self._names), self.tag, identity.short(BATCH.source_uri)))
        remote = replace(self.vendor.add(CreateRequest(original_filename=name)), **changes)
        self.vendor.imports[remote.import_id] = remote
        await self.ledger.keep_orphans([remote])
        return remote

    @cached_property
    def maker(self) -> PackMaker:
        return PackMaker(self.ledger, self._transitions, BATCH, endpoint="e", again=False, clock=self._clock)

    async def adopt(self) -> Adoption:
        adopter = PackAdopter(
            ledger=self.ledger, api=self.vendor, lists=self.lists, members=self._members, found=self._found,
            transitions=self._transitions, orphans=self._orphans, others=self.others, maker=self.maker,
            routes=Routes([ROUTE]), options=self.options, vendor_time=self._vendor_time, stop=self.stop,
            emit=self._take,
        )  # fmt: skip
        return await adopter.adopt(await self._lost.found(), await self._lost.of_other_sources())

    async def packed(self, *names: str) -> Item:
        """Let this ledger have made a pack of some files that it has not sent."""
        found = await self.ledger.look_up("b", names)
        members = [
            NewMember(found[name], self.tags[name], 2, {"fingerprint": content_of(name), "binding": ROUTE.binding})
            for name in sorted(names, key=self.tags.__getitem__)
        ]
        pack = await self.maker.make(members, RECIPE, ROUTE)
        assert pack is not None
        return pack

    async def settle_unsent(self) -> list[str]:
        """See to the unsent packs of this ledger; return the files that are queued again."""
        ends = PackEnds(
            ledger=self.ledger, api=self.vendor, routes=Routes([ROUTE]), maker=self.maker,
            transitions=self._transitions, absence=self._absence, is_off=lambda _: False, emit=self._take,
        )  # fmt: skip
        unsent = UnsentPacks(
            self.ledger, batch_of_packs("b"), members=self._members, others=self.others, ends=ends,
            orphans=self._orphans, routes=Routes([ROUTE]), transitions=self._transitions,
            vendor_time=self._vendor_time, again=self.options.again, emit=self._take,
        )  # fmt: skip
        return await unsent.settle(await self._lost.found(), await self._lost.of_other_sources())

    def _take(self, event: Event) -> None:
        self.said += [event.message] if isinstance(event, Notice) else []

    async def states(self) -> dict[str, ItemState]:
        return {item.source: item.state async for item in self.ledger.items("b")}

    async def move(self, source: str, state: ItemState, **changes: str) -> None:
        item = await self.ledger.item("b", source)
        assert item is not None
        await self.ledger.advance_all([Move(item=item, state=state, reason="x", changes=changes)])  # type: ignore[arg-type]
