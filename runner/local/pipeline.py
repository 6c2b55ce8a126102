"""run_batch(): the stages over bounded queues, from discovery to the last result; the only file that knows their order.

discover -> [ledger] -> feed -> submit queue -> N submitters -> tracker -> collect queue -> M collectors
                                             `-> lost creates (JSON creates whose answer was lost) -> feed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runner.errors import (
    AuthRefused,
    DuplicatePending,
    LedgerUnavailable,
    RequestInvalid,
    StaleItem,
    StorageFull,
    TransientError,
    first_cause,
)
from runner.events import Notice
from runner.formatting import counted
from runner.local.counters import CallCounts
from runner.local.deferrals import DeferredItems
from runner.local.feeder import Feeder, InFlight
from runner.local.ledger_watch import LedgerWatcher
from runner.local.limits import StopConditions
from runner.local.reconcile import WITH_IMPORT, unfinished
from runner.models import TERMINAL_STATES, Batch, Item, ItemState
from runner.retry import repeat_read
from runner.stages.context import RunContext
from runner.stages.discover import Discovery
from runner.stages.factory import Stages
from runner.stages.submit import SubmitOutcome
from runner.stages.track import Tracker
from runner.stages.transitions import ItemOvertaken, Transitions

logger = logging.getLogger(__name__)

_CATCH_UP_PAUSES_S = (0.0, 2.0, 10.0, 30.0)

_S = ItemState


class Scope(Enum):
    """What a run is for: everything, one look at reviews and open imports, or watching them until none is left."""

    RUN = "run"
    TRACK_ONCE = "track_once"
    TRACK_WATCH = "track_watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How the stages left a batch: items `deferred` by trouble, `missing_schemas` that stopped their routes."""

    by_state: dict[ItemState, int]
    ended: dict[ItemState, int]
    deferred: int
    missing_schemas: dict[str, str]


async def run_batch(
    batch: Batch, context: RunContext, *, scope: Scope = Scope.RUN, list_source: bool = True
) -> RunResult:
    """Take every item of the batch as far as it gets, until it is settled or `context.stop` says so.

    Raises what concerns the whole batch and is no reason to stop in order: SourceNotFound, LedgerError, bugs.
    """
    run = _Run(batch, context, transitions=await _transitions(batch, context), scope=scope, list_source=list_source)
    try:
        await run.go()
    except BaseExceptionGroup as group:
        raise first_cause(group) from None
    finally:
        await asyncio.shield(run.counts.flush_at_last())
    return await run.result()


async def _transitions(batch: Batch, context: RunContext) -> Transitions:
    counts = await context.ledger.counts(batch.batch_id)
    return Transitions(context.ledger, clock=context.clock, emit=context.emit, by_state=counts)


