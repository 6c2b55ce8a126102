"""Packing: what a run does with packs: it finishes those of earlier runs, plans new ones, and sends the canaries first.

A pack takes the same way as an item: submit, track, collect. Its members are `packed` until the pack has ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING

from runner.errors import (
    AuthRefused,
    BulkheadError,
    FileUnavailable,
    ForeignImports,
    LedgerUnavailable,
    NotYet,
    RequestInvalid,
    SinkFailed,
    Stopped,
    StorageFull,
    TransientError,
)
from runner.events import Notice, PacksChanged
from runner.formatting import counted
from runner.local.continuing import Selection, left_out_notice
from runner.local.feeder import unfinished
from runner.models import ItemState
from runner.stages.pack_comparison import PACK_DIFFERS, PACK_NOT_COMPARED
from runner.stages.pack_recipe import PackRecipe
from runner.stages.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runner.events import EventHook
    from runner.local.feeder import Feeder, InFlight
    from runner.models import Batch, Item
    from runner.packing.planner import PlannedPack
    from runner.stages.lost_packs import LostPack
    from runner.stages.pack_ends import PackEnd
    from runner.stages.pack_planning import PackPlan
    from runner.stages.packs import Packs
    from runner.stages.submit import Submitter
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

_S = ItemState
_PAGE = 200
_UNCOMPARED_MOST = 3
"""After so many canaries of a route that could not be compared with their predictions, its other files travel alone."""

_AGAIN_S = 30.0
"""Until what goes before packs is tried again after trouble; each time longer (choice)."""

_PLANNING = "packs that are still to be made"
"""Stands in flight for files that wait for their pack."""


class Packing:
    """The packs of one run.

    `route` hands an item to the stage for its state; `outlasted` waits for the end of an outage of the vendor, and
    tells whether there was one.
    """

    def __init__(
        self,
        batch: Batch,
        packs: Packs,
        *,
        transitions: Transitions,
        inflight: InFlight,
        feeder: Feeder,
        route: Callable[[Item], Awaitable[None]],
        outlasted: Callable[[], Awaitable[bool]],
        on_fatal: Callable[[BulkheadError], None],
        stop: StopSignal,
        emit: EventHook,
    ) -> None:
        self._batch = batch
        self._packs = packs
        self._ledger = packs.ledger
        self._transitions = transitions
        self._inflight = inflight
        self._feeder = feeder
        self._route = route
        self._outlasted = outlasted
        self._on_fatal = on_fatal
        self._stop = stop
        self._emit = emit
        self._plan: PackPlan | None = None
        self._lost: dict[str, ForeignImports] = {}
        """Packs that a ledger which is lost has sent, by tag: they are made again, and adopt their imports."""
        self._planned: set[str] = set()
        self._made: set[str] = set()
        self._ends: dict[str, asyncio.Future[bool | None]] = {}
        self._stopped: set[str] = set()
        self._uncompared: Counter[str] = Counter()
        self._is_planned = asyncio.Event()
        self._to_make = self._ended_count = self._reading_count = 0
        self._unsent: set[str] = set()
        self._sends = True
        """Whether this run sends files; otherwise only results of packs are saved."""

    def sent(self, pack: Item) -> None:
        """Take note that a pack has an import, or has ended without one."""
        self._unsent.discard(pack.source)
        self._tell()

    def _tell(self) -> None:
        known = len(self._made) + self._to_make
        unsent = len(self._unsent) + self._to_make
        waiting = len(self._planned) + self._reading_count
        self._emit(PacksChanged(total=known, ended=self._ended_count, unsent=unsent, waiting=waiting))

    def is_planned(self, item: Item) -> bool:
        """Return whether an item waits for a pack that is about to be made."""
        return item.source in self._planned

    async def start(self, discovered: asyncio.Event, *, skip: Callable[[Item], bool]) -> None:
        """See to packs before anything is fed, once everything is listed. Raises LedgerError."""
        await self.settle_dissolved()
        await _name_unmatched(self._packs, self._emit)
        if await self._must_see_all():
            await discovered.wait()
        await _until_known(
            partial(self._begin, skip=skip), outlasted=self._outlasted, stuck_after_s=self._packs.stuck_after_s,
            on_fatal=self._on_fatal, stop=self._stop, emit=self._emit,
        )  # fmt: skip

    async def continue_at_work(self, *, waits: bool) -> None:
        """Hand the packs whose imports are at work to their stages; nothing is sent. Raises LedgerError.

        `waits`: until these imports have ended; otherwise, they are in flight only once a list shows that they have.
        """
        self._sends = False
        if await self._ledger.batch(self._packs.batch_id) is not None:
            async for pack in self._ledger.items(self._packs.batch_id, states={_S.PROCESSING, _S.SUCCEEDED}):
                if waits or pack.state is _S.SUCCEEDED:
                    await self._continue(pack)
                else:
                    self._made.add(pack.source)
                    await self._route(pack)

    async def settle_dissolved(self) -> None:
        """See whether somebody has finished the review of a pack that was deleted. Raises LedgerError."""
        if not self._stop.requested and await self._ledger.batch(self._packs.batch_id) is not None:
            await self._packs.dissolved.settle()

    async def _begin(self, *, skip: Callable[[Item], bool]) -> None:
        """Continue with the packs of an earlier run, adopt those of a lost ledger, then plan new ones.

        Raises LedgerError, TransientError, AuthRefused; ForeignImports if a pack of this source was sent by a run whose
        ledger is not this one, nothing tells its files, and no pack of this run is the same.
        """
        lost = await self._packs.lost.found()
        self._lost = {tag: one.refusal() for tag, one in lost.items() if one.has_data}
        others = await self._packs.lost.of_other_sources()
        await self._apply_filters(await self._packs.unsent.settle(lost, others))
        await self._recover()
        await self._adopt({tag: one for tag, one in lost.items() if tag not in self._made}, others)
        plan = await self._planned_of(skip) if self._packs.can_plan else None
        planned = set() if plan is None else self._packs.maker.tags_of(plan)
        for tag in self._lost.keys() - planned - self._made:
            raise self._lost[tag]
        if plan is not None:
            self._planned = set(plan.sources)
            self._plan = plan
            self._to_make = len(plan.packs)
            if plan.packs:
                self._inflight.add(_PLANNING)
                self._emit(Notice(code="packing", message=_plan_sentence(plan)))
                self._tell()
        self._is_planned.set()

    async def _planned_of(self, skip: Callable[[Item], bool]) -> PackPlan:
        """Return the plan for the queued files; while they are read, none of them counts as a create to come."""
        could_read = self._packs.others.could_read
        queued = self._queued(lambda item: skip(item) or not could_read(item))
        self._reading_count = self._transitions.by_state.get(_S.QUEUED, 0)
        self._tell()
        try:
            return await self._packs.planner.plan(queued, proven=await self._proven())
        finally:
            self._reading_count = 0
            self._tell()

    async def _adopt(self, lost: dict[str, LostPack], others: dict[str, LostPack]) -> None:
        adoption = await self._packs.adopter.adopt(lost, others)
        self._lost = {tag: why for tag, why in self._lost.items() if tag not in lost} | adoption.unknown
        for pack in adoption.packs:
            await self._continue(pack)

    async def run(self) -> None:
        """Make the planned packs, those of a schema once its canary has shown that packing works. Cancel it to stop."""
        await self._is_planned.wait()
        if self._plan is None or not self._plan.packs:
            return
        of_binding: defaultdict[str, list[PlannedPack]] = defaultdict(list)
        for planned in self._plan.packs:
            of_binding[planned.binding].append(planned)
        try:
            async with asyncio.TaskGroup() as group:
                for binding, some in of_binding.items():
                    group.create_task(self._make_all(binding, some, self._plan))
        except* (StorageFull, LedgerUnavailable, ForeignImports) as errors:
            for error in errors.exceptions:
                if isinstance(error, BulkheadError):
                    self._on_fatal(error)
        self._inflight.release(_PLANNING)

    async def _make_all(self, binding: str, planned: list[PlannedPack], plan: PackPlan) -> None:
        left = deque(sorted(planned, key=lambda one: (self._tag_of(one) not in self._lost, not one.is_canary)))
        needs_canary = False
        while left:
            one = left.popleft()
            is_lost = self._tag_of(one) in self._lost
            if binding in self._stopped and not is_lost:
                self._to_make -= 1
                continue
            if needs_canary and not is_lost:
                one, *others = self._packs.with_canary(one, plan)
                left.extendleft(others)
                self._to_make += len(others)
            is_proven = await self._make(one, plan)
            needs_canary = not is_proven if one.is_canary else needs_canary
        for one in planned:
            self._planned.difference_update(plan.sources_of(one))
        self._feeder.again()
        self._tell()

    async def _make(self, one: PlannedPack, plan: PackPlan) -> bool:
        """Make a planned pack; return whether it has shown that packing works, which only a canary is waited for."""
        tag = self._tag_of(one)
        pack = await self._packs.make(one, plan)
        if tag in self._lost and (pack is None or pack.source != tag):
            raise self._lost[tag]
        self._planned.difference_update(plan.sources_of(one))
        self._to_make -= 1
        if pack is None:
            self._feeder.again()
            return False
        self._take(pack)
        end = self._ends[pack.source] = asyncio.get_running_loop().create_future()
        await self._route(pack)
        proof = await end if one.is_canary else None
        if proof is False:
            self._stopped.add(one.binding)
        return proof is True

    def _tag_of(self, planned: PlannedPack) -> str:
        return self._packs.maker.tag_of(planned.tags, planned.binding)

    async def _must_see_all(self) -> bool:
        """Return whether everything must be listed before anything is fed."""
        lost = self._packs.lost
        return self._packs.can_plan or bool(await lost.found()) or bool(await lost.of_other_sources())

    @property
    def submitter(self) -> Submitter:
        return self._packs.submitter

    async def release(self, pack: Item, reason: str) -> None:
        """Let the members of a pack that was not sent travel alone. Raises ForeignImports if another ledger sent it."""
        self._refuse_lost(pack)
        await self._packs.ends.release(pack, reason)
        self._canary_failed(pack, reason)
        self._ended(pack, proof=False)

    async def finish(self, pack: Item) -> None:
        """Collect a pack that has succeeded, or see to the members of one that has not.

        Raises NotYet, as `Collector.collect`, and ForeignImports for a pack that only another ledger knows.
        """
        if not self._sends and pack.state is not _S.SUCCEEDED:
            self._inflight.release(pack.source)
            return
        if pack.state in (_S.REJECTED, _S.SKIPPED):
            self._refuse_lost(pack)
        if pack.state is _S.NEEDS_REVIEW:
            pack, end = await self._packs.ends.end_review(pack)
            await self._follow(pack, end)
        if pack.state is _S.SUCCEEDED:
            pack = await self._packs.collector.collect(pack)
        if pack.state in (_S.FAILED, _S.REJECTED, _S.SKIPPED):
            await self._follow(pack, await self._packs.ends.settle(pack))
        elif pack.state is _S.SUCCEEDED:
            self._inflight.release(pack.source)
            return
        self._ended(pack, proof=self._proof_of(pack))

    def _proof_of(self, pack: Item) -> bool | None:
        """Return whether a pack that has ended shows that packing works, or that it does not; None if neither.

        A pack whose files changed before it was sent, and one of which no file can be compared, show neither.
        """
        if pack.state is not _S.COLLECTED:
            return None if pack.state in (_S.REJECTED, _S.SKIPPED) else False
        binding = PackRecipe.of(pack).binding
        if pack.error_code == PACK_DIFFERS:
            self._stopped.add(binding)
        if pack.error_code != PACK_NOT_COMPARED:
            return pack.error_code is None
        self._uncompared[binding] += 1
        if self._uncompared[binding] < _UNCOMPARED_MOST:
            return None
        self._canary_failed(pack, f"none of its first {_UNCOMPARED_MOST} packs can be compared with its prediction")
        return False

    def _refuse_lost(self, pack: Item) -> None:
        """Raise ForeignImports if a pack without an import has the tag of one that a ledger which is lost has sent."""
        if pack.import_id is None and pack.source in self._lost:
            raise self._lost[pack.source]

    def deferred(self, pack: Item, why: str) -> None:
        """Take note that a pack was left to a later run."""
        if not self._stop.requested:
            self._canary_failed(pack, f"its first pack is left to a later run: {why}")
        self._ended(pack, proof=False)

    def _canary_failed(self, pack: Item, why: str) -> None:
        """Say that the other files of a canary's route travel alone, if this run waits for the canary to pack them."""
        if pack.source in self._ends and PackRecipe.of(pack).is_canary:
            self._packs.ends.say_stopped(pack, why)

    async def of_members(self, reasons: dict[str, str]) -> dict[str, str]:
        """Return reasons by source, those of packs by the sources of their members."""
        packs = await self._ledger.look_up(self._packs.batch_id, list(reasons))
        found = {source: why for source, why in reasons.items() if source not in packs}
        for pack in packs:
            members = await self._ledger.members(self._batch.batch_id, pack)
            found |= {member.source: f"its pack: {reasons[pack]}" for member in members}
        return found

    async def _follow(self, pack: Item, end: PackEnd) -> None:
        if end.stops_packing:
            self._stopped.add(PackRecipe.of(pack).binding)
        for one in end.new_packs:
            self._take(one)
            if PackRecipe.of(one).is_canary and (result := self._ends.pop(pack.source, None)) is not None:
                self._ends[one.source] = result
            await self._route(one)

    def _ended(self, pack: Item, *, proof: bool | None) -> None:
        end = self._ends.pop(pack.source, None)
        if end is not None and not end.done():
            end.set_result(proof)
        self._inflight.release(pack.source)
        self._feeder.again()
        self._ended_count += 1
        self.sent(pack)

    async def _recover(self) -> None:
        """Hand the packs of an earlier run to their stages; end those whose end was recorded without their members'."""
        of_packs = self._packs.batch_id
        if await self._ledger.batch(of_packs) is None:
            return
        async for pack in unfinished(self._ledger, of_packs, transitions=self._transitions):
            await self._continue(pack)
        await self._release_unsent()
        async for pack in self._ledger.items(of_packs, states={_S.QUEUED, _S.NEEDS_REVIEW}):
            await self._continue(pack)
        packed = {item.pack async for item in self._ledger.items(self._batch.batch_id, states={_S.PACKED})}
        for source, pack in (await self._ledger.look_up(of_packs, sorted(filter(None, packed)))).items():
            if source not in self._inflight:
                await self._continue(pack)

    async def _release_unsent(self) -> None:
        """End packs that were not sent, and that this run would not make.

        That is because its filters leave out some of the files, so that the others are put into a new pack, or because
        packing of their route is off now.
        """
        queued = [pack async for pack in self._ledger.items(self._packs.batch_id, states={_S.QUEUED})]
        unsent = [pack for pack in queued if pack.source not in self._lost and pack.source not in self._inflight]
        if not unsent:
            return
        batch_id, selection = self._batch.batch_id, self._selection()
        released: Counter[str] = Counter()
        for pack in unsent:
            members = await self._ledger.members(batch_id, pack.source)
            left_out = await selection.left_out_of([member for member in members if member.state is _S.PACKED])
            is_off = self._packs.is_off(pack)
            if left_out or is_off:
                why = "packing is off" if is_off else "the filters leave out files of it"
                released[why] += 1
                await self._packs.ends.release(
                    pack, f"its pack was not sent: {why}", without=() if is_off else left_out
                )
            for member in (await self._ledger.look_up(batch_id, sorted(left_out))).values():
                await selection.leave_out(member)
        for why, count in released.items():
            packs = f"{counted(count, 'pack')} of an earlier run {'is' if count == 1 else 'are'}"
            self._emit(Notice(code="packing", message=f"{packs} not sent as recorded: {why}"))
        if selection.left_out:
            self._emit(left_out_notice(selection.left_out))

    def _selection(self) -> Selection:
        return Selection(
            self._batch.batch_id, ledger=self._ledger, source=self._packs.files, transitions=self._transitions
        )

    async def _apply_filters(self, queued: list[str]) -> None:
        """Leave out those files of packs that were given up that the filters of this run leave out."""
        if not queued:
            return
        items, selection = await self._ledger.look_up(self._batch.batch_id, queued), self._selection()
        for source in await selection.left_out_of(list(items.values())):
            await selection.leave_out(items[source])
        if selection.left_out:
            self._emit(left_out_notice(selection.left_out))

    async def _continue(self, pack: Item) -> None:
        if pack.source not in self._inflight:
            self._take(pack)
            await self._route(pack)

    def _take(self, pack: Item) -> None:
        """Count a pack that this run is to bring to its end."""
        self._made.add(pack.source)
        self._inflight.add(pack.source)
        if pack.state is _S.QUEUED:
            self._unsent.add(pack.source)
        self._tell()

    async def _queued(self, skip: Callable[[Item], bool]) -> AsyncIterator[list[Item]]:
        """Yield the queued items in pages, without those that `skip` takes."""
        after: tuple[int, str] | None = None
        while page := await self._ledger.page(self._batch.batch_id, _S.QUEUED, after=after, limit=_PAGE):
            yield [item for item in page if not skip(item)]
            after = (page[-1].rank, page[-1].source)

    async def _proven(self) -> set[str]:
        """Return the bindings of which this batch has a pack whose result was as predicted.

        Of the packs of a lost ledger, only a canary is one.
        """
        collected = self._ledger.items(self._packs.batch_id, states={_S.COLLECTED})
        recipes = [PackRecipe.of(pack) async for pack in collected if pack.error_code is None]
        return {recipe.binding for recipe in recipes if recipe.is_canary or not recipe.is_adopted}


