"""StopConditions: what ends a run before its work is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, BulkheadError, ConnectionBarred, ForeignImports, LedgerReplaced
from runner.models import ItemState
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config.options import RunOptions
    from runner.stages.transitions import Transitions

_CHECK_FILES_S = 1.0
"""How often a run makes sure that its ledger and locks are in their place: a few calls of `stat` (choice)."""

_REASONS: dict[type[BulkheadError], StopReason] = {
    AuthRefused: StopReason.AUTH_REFUSED,
    ConnectionBarred: StopReason.AUTH_REFUSED,
    LedgerReplaced: StopReason.LEDGER_REPLACED,
    ForeignImports: StopReason.FOREIGN_IMPORTS,
}

_S = ItemState


class StopConditions:
    """Requests a stop once the time is used up, too many items failed, or an error concerns the whole batch."""

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
        failed = ended[_S.FAILED] + ended[_S.UNCERTAIN]
        if self._options.failure_limit.is_reached(failed=failed, ended=sum(ended.values())):
            self._stop.request(StopReason.TOO_MANY_FAILURES, f"{failed} of {sum(ended.values())} items failed")

    def check_rows(self) -> None:
        rows = self._transitions.rows
        if self._options.row_loss_limit.is_reached(rows):
            self._stop.request(
                StopReason.TOO_MANY_ROWS_LOST,
                f"{rows.rows_left_out} of {rows.rows_in} rows are left out of results",
                hint="see left_out_reasons in the manifest",
            )

    def stop_for(self, error: BulkheadError) -> None:
        self._stop.request(_REASONS.get(type(error), StopReason.TROUBLE), str(error), hint=error.hint)

    async def keep_files(self, check: Callable[[], None] | None) -> None:
        """Stop as soon as the files that keep other runs away are no longer in their place."""
        while check is not None:
            try:
                check()
            except LedgerReplaced as error:
                self.stop_for(error)
                check = None
            await asyncio.sleep(_CHECK_FILES_S)
