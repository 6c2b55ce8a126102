"""What a run would do: count the files of a source, or explain one file. Nothing is sent or written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from runner.config.route_remarks import RouteRemark, remarks_of_routes
from runner.config.routes import NO_ROUTE
from runner.errors import ItemRejected
from runner.local.open_reviews import reviews_of_source
from runner.models import Item, ItemState, batch_of_packs
from runner.packing.refusals import Refusal
from runner.reviews import OpenReview
from runner.sources import links_passed_over
from runner.sources.recoded_body import in_utf8
from runner.stages.earlier import Content, EarlierItems

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from runner.config.routes import Route, Routes
    from runner.config.units import Rate
    from runner.ledger.protocol import Ledger
    from runner.protocols import Source
    from runner.stages.discover import Discovery
    from runner.stages.pack_planning import PackPlan, PackPlanner

SAMPLES_PER_CODE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Counts of files and bytes, `rejected` by code; `finish_in_s`: seconds until the quota admits the last create.

    `linked_directories` says which links to directories are not followed, None if there are none. `failed_before`
    counts unchanged files that the vendor refused; they are not sent. `schema_remarks` are about names in the routes'
    schemas that the vendor's documents do not have. `earlier_reviews` are those open in earlier batches of the source.
    `packed_before` files are in packs that an earlier run has recorded; `packs_before` packs of them may be unsent.
    """

    items: int
    by_route: dict[str, int]
    rejected: dict[str, int]
    rejected_samples: list[tuple[str, str, str]]
    skipped: int
    too_young: int
    creates: int
    bytes: int
    finish_in_s: float
    linked_directories: str | None = None
    failed_before: int = 0
    schema_remarks: tuple[RouteRemark, ...] = ()
    earlier_reviews: tuple[OpenReview, ...] = ()
    packing: PackingPlan | None = None
    packed_before: int = 0
    packs_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingPlan:
    """How files travel with `--pack`: `files` of them in `packs`, the others alone.

    `alone` counts these by code, with a sentence on one of each code in `alone_reasons`. `alone_finish_in_s` is
    `Plan.finish_in_s` if all of them travelled alone.
    """

    packs: int
    files: int
    alone: dict[str, int]
    alone_reasons: dict[str, str]
    alone_finish_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The route of one file, and what a run would do with it; `tried`: (route, pattern, matched), in order.

    `alone` is a sentence: why `--pack` leaves the file alone; `can_be_packed` says whether it does not, if other files
    fit. Both are None without `--pack`, and if the file is not sent, or was sent before.
    """

    source: str
    route: str | None
    tried: list[tuple[str, str, bool]]
    schema_id: str | None
    verdict: Literal["send", "skip", "reject"]
    reason: str
    alone: str | None = None
    can_be_packed: bool | None = None


@dataclass(slots=True)
class _Count:
    items: int = 0
    bytes: int = 0
    by_route: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str, str]] = field(default_factory=list)
    skipped: int = 0
    failed_before: int = 0

    def add(self, item: Item, routes: Routes) -> None:
        self.items += 1
        code = item.error_code or ""
        if item.state is ItemState.REJECTED:
            self.rejected[code] += 1
            if self.rejected[code] <= SAMPLES_PER_CODE:
                self.samples.append((item.source, code, item.error_message or ""))
        elif item.state is ItemState.SKIPPED:
            self.skipped += 1
        elif item.state is ItemState.FAILED:
            self.failed_before += 1
        else:
            route = routes.for_source(item.source)
            self.by_route[route.name if route else ""] += 1
            self.bytes += item.size_bytes or 0


async def plan(
    source: Source,
    discovery: Discovery,
    routes: Routes,
    *,
    quota: Rate,
    free: int,
    ledger: Ledger | None = None,
    packer: PackPlanner | None = None,
    is_off: Callable[[Route], bool] = lambda _: False,
) -> Plan:
    """List the source, and count what a run would do with each file; `ledger` has earlier batches, and their packs.

    `is_off`: whether somebody said that the files of a route are not packed. With a `packer`, also plan the packs.
    Raises SourceNotFound, LedgerError; with a packer, also TransientError and AuthRefused.
    """
    count, recorded = _Count(), _RecordedPacks(ledger, routes, is_off)

    async def queued() -> AsyncIterator[list[Item]]:
        async for entries in source.entries():
            items = await discovery.items(entries)
            for item in items:
                count.add(item, routes)
            queued = [item for item in items if item.state is ItemState.QUEUED]
            packed = await recorded.of(queued)
            yield [item for item in queued if item.source not in packed]

    packs = await packer.plan(queued()) if packer is not None else None
    if packer is None:
        await _pass_over(queued())
    singly = sum(count.by_route.values())
    creates = singly - recorded.file_count + recorded.unsent_count
    if packs is not None:
        creates += len(packs.packs) - len(packs.sources)
    return Plan(
        items=count.items,
        by_route=dict(count.by_route),
        rejected=dict(count.rejected),
        rejected_samples=count.samples,
        skipped=count.skipped,
        too_young=getattr(source, "too_young", 0),
        creates=creates,
        bytes=count.bytes,
        finish_in_s=quota.last_in_s(creates, free=free),
        linked_directories=links_passed_over(source),
        failed_before=count.failed_before,
        schema_remarks=tuple(remarks_of_routes(routes.routes)),
        earlier_reviews=await _reviews(ledger, source, discovery),
        packing=None if packs is None else _packing(packs, alone_finish_in_s=quota.last_in_s(singly, free=free)),
        packed_before=recorded.file_count,
        packs_before=recorded.unsent_count,
    )


class _RecordedPacks:
    """The packs that a run has recorded and not ended: their files travel with them, and need no creates of their own.

    Files of packs that nobody began to send are not counted where packing `is_off`, because a run takes them apart.
    """

    def __init__(self, ledger: Ledger | None, routes: Routes, is_off: Callable[[Route], bool]) -> None:
        self._ledger = ledger
        self._routes = routes
        self._is_off = is_off
        self._packs: dict[tuple[str, str], Item | None] = {}
        self._counted: set[tuple[str, str]] = set()
        self.file_count = 0

    @property
    def unsent_count(self) -> int:
        """Return how many packs with files that were counted are still to be sent, as far as is known."""
        packs = (self._packs[key] for key in self._counted)
        return sum(pack is not None and pack.state in (ItemState.QUEUED, ItemState.CREATING) for pack in packs)

    async def of(self, items: Sequence[Item]) -> set[str]:
        """Return and count the sources of those queued items that are in a pack as they are. Raises LedgerError."""
        if self._ledger is None or not items:
            return set()
        known = await self._ledger.by_file((item.file_key for item in items), may_lag=True)
        found = set()
        for item in items:
            packed = next((one for one in known.get(item.file_key, ()) if _is_packed_as(one, item)), None)
            if packed is not None and await self._goes_on(packed, item):
                found.add(item.source)
        self.file_count += len(found)
        return found

    async def _goes_on(self, packed: Item, item: Item) -> bool:
        assert self._ledger is not None
        key = packed.batch_id, packed.pack or ""
        if key not in self._packs:
            self._packs[key] = await self._ledger.item(batch_of_packs(packed.batch_id), key[1])
        pack, route = self._packs[key], self._routes.for_source(item.source)
        is_queued = pack is not None and pack.state is ItemState.QUEUED
        if is_queued and route is not None and self._is_off(route):
            return False
        self._counted.add(key)
        return True


def _is_packed_as(one: Item, item: Item) -> bool:
    """Return whether an item of an earlier run is in a pack, with the same version of the file and the same binding."""
    return one.state is ItemState.PACKED and one.version_key == item.version_key


async def _pass_over(pages: AsyncIterator[list[Item]]) -> None:
    async for _ in pages:
        pass


def _packing(packs: PackPlan, *, alone_finish_in_s: float) -> PackingPlan:
    return PackingPlan(
        packs=len(packs.packs),
        files=len(packs.sources),
        alone=dict(packs.alone.most_common()),
        alone_reasons=packs.sentences,
        alone_finish_in_s=alone_finish_in_s,
    )


async def _reviews(ledger: Ledger | None, source: Source, discovery: Discovery) -> tuple[OpenReview, ...]:
    return () if ledger is None else tuple(await reviews_of_source(ledger, source.uri, endpoint=discovery.endpoint))


async def explain(
    source: Source,
    discovery: Discovery,
    routes: Routes,
    *,
    ledger: Ledger | None,
    endpoint: str,
    again: bool,
    retry_failed: bool = False,
    packer: PackPlanner | None = None,
) -> Explanation | None:
    """Explain what a run would do with the first file of a source, by name and content; None if there is no file.

    `again` and `retry_failed` as in `RunOptions`. Raises SourceNotFound, LedgerError.
    """
    earlier = EarlierItems(ledger, endpoint=endpoint, again=again, retry_failed=retry_failed)
    async for entries in source.entries():
        for item in await discovery.items(entries):
            found = await _explain_item(item, source, routes, earlier, endpoint=endpoint)
            return await _with_packing(found, item, packer) if packer is not None else found
    return None


async def _with_packing(found: Explanation, item: Item, packer: PackPlanner) -> Explanation:
    travels = await packer.of_file(item) if found.verdict == "send" else None
    if travels is None:
        return found
    if isinstance(travels, Refusal):
        return replace(found, alone=travels.sentence, can_be_packed=False)
    return replace(found, can_be_packed=True)


async def _explain_item(
    item: Item, source: Source, routes: Routes, earlier: EarlierItems, *, endpoint: str
) -> Explanation:
    route = routes.for_source(item.source)
    verdict, reason = await _judge(item, source, routes, earlier, endpoint=endpoint)
    return Explanation(
        source=item.source,
        route=route.name if route else None,
        tried=[(tried.name, tried.match, matched) for tried, matched in routes.explain(item.source)],
        schema_id=route.schema_id if route else None,
        verdict=verdict,
        reason=reason,
    )


async def _judge(
    item: Item, source: Source, routes: Routes, earlier: EarlierItems, *, endpoint: str
) -> tuple[Literal["send", "skip", "reject"], str]:
    route = routes.for_source(item.source)
    if item.state is ItemState.REJECTED or route is None:
        return "reject", item.error_message or str(NO_ROUTE)
    if item.state is not ItemState.QUEUED:
        return "skip", item.error_message or _why_skipped(item)
    try:
        prepared = await in_utf8(await source.prepare(item), route.encoding)
    except ItemRejected as error:
        return "reject", str(error)
    content = Content.of(prepared, route.binding, endpoint=endpoint)
    finding = (await earlier.of_content(content)).finding
    if finding is not None and not finding.is_sent:
        return "skip", finding.sentence
    return "send", f"{prepared.size_bytes} bytes go to schema {route.schema_id or 'given inline'}"


def _why_skipped(item: Item) -> str:
    if item.earlier_state is ItemState.COLLECTED:
        return "unchanged since it was sent"
    return f"unchanged, and {item.earlier_state} in batch {item.earlier_batch_id}"
