"""Dismissed: reviews that somebody may have finished after their dismissal, looked for in one pass over the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import AuthRefused, RequestInvalid, StorageFull, TransientError
from runner.events import EventHook, Notice, ignore
from runner.formatting import lasting
from runner.local.dismiss import dismissed_reviews
from runner.stages.track import Tracker
from runner.stages.transitions import Transitions
from runner.stop import StopSignal, limited

if TYPE_CHECKING:
    from runner.ledger.protocol import Ledger
    from runner.local.batch_lookup import Batches
    from runner.local.resources import Resources
    from runner.models import Item

LONGEST_S = 120.0
"""How long `track` may look for dismissed reviews before it tracks what is open."""


class DismissedReviews:
    """Moves dismissed reviews of all batches that the vendor says are finished, so that tracking collects them."""

    def __init__(self, resources: Resources, batches: Batches, *, emit: EventHook, stop: StopSignal) -> None:
        self._resources = resources
        self._batches = batches
        self._emit = emit
        self._stop = stop

    async def note_finished(self) -> None:
        """Ask the vendor's list once, for at most `LONGEST_S`; trouble with it is a notice.

        Raises ConfigError if there is no ledger, LedgerError, StorageFull.
        """
        ledger = await self._batches.existing(write=True)
        now = self._resources.clock.now()
        found: list[Item] = []
        for batch in await ledger.batches():
            if self._batches.is_of_account(batch):
                found += await dismissed_reviews(ledger, batch, now=now)
        if not found:
            return
        try:
            if await limited(self._look(ledger, found), self._stop, longest_s=LONGEST_S):
                self._say(f"that took over {lasting(LONGEST_S)}; `bulkhead track BATCH` takes its time")
        except StorageFull:
            raise
        except (AuthRefused, RequestInvalid, TransientError) as error:
            self._say(str(error))

    async def _look(self, ledger: Ledger, items: list[Item]) -> None:
        transitions = Transitions(ledger, clock=self._resources.clock, emit=ignore, by_state={})
        tracker = Tracker(api=await self._resources.api(), transitions=transitions, missing_after=1)
        for item in items:
            tracker.watch(item)
        await tracker.list_once()

    def _say(self, why: str) -> None:
        message = f"whether dismissed reviews have been finished is not known: {why}"
        self._emit(Notice(code="dismissed_not_checked", message=message))
