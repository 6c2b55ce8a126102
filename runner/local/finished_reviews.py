"""Finished reviews: collect what people have finished in earlier batches of a source, before a new batch begins."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.config.run_spec import RunSpec
from runner.errors import BulkheadError, LedgerReplaced, StorageFull
from runner.events import Event, EventHook, Notice, ignore
from runner.formatting import counted, lasting, storable
from runner.local.batch_lease import hold_batch_lease
from runner.local.dismiss import dismissed_reviews
from runner.local.finish import Records, judge, record
from runner.local.pipeline import Scope
from runner.models import Item, ItemState
from runner.stages.factory import Stages
from runner.stages.track import Tracker
from runner.stages.transitions import Transitions
from runner.stop import StopSignal, limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.local.batch_lookup import Batches
    from runner.local.contexts import Contexts
    from runner.local.out_owner import OutOwner
    from runner.local.resources import Resources
    from runner.models import Batch
    from runner.stages.context import RunContext

LONGEST_S = 120.0
"""How long a run may look for finished reviews before it begins."""

NAMED_MOST = 5
_S = ItemState
_WAITING = frozenset({_S.NEEDS_REVIEW, _S.SUCCEEDED})


@dataclass(slots=True)
class _Earlier:
    """An earlier batch that is open for collecting, and the items that have moved since."""

    batch: Batch
    context: RunContext
    owner: OutOwner
    stages: Stages
    moved: list[Item] = field(default_factory=list)


class FinishedReviews:
    """Collects the results of reviews of earlier batches, each into the place of its own batch.

    Nothing that fails here stops the run: it is a notice, and a later run, or `track`, tries again.
    """

    def __init__(
        self, resources: Resources, contexts: Contexts, batches: Batches, *, emit: EventHook, stop: StopSignal
    ) -> None:
        self._resources = resources
        self._contexts = contexts
        self._batches = batches
        self._emit = emit
        self._stop = stop
        self._look_stop = StopSignal()
        """What goes wrong with an earlier batch ends the look at reviews, not the run."""
        self._opened = AsyncExitStack()
        self._earlier: dict[str, _Earlier] = {}

    async def collect(self, source_uri: str, *, but: str) -> None:
        """Collect for all earlier batches of a source, `but` for one, until it is done or a stop is requested.

        Takes at most `LONGEST_S` seconds, or the time after which a run gives up, and one pass over the vendor's list.
        Raises StorageFull, LedgerError.
        """
        longest_s = min(LONGEST_S, self._resources.settings.give_up_after or LONGEST_S)
        work = self._collect_all(source_uri, but)
        if await limited(work, self._stop, self._look_stop, longest_s=longest_s):
            self._say("reviews_not_collected", f"looking for finished reviews took over {lasting(longest_s)}")
        elif self._look_stop.requested:
            self._say("reviews_not_collected", f"finished reviews are not collected: {self._look_stop.detail}")

    async def _collect_all(self, source_uri: str, but: str) -> None:
        async with self._opened:
            for batch in await self._waiting_batches(source_uri, but):
                await self._open(batch)
            dismissed = await self._dismissed(source_uri, but)
            if not (self._earlier or dismissed):
                return
            try:
                await self._look(dismissed)
            finally:
                for earlier in self._earlier.values():
                    await asyncio.shield(self._settle(earlier))

    async def _waiting_batches(self, source_uri: str, but: str) -> list[Batch]:
        ledger = await self._resources.ledger(write=True)
        return [
            batch
            for batch in await ledger.batches(source_uri=source_uri)
            if batch.batch_id != but
            and batch.driver != "stack"
            and _WAITING & (await ledger.counts(batch.batch_id)).keys()
        ]

    async def _open(self, batch: Batch) -> None:
        """Open a batch for collecting; one that cannot be opened is left out, with a notice."""
        leases = await self._resources.leases()
        try:
            self._batches.refuse_other_account(batch)
            spec = RunSpec.from_json(batch.config)
            context = await self._contexts.of(batch, spec, emit=self._pass_on, stop=self._look_stop)
            owner = await self._contexts.prepare_out(batch, spec)
            if leases is not None:
                lease = hold_batch_lease(leases, batch.batch_id, clock=self._resources.clock, stop=self._look_stop)
                await self._opened.enter_async_context(lease)
        except (StorageFull, LedgerReplaced):
            raise
        except BulkheadError as error:
            self._say("reviews_not_collected", f"the reviews of batch {batch.batch_id} are not collected: {error}")
            return
        transitions = Transitions(context.ledger, clock=context.clock, emit=ignore, by_state={})
        self._earlier[batch.batch_id] = _Earlier(batch, context, owner, Stages(context, transitions))

    async def _dismissed(self, source_uri: str, but: str) -> list[Item]:
        """Return reviews that were dismissed lately; their batches are opened only if somebody has finished them."""
        ledger, now = await self._resources.ledger(write=True), self._resources.clock.now()
        batches = [
            batch
            for batch in await ledger.batches(source_uri=source_uri)
            if batch.batch_id != but and self._batches.is_of_account(batch)
        ]
        return [item for batch in batches for item in await dismissed_reviews(ledger, batch, now=now)]

    async def _look(self, dismissed: Sequence[Item]) -> None:
        """List the vendor's imports once, and collect what is finished."""
        ledger, api = await self._resources.ledger(write=True), await self._resources.api()
        transitions = Transitions(ledger, clock=self._resources.clock, emit=ignore, by_state={})
        tracker = Tracker(api=api, transitions=transitions, on_move=self._take, missing_after=1)
        for earlier in self._earlier.values():
            async for item in ledger.items(earlier.batch.batch_id, states=_WAITING):
                if item.state is _S.SUCCEEDED:
                    await self._take(item)
                else:
                    tracker.watch(item)
        for item in dismissed:
            tracker.watch(item)
        try:
            await tracker.list_once()
        except (StorageFull, LedgerReplaced):
            raise
        except BulkheadError as error:
            self._say("reviews_not_collected", f"whether reviews are finished is not known: {error}")

    async def _take(self, item: Item) -> None:
        if item.batch_id not in self._earlier:
            ledger = await self._resources.ledger(write=True)
            if batch := await ledger.batch(item.batch_id):
                await self._open(batch)
        earlier = self._earlier.get(item.batch_id)
        if earlier is None:
            return
        place = len(earlier.moved)
        earlier.moved.append(item)
        if item.state is not _S.SUCCEEDED:
            return
        try:
            earlier.moved[place] = await earlier.stages.collector.collect(item)
        except (StorageFull, LedgerReplaced):
            raise
        except BulkheadError as error:
            message = f"the result of {storable(item.source)} (batch {item.batch_id}) is not collected yet: {error}"
            self._say("review_not_collected", message)

    async def _settle(self, earlier: _Earlier) -> None:
        """Record how the batch stands now, write its manifest again, and tell what has been collected."""
        if not earlier.moved:
            return
        settings = self._resources.settings
        result = await judge(
            earlier.batch,
            earlier.context.ledger,
            stop=StopSignal(),
            scope=Scope.TRACK_ONCE,
            fail_on_lost_rows=settings.fail_on_lost_rows,
        )
        await record(earlier.batch, result, Records.of(earlier.context, earlier.owner))
        collected = [item for item in earlier.moved if item.state is _S.COLLECTED]
        failed = [item for item in earlier.moved if item.state is _S.FAILED]
        about = f"of batch {earlier.batch.batch_id}"
        if collected:
            said = f"collected {counted(len(collected), 'finished review')} {about}: {_names(collected)}"
            self._say("reviews_collected", said)
        if failed:
            self._say("reviews_failed", f"{counted(len(failed), 'review')} {about} ended as failed: {_names(failed)}")

    def _pass_on(self, event: Event) -> None:
        """Pass notices on; other events about an earlier batch would be taken for the run's own."""
        if isinstance(event, Notice):
            self._emit(event)

    def _say(self, code: str, message: str) -> None:
        self._emit(Notice(code=code, message=message))


def _names(items: list[Item]) -> str:
    named = ", ".join(storable(item.source) for item in items[:NAMED_MOST])
    return f"{named}, and {len(items) - NAMED_MOST} more" if len(items) > NAMED_MOST else named
