"""run_batch(): the stages over bounded queues, from discovery to the last result; only this file knows their order.

discover -> [ledger] -> feed -> submit queue -> N submitters -> tracker -> collect queue -> M collectors
                                             `-> lost creates (JSON creates whose response was lost) -> feed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from runner import identity
from runner.config.route_remarks import fault_sentences, remarks_of_routes
from runner.errors import (
    AuthRefused,
    DuplicatePending,
    FileUnavailable,
    ForeignImports,
    LedgerReplaced,
    LedgerUnavailable,
    NotYet,
    RequestInvalid,
    SinkFailed,
    StaleItem,
    Stopped,
    StorageFull,
    TransientError,
    first_cause,
)
from runner.events import Notice
from runner.local.counters import CallCounts
from runner.local.deferrals import DeferredItems, WaitingItems
from runner.local.feeder import WITH_IMPORT, Feeder, InFlight, unfinished
from runner.local.ledger_watch import LedgerWatcher
from runner.local.outage import OutageWatch
from runner.local.packing import Packing, refuse_lost_packs
from runner.local.settling import LostCreateQueue
from runner.local.stop_conditions import StopConditions
from runner.models import REVIEW_DISMISSED, Batch, Item, ItemKind, ItemState
from runner.retry import repeat_read
from runner.stages.context import RunContext
from runner.stages.discover import Discovery
from runner.stages.factory import Stages
from runner.stages.foreign import ForeignWatch
from runner.stages.packs import Packs
from runner.stages.submit import SubmitOutcome, SubmitResult
from runner.stages.track import Tracker
from runner.stages.transitions import ItemOvertaken, Transitions
from runner.stages.untaken import UntakenUploads
from runner.stop import StopReason

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 10.0
"""The first pause of an item that is in trouble although the vendor answers; later ones are longer."""

WAITING_MOST = 32
"""With more items that wait for storage, uploads pause with them: further imports would only wait, too."""

_CATCH_UP_PAUSES_S = (0.0, 2.0, 10.0, 30.0)

_S = ItemState


class Scope(Enum):
    """What a run does: everything, check reviews and open imports once, or watch them until none is left."""

    RUN = "run"
    TRACK_ONCE = "track_once"
    TRACK_WATCH = "track_watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How the stages left a batch: `held_schemas` with a sentence on each that waits for a person, and `reasons`.

    `ended` counts the items that ended in this run, and those that now need review. `outage` says since when the vendor
    has not answered; None if it answers.
    """

    by_state: dict[ItemState, int]
    ended: dict[ItemState, int]
    reasons: dict[str, str]
    """Why an item was left to a later run, by its source."""
    held_schemas: list[str]
    missing_schemas: tuple[str, ...] = ()
    """Those of `held_schemas` on schemas that the vendor does not have."""
    outage: str | None = None
    unlisted: str = ""
    """Why the source could not be listed completely."""

    @property
    def deferred(self) -> int:
        """Return how many items were left to a later run."""
        return len(self.reasons)


async def run_batch(
    batch: Batch, context: RunContext, *, scope: Scope = Scope.RUN, list_source: bool = True
) -> RunResult:
    """Take every item of the batch as far as possible, until the batch is settled or `context.stop` is requested.

    Raises SourceNotFound, LedgerError, and unexpected errors. Other errors that concern the whole batch stop the run
    gracefully.
    """
    if scope is Scope.RUN:
        for fault in fault_sentences(remarks_of_routes(context.routes.routes)):
            context.emit(Notice(code="schema_name", message=fault))
    run = _Run(batch, context, transitions=await _transitions(batch, context), scope=scope, list_source=list_source)
    try:
        await run.go()
    except BaseExceptionGroup as group:
        raise first_cause(group) from None
    finally:
        await asyncio.shield(run.counts.flush_last())
    return await run.result()


async def _transitions(batch: Batch, context: RunContext) -> Transitions:
    counts = await context.ledger.counts(batch.batch_id)
    return Transitions(context.ledger, clock=context.clock, emit=context.emit, by_state=counts)


