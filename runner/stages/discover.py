"""The discover stage: source -> items in the ledger, each immediately queued, skipped, or rejected."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from runner import identity
from runner.config.routes import NO_ROUTE
from runner.events import ItemsDiscovered, Notice
from runner.models import Item, ItemState
from runner.sources import links_passed_over, results_passed_over
from runner.stages.earlier import EarlierItems

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.config.routes import Routes
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import ItemChanges
    from runner.protocols import Clock, Source, SourceEntry
    from runner.stages.earlier import Finding
    from runner.stages.transitions import Transitions


class Discovery:
    """Adds the files that a source lists to a batch; memory does not grow with their number."""

    def __init__(
        self,
        *,
        batch_id: str,
        ledger: Ledger | None,
        source: Source,
        routes: Routes,
        rank_of: Callable[[SourceEntry], int],
        endpoint: str,
        again: bool,
        clock: Clock,
        retry_failed: bool = False,
        out: str = "",
    ) -> None:
        self._batch_id = batch_id
        self._earlier = EarlierItems(ledger, endpoint=endpoint, again=again, retry_failed=retry_failed, out=out)
        self._source = source
        self._routes = routes
        self._rank_of = rank_of
        self.endpoint = endpoint
        self._clock = clock

    async def run(
        self, ledger: Ledger, transitions: Transitions, emit: EventHook, on_added: Callable[[], None]
    ) -> None:
        """List everything into the ledger and mark the batch as listed. Raises SourceNotFound, FileUnavailable."""
        async for entries in self._source.entries():
            items = await self.items(entries)
            new = await ledger.add(items)
            if new == len(items):
                transitions.added(Counter(item.state for item in items))
            else:
                await transitions.recount(self._batch_id)
            _report(emit, new, transitions, finished=False)
            on_added()
        if notice := links_passed_over(self._source):
            emit(Notice(code="linked_directories", message=notice))
        if notice := results_passed_over(self._source):
            emit(Notice(code="earlier_results", message=notice))
        await ledger.update_batch(self._batch_id, listed=True)
        _report(emit, 0, transitions, finished=True)

    async def items(self, entries: Sequence[SourceEntry]) -> list[Item]:
        """Return the items of these entries, without adding them."""
        items = [self._item(entry) for entry in entries]
        found = await self._earlier.of_listed([item for item in items if item.state is ItemState.QUEUED])
        return [self._ruled(item, found[item.source]) if item.source in found else item for item in items]

    def _item(self, entry: SourceEntry) -> Item:
        route = self._routes.for_version(entry.source, entry.version)
        rejection = entry.rejection or (NO_ROUTE if route is None else None)
        binding = route.binding if route else ""
        return Item(
            batch_id=self._batch_id,
            source=entry.source,
            kind=entry.kind,
            rank=self._rank_of(entry),
            size_bytes=entry.size_bytes,
            file_key=identity.file_key(entry.uri, endpoint=self.endpoint),
            version=entry.version,
            version_key=identity.version_key(entry.uri, entry.version, binding, endpoint=self.endpoint),
            binding=binding,
            schema_id=route.schema_id if route else None,
            state=ItemState.REJECTED if rejection else ItemState.QUEUED,
            error_code=rejection.code if rejection else None,
            error_message=str(rejection) if rejection else None,
            finished_at=self._clock.now() if rejection else None,
        )

    def _ruled(self, item: Item, finding: Finding) -> Item:
        if finding.is_sent:
            return replace(item, **finding.changes())
        changes: ItemChanges = {**finding.changes(), "finished_at": self._clock.now()}
        return item.with_state(finding.state, **changes)


def _report(emit: EventHook, new: int, transitions: Transitions, *, finished: bool) -> None:
    by_state = {str(state): count for state, count in transitions.by_state.items() if count}
    emit(ItemsDiscovered(new=new, total=sum(by_state.values()), finished=finished, by_state=by_state))
