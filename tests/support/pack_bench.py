"""A pack of a few files in a ledger in memory, a scripted vendor, and what ends the pack."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runner.config.routes import Route, Routes
from runner.dromo.decoding import import_of
from runner.events import Event, Notice
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Move
from runner.models import Batch, CreateRequest, Item, ItemKind, ItemState, batch_of_packs
from runner.packing.body import PackName
from runner.packing.marker import MarkerColumn
from runner.stages.absence import Absence
from runner.stages.dissolved_packs import DissolvedPacks
from runner.stages.pack_ends import PackEnds
from runner.stages.pack_making import PackMaker
from runner.stages.pack_recipe import PackRecipe
from runner.stages.transitions import Transitions
from tests.support.scripted import LoopClock, ScriptedVendor

START = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState
ROUTE = Route(name="people", schema_id="s")
BATCH = Batch(batch_id="b", source_uri="inbox", account="a", out="out", config="{}", started_at=START)


class PackBench:
    """A pack of `count` files in a ledger, `1.csv` and so on, and what ends it."""

    def __init__(
        self, count: int = 3, *, is_canary: bool = False, is_off: bool = False, routes: tuple[Route, ...] = (ROUTE,)
    ) -> None:
        """`is_off`: somebody has said since that files are not packed."""
        self.names = tuple(f"{number}.csv" for number in range(1, count + 1))
        self._is_canary = is_canary
        clock = LoopClock()
        self.ledger = MemoryLedger(now=clock.now)
        self.said: list[str] = []
        self.transitions = transitions = Transitions(self.ledger, clock=clock, emit=self.take, by_state={})
        maker = PackMaker(self.ledger, transitions, BATCH, endpoint="e", again=False, clock=clock)
        self.vendor = vendor = ScriptedVendor(clock)
        self.ends = PackEnds(
            ledger=self.ledger,
            api=vendor,
            routes=Routes(routes),
            maker=maker,
            transitions=transitions,
            absence=Absence(api=vendor, transitions=transitions),
            is_off=lambda _: is_off,
            emit=self.take,
        )
        self.dissolved = DissolvedPacks(
            "b", ledger=self.ledger, api=vendor, transitions=transitions, clock=clock, emit=self.take
        )

    def take(self, event: Event) -> None:
        self.said += [event.message] if isinstance(event, Notice) else []

    async def pack(self, state: ItemState, **changes: Any) -> Item:
        """Return the pack, moved to a state; its members are still packed."""
        recipe = PackRecipe(
            binding=ROUTE.binding,
            column=MarkerColumn("m"),
            keeps_unmapped=False,
            behavior="REMOVE_INVALID_ROWS",
            is_canary=self._is_canary,
            members=tuple((f"tag of {name}", 1) for name in self.names),
        )
        await self.ledger.start_batch(BATCH)
        packs = Batch(**{**{name: getattr(BATCH, name) for name in ("source_uri", "account", "out", "config")},
                         "batch_id": batch_of_packs("b"), "started_at": START})  # fmt: skip
        await self.ledger.start_batch(packs)
        pack = Item(batch_id=batch_of_packs("b"), source="p", kind=ItemKind.PACK, version=recipe.text)
        items = [Item(batch_id="b", source=name) for name in self.names]
        await self.ledger.add(items)
        moves = [
            Move(
                item=one,
                state=S.PACKED,
                reason="x",
                changes={"tag": f"tag of {one.source}", "pack": "p", "pack_row": at, "pack_rows": 1},
            )
            for at, one in enumerate(items, start=1)
        ]
        await self.ledger.advance_all(moves, add=[pack])
        return await self.ledger.advance(pack, state, reason="x", **changes)

    async def pack_in_review(self) -> Item:
        """Return the pack with an import that needs a review because of its first row."""
        return await self.in_review(await self.sent_pack("NEEDS_REVIEW"))

    async def in_review(self, pack: Item) -> Item:
        """Return a pack `processing` whose import needs a review because of its first row."""
        answer = {"id": pack.bound_id, "import_errors": [{"rowIndex": 0, "message": "no email"}]}
        self.vendor.change(pack.bound_id, import_errors=import_of(answer).import_errors)
        return await self.ledger.advance(pack, S.NEEDS_REVIEW, reason="x", status="NEEDS_REVIEW")

    async def sent_pack(self, status: str) -> Item:
        """Return the pack `processing`, with an import of this status at the vendor."""
        pack = await self.created_pack(status)
        return await self.ledger.advance(pack, S.PROCESSING, reason="x")

    async def created_pack(self, status: str = "AWAITING_UPLOAD") -> Item:
        """Return the pack `created`, with an import of this status at the vendor."""
        name = str(PackName(len(self.names), "p" * 13, "source"))
        remote = self.vendor.add(CreateRequest(schema_id="s", original_filename=name), status=status)
        return await self.created(await self.pack(S.CREATING, attempts=1, original_filename=name), remote.import_id)

    async def created(self, pack: Item, import_id: str) -> Item:
        """Return a pack `creating` as `created` with this import."""
        return await self.ledger.advance(pack, S.CREATED, reason="x", import_id=import_id)

    async def members(self) -> list[Item]:
        return [item async for item in self.ledger.items("b")]