class _Run:
    """One run over one batch: its queues, its stages, and the items in flight between them."""

    def __init__(
        self, batch: Batch, context: RunContext, *, transitions: Transitions, scope: Scope, list_source: bool
    ) -> None:
        self._batch = batch
        self._outage = OutageWatch(context, record=self._record_outage)
        self._stop_conditions = StopConditions(context.stop, options=context.options, transitions=transitions)
        self._foreign = ForeignWatch(
            self._outage.api.inner, retrieve=self._outage.api.retrieve, ledger=context.ledger,
            batch_id=batch.batch_id, source=identity.short(batch.source_uri),
            schemas={route.schema_id for route in context.routes.routes}, vendor_time=context.vendor_time,
            on_found=self._stop_conditions.stop_for,
        )  # fmt: skip
        watched = self._outage.api.over(self._foreign) if scope is Scope.RUN else self._outage.api
        api = watched.until(context.stop)
        self._outage.ask_through(api)
        self._context = replace(context, api=api, before_create=self._refuse)
        self._transitions = transitions
        self._scope = scope
        self._list_source = list_source
        self._stop = context.stop
        self._inflight = InFlight()
        self._submits: asyncio.Queue[Item] = asyncio.Queue(maxsize=context.options.uploads)
        self._collects: asyncio.Queue[Item] = asyncio.Queue()
        self._deferred = DeferredItems(
            stop=context.stop, emit=context.emit, max_returns=context.options.create_attempts,
            stuck_after_s=context.options.stuck_after_s,
        )  # fmt: skip
        self._waiting = WaitingItems(self._due)
        self._discovered = asyncio.Event()
        self._unlisted = ""
        self._build_stages()

    def _build_stages(self) -> None:
        context, transitions, batch_id = self._context, self._transitions, self._batch.batch_id
        stages = Stages(context, transitions)
        self._orphans, self._collector = stages.orphans, stages.collector
        self._submitter, self._uploader, self._held_schemas = stages.submitter, stages.uploader, stages.held_schemas
        self.counts = CallCounts(
            context.ledger, batch_id=batch_id, endpoint=context.endpoint, vendor_time=context.vendor_time,
            counted=lambda: {**context.api.calls, "bytes_uploaded": self._uploader.bytes_uploaded},
        )  # fmt: skip
        self._tracker = Tracker(
            api=context.api, transitions=transitions, on_move=self._tracked, on_trouble=self._defer,
            untaken=UntakenUploads(
                settle_s=context.options.settle_s, stuck_after_s=context.options.stuck_after_s,
                vendor_time=context.vendor_time, emit=context.emit,
            ),
            longest_pause_s=self._pause_s(), missing_after=1 if self._scope is Scope.TRACK_ONCE else 3,
            stuck_after_s=0.0 if self._scope is Scope.TRACK_ONCE else context.options.stuck_after_s,
        )  # fmt: skip
        self._watcher = LedgerWatcher(
            tracker=self._tracker, ledger=context.ledger, transitions=transitions, batch_id=batch_id,
            safety_list_s=context.options.safety_list_s, trusting=context.options.track_by == "ledger",
        )  # fmt: skip
        self._feeder = Feeder(
            batch_id=batch_id, ledger=context.ledger, inflight=self._inflight, queue=self._submits,
            discovered=self._discovered, skip=self._is_not_fed, list_first=context.options.list_first,
            shared=context.shared,
        )  # fmt: skip
        self._packs = Packs(context, stages, self._batch)
        self._packing = None if context.shared else Packing(
            self._batch, self._packs, transitions=transitions, inflight=self._inflight,
            feeder=self._feeder, route=self._route, on_fatal=self._stop_conditions.stop_for, stop=context.stop,
            emit=context.emit, outlasted=self._outage.outlasted,
        )  # fmt: skip
        self._lost_creates = LostCreateQueue(
            stages.lost_creates, stages.held_schemas, stop=context.stop, emit=context.emit,
            quiet_period_s=context.options.quiet_period_s, stuck_after_s=context.options.stuck_after_s,
            on_settled=self._settled, on_released=self._feeder.again, on_fatal=self._stop_conditions.stop_for,
        )  # fmt: skip

    async def _refuse(self, tag: str, source: str) -> None:
        await self._foreign.refuse(tag, source)
        await self._packs.others.refuse(tag, source)

    def _pause_s(self) -> float:
        return self._context.options.watch_interval_s if self._scope is Scope.TRACK_WATCH else 30.0

    async def go(self) -> None:
        """Start the stages, wait for the end of the work or a stop, drain the queues, and end the stages."""
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
            self._lost_creates.run(),
            *([self._packing.run()] if self._packing else []),
            self._waiting.run(),
            self.counts.flush_often(self._stop_conditions.stop_for),
            self._stop_conditions.keep_time(),
            self._outage.run(),
            self._stop_conditions.keep_files(self._context.check_files),
        ]

    async def _record_outage(self, sentence: str | None) -> None:
        try:
            await self._context.ledger.update_batch(self._batch.batch_id, reason=sentence)
        except (StorageFull, LedgerUnavailable) as error:
            self._stop_conditions.stop_for(error)

    async def _work(self) -> None:
        """Process all items; if the ledger cannot record the progress, stop gracefully."""
        try:
            await self._process_all()
        except* (StorageFull, LedgerUnavailable) as group:
            cause = first_cause(group)
            assert isinstance(cause, StorageFull | LedgerUnavailable)
            self._stop_conditions.stop_for(cause)

    async def _process_all(self) -> None:
        """Put all items in flight, then wait until none is."""
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
        if self._packing is not None:
            await self._packing.settle_dissolved()
        if self._scope is Scope.RUN and self._context.shared:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Process items that others have moved in the meantime, such as one whose review a person has finished."""
        for pause_s in _CATCH_UP_PAUSES_S:
            counts = await self._context.ledger.counts(self._batch.batch_id)
            at_work = sum(counts.get(state, 0) for state in WITH_IMPORT)
            if at_work <= len(self._deferred) and not await self._feeder.is_missing_some():
                return
            await asyncio.sleep(pause_s)
            async for item in self._context.ledger.items(self._batch.batch_id, states=WITH_IMPORT):
                if item.source not in self._deferred:
                    self._inflight.add(item.source)
                    await self._route(item)
            await self._feeder.run()
            await self._inflight.idle()

    async def _discover(self) -> None:
        context = self._context
        discovery = Discovery(
            batch_id=self._batch.batch_id, ledger=context.ledger, source=context.source, routes=context.routes,
            rank_of=context.rank_of, endpoint=context.endpoint, again=context.options.again,
            retry_failed=context.options.retry_failed, clock=context.clock, out=self._batch.out,
        )  # fmt: skip
        try:
            await discovery.run(context.ledger, self._transitions, context.emit, self._feeder.more)
        except FileUnavailable as error:
            self._unlisted = str(error)
            self._notice("not_listed", f"{error}; a later run lists it again")
        self._discovered.set()
        self._feeder.more()

    async def _recover_and_feed(self) -> None:
        await self._reconcile_first()
        await self._route_unfinished()
        if self._packing is not None:
            await self._packing.start(self._discovered, skip=self._is_held_back)
        elif self._context.options.filename_tag and not self._context.options.again:
            await refuse_lost_packs(
                self._packs, self._discovered, on_fatal=self._stop_conditions.stop_for, stop=self._stop,
                emit=self._context.emit, outlasted=self._outage.outlasted,
            )  # fmt: skip
        await self._feeder.run()

    async def _reconcile_first(self) -> None:
        """Find our imports that the ledger does not know: after a lost response, a lost ledger, or a restored backup.

        Without tags in filenames they cannot be found, but one page is listed anyway, because the response has the
        vendor's time.
        """
        while not self._stop.requested:
            try:
                if self._context.options.filename_tag:
                    await self._orphans.reconcile()
                else:
                    await repeat_read(lambda: self._context.api.list_page(limit=1, offset=0))
            except AuthRefused as error:
                self._stop_conditions.stop_for(error)
            except Stopped:
                return
            except TransientError as error:
                self._notice("vendor_unreachable", f"cannot list imports yet: {error}")
                await self._stop.sleep(30)
            else:
                self._foreign.first_walk_done()
                if self._context.options.filename_tag:
                    self.counts.mark_reconciled()
                await self._bind_account()
                return

    async def _route_unfinished(self) -> None:
        """Hand the unfinished items of an earlier run to their stages; the feeder gets those without an import."""
        async for item in unfinished(self._context.ledger, self._batch.batch_id, transitions=self._transitions):
            self._inflight.add(item.source)
            await self._route(item)

    async def _watch_reviews(self) -> None:
        states = {_S.NEEDS_REVIEW, _S.PROCESSING, _S.SUCCEEDED, _S.FAILED}
        async for item in self._context.ledger.items(self._batch.batch_id, states=states):
            if item.state is _S.FAILED:
                if item.error_code == REVIEW_DISMISSED:
                    self._tracker.watch(item)
                continue
            if self._scope is Scope.TRACK_WATCH or item.state is _S.SUCCEEDED:
                self._inflight.add(item.source)
            if item.state is _S.SUCCEEDED:
                self._collects.put_nowait(item)
            else:
                self._tracker.watch(item)
        if self._packing is not None:
            await self._packing.continue_at_work(waits=self._scope is Scope.TRACK_WATCH)
        await self._list_reviews()

    async def _list_reviews(self) -> None:
        """List once, now; without a watch, there is no second try."""
        try:
            await self._tracker.list_once()
        except StorageFull:
            raise
        except AuthRefused as error:
            self._stop_conditions.stop_for(error)
        except TransientError as error:
            if self._scope is Scope.TRACK_ONCE:
                self._stop.request(StopReason.VENDOR_UNREACHABLE, self._outage.sentence or str(error))
        else:
            await self._bind_account()

    async def _bind_account(self) -> None:
        """Bind the batch to the account, now that the vendor has accepted the key and before anything is created."""
        account = self._context.account
        if account not in ("", self._batch.account):
            self._batch = await self._context.ledger.update_batch(self._batch.batch_id, account=account)

    async def _route(self, item: Item) -> None:
        """Hand an item in flight to the stage for its state, or release it."""
        match item.state:
            case _S.QUEUED | _S.CREATED:
                await self._submits.put(item)
            case _S.CREATING:
                self._lost_creates.add(item)
            case _S.PROCESSING:
                self._tracker.watch(item)
            case _S.SUCCEEDED:
                self._collects.put_nowait(item)
            case _ if item.kind is ItemKind.PACK:
                self._collects.put_nowait(item)
            case _:
                self._inflight.release(item.source)

    async def _tracked(self, item: Item) -> None:
        self._deferred.has_moved(item)
        self._inflight.add(item.source)
        await self._continue(item)

    async def _continue(self, item: Item) -> None:
        """Continue with an item from its current state, whichever process moved it there."""
        if item.state is _S.QUEUED and item.kind is not ItemKind.PACK:
            self._inflight.release(item.source)
            self._feeder.again()
        elif item.state is _S.CREATING:
            self._defer(item, "another process is creating its import")
        else:
            await self._route(item)
        self._stop_conditions.check_failures()

    async def _consume(self, queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        """Handle items from a queue until canceled; trouble with one item never affects the others."""
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
        except (AuthRefused, StorageFull, SinkFailed, LedgerReplaced, ForeignImports) as error:
            self._stop_conditions.stop_for(error)
            self._inflight.release(item.source)
        except ItemOvertaken as error:
            await self._continue_overtaken(item, error.current)
        except StaleItem:
            await self._continue_overtaken(item, None)
        except DuplicatePending as error:
            if item.kind is ItemKind.PACK:
                return self._defer(item, str(error))
            await self._deferred.wait_for_duplicate(item, error)
            self._inflight.release(item.source)
            self._feeder.again()
        except NotYet as error:
            await self._wait(item, error)
        except Stopped:
            self._inflight.release(item.source)
        except FileUnavailable as error:
            await self._wait(item, NotYet(str(error), wait_s=TRY_AGAIN_S))
        except (TransientError, RequestInvalid) as error:
            await self._try_later(item, str(error), handle)

    async def _wait(self, item: Item, error: NotYet) -> None:
        """Let an item wait outside the workers; leave it to a later run once it has been in trouble for too long."""
        pause_s = self._deferred.pause_s(item, error)
        if pause_s is None or self._stop.requested:
            self._defer(item, str(error))
        elif item.state is _S.CREATED and error.in_trouble and len(self._waiting) >= WAITING_MOST:
            await self._stop.sleep(pause_s)
            self._waiting.add(item, 0.0)
        else:
            self._waiting.add(item, pause_s)

    async def _due(self, item: Item) -> None:
        """Continue with an item that has waited, from where it is now."""
        current = None
        try:
            current = await self._context.ledger.item(item.batch_id, item.source)
        except (StorageFull, LedgerUnavailable) as error:
            self._stop_conditions.stop_for(error)
        if current is None or self._stop.requested:
            self._inflight.release(item.source)
        else:
            await self._continue(current)

    async def _continue_overtaken(self, item: Item, current: Item | None) -> None:
        """Continue with an item that another process moved while it was in flight here, a limited number of times."""
        logger.warning("item moved by another process", extra={"item": item.source})
        if current is None or not self._deferred.may_continue(current):
            self._defer(item, "other processes keep moving it")
        elif current.state is _S.CREATED:
            await self._guarded(current, self._submit)
        else:
            await self._continue(current)

    async def _submit(self, item: Item) -> None:
        submitter = self._packing.submitter if self._packing and item.kind is ItemKind.PACK else self._submitter
        result = await (submitter.upload(item) if item.state is _S.CREATED else submitter.submit(item))
        match result.outcome:
            case SubmitOutcome.ADVANCED:
                if self._packing and item.kind is ItemKind.PACK:
                    self._packing.sent(item)
                self._deferred.has_moved(result.item)
                await self._route(result.item)
            case SubmitOutcome.OUTCOME_UNKNOWN:
                await self._route(result.item)
            case _ if self._packing and item.kind is ItemKind.PACK:
                await self._hold_pack(self._packing, result)
            case _:
                await self._hold_or_defer(result)
        self._stop_conditions.check_failures()

    async def _hold_or_defer(self, result: SubmitResult) -> None:
        """Release an item that did not advance; defer it if only an error can be the reason."""
        item = result.item
        if self._stop.requested or self._is_held_back(item):
            self._inflight.release(item.source)
        elif item.state is _S.QUEUED and self._deferred.may_return(result):
            self._inflight.release(item.source)
            self._feeder.again()
        elif await self._outage.outlasted():
            await self._guarded(item, self._submit)
        else:
            self._inflight.release(item.source)
            self._deferred.add_uncreated(item, "no create succeeded")

    async def _hold_pack(self, packing: Packing, result: SubmitResult) -> None:
        """Try a pack again that did not advance; without its schema, let its members wait themselves."""
        pack = result.item
        if self._stop.requested:
            self._inflight.release(pack.source)
        elif result.outcome is SubmitOutcome.SCHEMA_MISSING:
            await packing.release(pack, result.reason)
        elif self._deferred.may_return(result) or await self._outage.outlasted():
            await self._guarded(pack, self._submit)
        else:
            self._defer(pack, "no create succeeded")

    async def _collect(self, item: Item) -> None:
        if self._packing and item.kind is ItemKind.PACK:
            await self._packing.finish(item)
        else:
            moved = await self._collector.collect(item)
            self._inflight.release(moved.source)
        self._stop_conditions.check_failures()
        self._stop_conditions.check_rows()

    async def _try_later(self, item: Item, why: str, handle: Callable[[Item], Awaitable[None]]) -> None:
        """Continue with an item once the vendor answers again; if it does answer, the item itself is in trouble."""
        if await self._outage.outlasted():
            await self._guarded(item, handle)
        else:
            await self._wait(item, NotYet(why, wait_s=TRY_AGAIN_S))

    def _defer(self, item: Item, why: str) -> None:
        self._inflight.release(item.source)
        self._deferred.add(item, why)
        if self._packing and item.kind is ItemKind.PACK:
            self._packing.deferred(item, why)

    def _is_not_fed(self, item: Item) -> bool:
        """Return whether a queued item waits for a pack, or is held back."""
        return (self._packing is not None and self._packing.is_planned(item)) or self._is_held_back(item)

    def _is_held_back(self, item: Item) -> bool:
        if item.source in self._deferred:
            return True
        route = self._context.routes.for_version(item.source, item.version)
        return route is not None and self._held_schemas.hold(item, route.schema_id)

    async def _track(self) -> None:
        while True:
            try:
                await (self._watcher if self._watches_ledger else self._tracker).run()
            except (AuthRefused, StorageFull) as error:
                return self._stop_conditions.stop_for(error)

    @property
    def _watches_ledger(self) -> bool:
        return self._context.shared and self._context.options.track_by != "list"

    async def _settled(self, item: Item) -> None:
        if item.state in (_S.QUEUED, _S.CREATING):
            self._inflight.release(item.source)
        else:
            await self._route(item)

    async def _drain(self) -> None:
        """After a stop, let creates, uploads, and downloads in progress finish, but start nothing."""
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
            reasons=await self._reasons(),
            held_schemas=self._held_schemas.for_a_person(),
            missing_schemas=tuple(sorted(set(self._held_schemas.missing.values()))),
            outage=self._outage.sentence,
            unlisted=self._unlisted,
        )

    async def _reasons(self) -> dict[str, str]:
        """Return why items were left to a later run; what is said of a pack holds for its members."""
        reasons = dict(self._deferred.reasons)
        return await self._packing.of_members(reasons) if self._packing else reasons