class _Run:
    """One run over one batch: its queues, its stages, and what is in flight between them."""

    def __init__(
        self, batch: Batch, context: RunContext, *, transitions: Transitions, scope: Scope, list_source: bool
    ) -> None:
        self._batch = batch
        self._context = context
        self._transitions = transitions
        self._scope = scope
        self._list_source = list_source
        self._stop = context.stop
        self._inflight = InFlight()
        self._submits: asyncio.Queue[Item] = asyncio.Queue(maxsize=context.options.uploads)
        self._collects: asyncio.Queue[Item] = asyncio.Queue()
        self._lost: asyncio.Queue[Item] = asyncio.Queue()
        self._brakes = StopConditions(context.stop, options=context.options, transitions=transitions)
        self._deferrals = DeferredItems(
            stop=context.stop, emit=context.emit, most_returns=context.options.create_attempts
        )
        self._discovered = asyncio.Event()
        self._build_stages()

    def _build_stages(self) -> None:
        context, transitions, batch_id = self._context, self._transitions, self._batch.batch_id
        stages = Stages(context, transitions)
        self._orphans, self._lost_creates, self._collector = stages.orphans, stages.lost_creates, stages.collector
        self._submitter, self._uploader, self._held_schemas = stages.submitter, stages.uploader, stages.held_schemas
        self.counts = CallCounts(
            context.ledger, batch_id=batch_id, endpoint=context.endpoint,
            vendor_time=context.vendor_time,
            counted=lambda: {**context.api.calls, "bytes_uploaded": self._uploader.bytes_uploaded},
        )  # fmt: skip
        self._tracker = Tracker(
            api=context.api, transitions=transitions, on_move=self._tracked, on_trouble=self._defer,
            longest_pause_s=self._pause_s(), missing_after=1 if self._scope is Scope.TRACK_ONCE else 3,
        )  # fmt: skip
        self._follower = LedgerWatcher(
            tracker=self._tracker, ledger=context.ledger, transitions=transitions, batch_id=batch_id,
            safety_list_s=context.options.safety_list_s, trusting=context.options.track_by == "ledger",
        )  # fmt: skip
        self._feeder = Feeder(
            batch_id=batch_id, ledger=context.ledger, inflight=self._inflight, queue=self._submits,
            discovered=self._discovered, skip=self._is_held_back, list_first=context.options.list_first,
            shared=context.shared,
        )  # fmt: skip

    def _pause_s(self) -> float:
        return self._context.options.watch_interval_s if self._scope is Scope.TRACK_WATCH else 30.0

    async def go(self) -> None:
        """Start the stages, wait for the end of the work or a stop, let go of what is under way, end the stages."""
        async with asyncio.TaskGroup() as group:
            stages = [group.create_task(stage) for stage in self._stages()]
            work = group.create_task(self._work())
            stopping = group.create_task(self._stop.wait())
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            stopping.cancel()
            await self._drain()
            for stage in stages:
                stage.cancel()

    def _stages(self) -> list[Coroutine[Any, Any, None]]:
        options = self._context.options
        submits = [self._consume(self._submits, self._submit) for _ in range(options.uploads)]
        collects = [self._consume(self._collects, self._collect) for _ in range(options.collects)]
        return [
            *submits,
            *collects,
            self._track(),
            self._settle_lost_creates(),
            self.counts.flush_often(self._brakes.halt),
            self._brakes.keep_time(),
        ]

    async def _work(self) -> None:
        """Do what there is to do; where no account of it can be kept, stop in order."""
        try:
            await self._bring_in_and_wait()
        except* (StorageFull, LedgerUnavailable) as group:
            cause = first_cause(group)
            assert isinstance(cause, StorageFull | LedgerUnavailable)
            self._brakes.halt(cause)

    async def _bring_in_and_wait(self) -> None:
        """Bring everything into flight, then wait until nothing is."""
        if self._scope is Scope.RUN:
            async with asyncio.TaskGroup() as group:
                if self._list_source:
                    group.create_task(self._discover())
                else:
                    self._discovered.set()
                group.create_task(self._recover_and_feed())
        else:
            await self._watch_reviews()
        await self._inflight.idle()
        if self._scope is Scope.RUN and self._context.shared:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Take up what others have put to work again, such as a review that a person has finished meanwhile."""
        for pause_s in _CATCH_UP_PAUSES_S:
            counts = await self._context.ledger.counts(self._batch.batch_id)
            at_work = sum(counts.get(state, 0) for state in WITH_IMPORT)
            if at_work <= len(self._deferrals) and not await self._feeder.is_missing_some():
                return
            await asyncio.sleep(pause_s)
            async for item in self._context.ledger.items(self._batch.batch_id, states=WITH_IMPORT):
                if item.source not in self._deferrals:
                    self._inflight.take(item.source)
                    await self._route(item)
            await self._feeder.run()
            await self._inflight.idle()

    async def _discover(self) -> None:
        context = self._context
        discovery = Discovery(
            batch_id=self._batch.batch_id, ledger=context.ledger, source=context.source, routes=context.routes,
            rank_of=context.rank_of, endpoint=context.endpoint, again=context.options.again, clock=context.clock,
        )  # fmt: skip
        await discovery.run(context.ledger, self._transitions, context.emit, self._feeder.more)
        self._discovered.set()
        self._feeder.more()

    async def _recover_and_feed(self) -> None:
        await self._reconcile_first()
        await self._take_up_unfinished()
        await self._feeder.run()

    async def _reconcile_first(self) -> None:
        """Find imports of ours that the ledger does not know: lost answers, a lost ledger, or an old copy of it.

        Where their names would not tell them, one of the latest is asked for all the same: an answer tells the time.
        """
        while not self._stop.requested:
            try:
                if self._context.options.filename_tag:
                    await self._orphans.reconcile()
                else:
                    await repeat_read(lambda: self._context.api.list_page(limit=1, offset=0))
            except AuthRefused as error:
                self._brakes.halt(error)
            except TransientError as error:
                self._notice("vendor_unreachable", f"cannot list imports yet: {error}")
                await self._stop.sleep(30)
            else:
                if self._context.options.filename_tag:
                    self.counts.mark_reconciled()
                return

    async def _take_up_unfinished(self) -> None:
        """Put the items of an earlier run back where they were; those without an import go to the feeder."""
        async for item in unfinished(self._context.ledger, self._batch.batch_id, transitions=self._transitions):
            self._inflight.take(item.source)
            await self._route(item)

    async def _watch_reviews(self) -> None:
        states = {_S.NEEDS_REVIEW, _S.PROCESSING, _S.SUCCEEDED}
        async for item in self._context.ledger.items(self._batch.batch_id, states=states):
            if self._scope is Scope.TRACK_WATCH or item.state is _S.SUCCEEDED:
                self._inflight.take(item.source)
            if item.state is _S.SUCCEEDED:
                self._collects.put_nowait(item)
            else:
                self._tracker.watch(item)
        if self._scope is Scope.TRACK_ONCE:
            await self._tracker.list_once()

    async def _route(self, item: Item) -> None:
        """Hand an item that is in flight to the stage its state asks for, or lay it down."""
        match item.state:
            case _S.QUEUED | _S.CREATED:
                await self._submits.put(item)
            case _S.CREATING:
                self._held_schemas.outcome_unknown.add(item.schema_id)
                self._lost.put_nowait(item)
            case _S.PROCESSING:
                self._tracker.watch(item)
            case _S.SUCCEEDED:
                self._collects.put_nowait(item)
            case _:
                self._inflight.release(item.source)

    async def _tracked(self, item: Item) -> None:
        self._deferrals.got_through()
        self._inflight.take(item.source)
        await self._go_on(item)

    async def _go_on(self, item: Item) -> None:
        """Go on with an item from where it was brought, by whomever."""
        if item.state is _S.QUEUED:
            self._inflight.release(item.source)
            self._feeder.again()
        elif item.state is _S.CREATING:
            self._defer(item, "somebody else is creating its import")
        else:
            await self._route(item)
        self._brakes.check_failures()

    async def _consume(self, queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        """Take items from a queue for ever; trouble of one item never ends the others."""
        while True:
            item = await queue.get()
            try:
                if self._stop.requested:
                    self._inflight.release(item.source)
                else:
                    await self._guarded(item, handle)
            finally:
                queue.task_done()

    async def _guarded(self, item: Item, handle: Callable[[Item], Awaitable[None]]) -> None:
        try:
            await handle(item)
        except (AuthRefused, StorageFull) as error:
            self._brakes.halt(error)
            self._inflight.release(item.source)
        except ItemOvertaken as error:
            await self._overtook(item, error.current)
        except StaleItem:
            await self._overtook(item, None)
        except DuplicatePending as error:
            await self._deferrals.wait_for_twin(item, error)
            self._inflight.release(item.source)
            self._feeder.again()
        except (TransientError, RequestInvalid) as error:
            self._defer(item, str(error))

    async def _overtook(self, item: Item, current: Item | None) -> None:
        """Go on from where somebody else has brought an item that was at work here; not without end."""
        logger.warning("item moved by somebody else", extra={"item": item.source})
        if current is None or not self._deferrals.may_go_on(current):
            self._defer(item, "others move it again and again")
        elif current.state is _S.CREATED:
            await self._guarded(current, self._submit)
        else:
            await self._go_on(current)

    async def _submit(self, item: Item) -> None:
        upload = item.state is _S.CREATED
        result = await (self._submitter.upload(item) if upload else self._submitter.submit(item))
        match result.outcome:
            case SubmitOutcome.ADVANCED:
                self._deferrals.got_through()
                await self._route(result.item)
            case SubmitOutcome.OUTCOME_UNKNOWN:
                await self._route(result.item)
            case _:
                self._hold_or_defer(result.item)
        self._brakes.check_failures()

    def _hold_or_defer(self, item: Item) -> None:
        """Release an item that did not advance; defer it if nothing but trouble can be the reason."""
        if self._stop.requested or self._is_held_back(item):
            self._inflight.release(item.source)
        elif item.state is _S.QUEUED and self._deferrals.may_return(item):
            self._inflight.release(item.source)
            self._feeder.again()
        else:
            self._defer(item, "no create or upload got through")

    async def _collect(self, item: Item) -> None:
        moved = await self._collector.collect(item)
        if moved.state in TERMINAL_STATES:
            self._inflight.release(item.source)
        else:
            self._defer(item, "the result could not be fetched")
        self._brakes.check_failures()

    def _defer(self, item: Item, why: str) -> None:
        self._inflight.release(item.source)
        self._deferrals.add(item, why)

    def _is_held_back(self, item: Item) -> bool:
        if item.source in self._deferrals:
            return True
        route = self._context.routes.for_version(item.source, item.version)
        return route is not None and self._held_schemas.hold(item, route.schema_id)

    async def _track(self) -> None:
        while True:
            try:
                await (self._follower if self._follows else self._tracker).run()
            except (AuthRefused, StorageFull) as error:
                return self._brakes.halt(error)

    @property
    def _follows(self) -> bool:
        return self._context.shared and self._context.options.track_by != "list"

    async def _settle_lost_creates(self) -> None:
        """Settle JSON creates whose answers were lost; those that are waiting at the same time are settled together."""
        while True:
            items = [await self._lost.get()]
            while not self._lost.empty():
                items.append(self._lost.get_nowait())
            self._notice(
                "create_in_doubt",
                f"the answer to {counted(len(items), 'JSON create')} was lost; that is settled after a quiet period of "
                f"{self._context.options.quiet_period_s:.0f} s",
            )
            await self._settle(items)

    async def _settle(self, items: list[Item]) -> None:
        while not self._stop.requested:
            try:
                settled = await self._lost_creates.settle(items)
            except (AuthRefused, StorageFull) as error:
                self._brakes.halt(error)
                continue
            except TransientError as error:
                self._notice("vendor_unreachable", f"cannot list imports yet: {error}")
                await self._stop.sleep(30)
                continue
            if not self._stop.requested:
                self._held_schemas.outcome_unknown -= {item.schema_id for item in items}
                self._feeder.again()
            for item in settled:
                await self._after_settling(item)
            return
        for item in items:
            self._inflight.release(item.source)

    async def _after_settling(self, item: Item) -> None:
        if item.state in (_S.QUEUED, _S.CREATING):
            self._inflight.release(item.source)
        else:
            await self._route(item)

    async def _drain(self) -> None:
        """After a stop: no new work, but creates, uploads and downloads that are under way come to their end."""
        if self._stop.requested:
            await self._submits.join()
            await self._collects.join()

    def _notice(self, code: str, message: str) -> None:
        self._context.emit(Notice(code=code, message=message))

    async def result(self) -> RunResult:
        await self._transitions.recount(self._batch.batch_id)
        return RunResult(
            by_state={state: count for state, count in self._transitions.by_state.items() if count},
            ended=dict(self._transitions.ended),
            deferred=len(self._deferrals),
            missing_schemas=dict(self._held_schemas.missing),
        )