async def refuse_lost_packs(
    packs: Packs,
    discovered: asyncio.Event,
    *,
    outlasted: Callable[[], Awaitable[bool]],
    on_fatal: Callable[[BulkheadError], None],
    stop: StopSignal,
    emit: EventHook,
) -> None:
    """Stop a run with a shared ledger if a pack that the ledger does not know has files of it. Raises LedgerError."""
    await _name_unmatched(packs, emit)
    found = [one for one in (await packs.lost.found()).values() if one.has_data]
    found += (await packs.lost.of_other_sources()).values()
    if not found:
        return
    await discovered.wait()

    async def look() -> None:
        with_files = await packs.others.with_files_of_the_run(found)
        for one in found:
            if one.name.tag in with_files:
                raise one.refusal_of_table()

    await _until_known(
        look, outlasted=outlasted, stuck_after_s=packs.stuck_after_s, on_fatal=on_fatal, stop=stop, emit=emit
    )


async def _name_unmatched(packs: Packs, emit: EventHook) -> None:
    """Name each tag of a pack to be passed over that no pack has: it may be misspelled, or of another account."""
    for tag in await packs.lost.unmatched():
        emit(Notice(code="packing", message=f"--ignore-pack {tag}: there is no pack with this tag to be ignored"))


async def _until_known(
    look: Callable[[], Awaitable[None]],
    *,
    outlasted: Callable[[], Awaitable[bool]],
    stuck_after_s: float,
    on_fatal: Callable[[BulkheadError], None],
    stop: StopSignal,
    emit: EventHook,
) -> None:
    """Do what is necessary before packs or their files are sent, until the vendor answers, or a stop comes.

    `outlasted` waits for the end of an outage, and tells whether there was one. Other trouble, such as with the place
    of the lists, is fatal once this has paused for `stuck_after_s` seconds; the time that `look` takes does not count.
    """
    patience, said = Patience(stuck_after_s), set[str]()
    now = asyncio.get_running_loop().time
    while not stop.requested:
        began = now()
        try:
            await look()
        except (AuthRefused, ForeignImports, LedgerUnavailable, RequestInvalid, SinkFailed, StorageFull) as error:
            on_fatal(error)
        except Stopped:
            return
        except TransientError as error:
            patience.excuse(_PLANNING, now() - began)
            is_of_vendor = not isinstance(error, (FileUnavailable, NotYet))
            message = f"packs cannot be planned yet: {error}"
            if message not in said:
                said.add(message)
                emit(Notice(code="vendor_unreachable" if is_of_vendor else "packing", message=message))
            if is_of_vendor and await outlasted():
                patience.forget(_PLANNING)
            elif (pause_s := patience.pause_s(_PLANNING, shortest_s=_AGAIN_S)) is not None:
                await stop.sleep(pause_s)
            else:
                on_fatal(error)
        else:
            return


def _plan_sentence(plan: PackPlan) -> str:
    packed, alone = len(plan.sources), sum(plan.alone.values())
    sentence = f"{counted(packed, 'file')} in {counted(len(plan.packs), 'pack')}"
    return f"{sentence}; {counted(alone, 'file')} alone" if alone else sentence
