"""StopConditions: what makes a run stop in order before its work is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, LedgerUnavailable, StorageFull
from runner.models import ItemState
from runner.stop import StopReason

if TYPE_CHECKING:
    from runner.config.options import RunOptions
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal


class StopConditions:
    """Asks for a stop once the time is over, too many items failed, or an error concerns everything."""

    def __init__(self, stop: StopSignal, *, options: RunOptions, transitions: Transitions) -> None:
        self._stop = stop
        self._options = options
        self._transitions = transitions

    async def keep_time(self) -> None:
        if self._options.max_duration_s is not None:
            await asyncio.sleep(self._options.max_duration_s)
            self._stop.request(StopReason.OUT_OF_TIME, "the time budget is used up")

    def check_failures(self) -> None:
        ended = self._transitions.ended
        failed = ended[ItemState.FAILED] + ended[ItemState.UNCERTAIN]
        if self._options.failure_limit.is_reached(failed=failed, ended=sum(ended.values())):
            self._stop.request(StopReason.TOO_MANY_FAILURES, f"{failed} of {sum(ended.values())} items failed")

    def halt(self, error: AuthRefused | StorageFull | LedgerUnavailable) -> None:
        reason = StopReason.AUTH_REFUSED if isinstance(error, AuthRefused) else StopReason.TROUBLE
        self._stop.request(reason, str(error), hint=error.hint)
