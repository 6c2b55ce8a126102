"""The verdict on a run: which state it left the batch in, with which exit code, and why, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.formatting import counted
from runner.local.outcome import ExitCode
from runner.models import OPEN_STATES, BatchState, ItemState
from runner.stop import StopReason, StopSignal

_S = ItemState

_OF_STOP = {
    StopReason.INTERRUPTED: (BatchState.INTERRUPTED, ExitCode.INTERRUPTED),
    StopReason.TERMINATED: (BatchState.INTERRUPTED, ExitCode.TERMINATED),
    StopReason.OUT_OF_TIME: (BatchState.PAUSED, ExitCode.OUT_OF_TIME),
    StopReason.TOO_MANY_FAILURES: (BatchState.PAUSED, ExitCode.TOO_MANY_FAILURES),
    StopReason.AUTH_REFUSED: (BatchState.PAUSED, ExitCode.FATAL),
    StopReason.TROUBLE: (BatchState.PAUSED, ExitCode.TRY_AGAIN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    state: BatchState
    exit_code: ExitCode
    reason: str


def verdict(
    by_state: Mapping[ItemState, int],
    *,
    stop: StopSignal,
    missing_schemas: Mapping[str, str],
    listed: bool,
    fail_if_empty: bool = False,
) -> Verdict:
    """Judge a batch by what is in it, whether its source is `listed` to the end, and by why the run ended."""
    open_count = sum(by_state.get(state, 0) for state in OPEN_STATES)
    if stop.reason is not None and (open_count or not listed):
        state, code = _OF_STOP[stop.reason]
        return Verdict(state=state, exit_code=code, reason=stop.detail or str(stop.reason))
    if missing_schemas and open_count:
        return Verdict(
            state=BatchState.PAUSED, exit_code=ExitCode.FATAL, reason="; ".join(sorted(missing_schemas.values()))
        )
    if open_count:
        return Verdict(
            state=BatchState.PAUSED,
            exit_code=ExitCode.TRY_AGAIN,
            reason=f"{counted(open_count, 'item')} did not get through; running again continues them",
        )
    if not listed:
        return Verdict(
            state=BatchState.PAUSED,
            exit_code=ExitCode.TRY_AGAIN,
            reason="the source is not listed to its end; running again continues that",
        )
    return _at_rest(by_state, fail_if_empty=fail_if_empty)


def _at_rest(by_state: Mapping[ItemState, int], *, fail_if_empty: bool) -> Verdict:
    reviews = by_state.get(_S.NEEDS_REVIEW, 0)
    failed = sum(by_state.get(state, 0) for state in (_S.FAILED, _S.REJECTED, _S.UNCERTAIN))
    state = BatchState.SETTLED if reviews else BatchState.COMPLETE
    if failed:
        return Verdict(
            state=state,
            exit_code=ExitCode.ITEMS_FAILED,
            reason=_said(failed, "failed or was rejected", "failed or were rejected"),
        )
    if reviews:
        return Verdict(
            state=state, exit_code=ExitCode.NEEDS_REVIEW, reason=_said(reviews, "needs review", "need review")
        )
    worked_on = sum(count for item_state, count in by_state.items() if item_state is not _S.SKIPPED)
    if not worked_on and fail_if_empty:
        return Verdict(state=state, exit_code=ExitCode.NOTHING_TO_DO, reason="there was nothing to do")
    return Verdict(state=state, exit_code=ExitCode.OK, reason="all items are collected or skipped")


def _said(count: int, of_one: str, of_more: str) -> str:
    return f"1 item {of_one}" if count == 1 else f"{count} items {of_more}"
