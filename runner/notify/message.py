"""Messages: what people are told about a run, in plain English; without the content of rows, keys, and review URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.config.notify_values import Occasion
from runner.formatting import shown
from runner.local.outage import UNREACHABLE_SINCE
from runner.local.outcome import ExitCode, end_in_words
from runner.masking import FORMS, Mask
from runner.models import OPEN_STATES, BatchState, ItemState

if TYPE_CHECKING:
    from runner.events import BatchFinished, BatchStarted, OutageBegan

Level = Literal["success", "info", "warning", "failure"]

_VERBS = {BatchState.PAUSED: "paused", BatchState.INTERRUPTED: "was interrupted"}
_STOPPED = (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.OUT_OF_TIME)
_NEEDING_A_FIX = (ExitCode.FATAL, ExitCode.TOO_MANY_FAILURES)
_UNSUCCESSFUL = (ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A text with a title, and the occasions it is about: people are told if they chose any of them."""

    title: str
    body: str
    level: Level
    occasions: frozenset[Occasion]


TEST = Message(
    title="Bulkhead: test",
    body="This is a test message: notifications of Bulkhead arrive here.",
    level="info",
    occasions=frozenset(),
)


def ended(
    event: BatchFinished,
    started: BatchStarted | None,
    *,
    earlier_reviews: int = 0,
    options: str | None = "",
    outage_told: bool,
    mask: Mask = FORMS,
) -> Message:
    """Return the message about the end of a run.

    `earlier_reviews` are open in earlier batches. `options` are repeated in the command to copy; None if no later
    command can continue. `outage_told`: the current outage was told of.
    """
    code = ExitCode(event.exit_code)
    verb = _verb(event, code)
    has_reviews = bool(event.by_state.get(ItemState.NEEDS_REVIEW) or earlier_reviews)
    next_step = _next_step(event, code, has_reviews=has_reviews)
    lines = end_in_words(
        event.batch_id,
        verb,
        code,
        {ItemState(state): count for state, count in event.by_state.items()},
        source_uri=started.source_uri if started else None,
        out=started.out if started else None,
        reason=event.reason,
        earlier_reviews=earlier_reviews,
        mask=mask,
    )
    lines += [f"Next: {next_step}{options}"] if next_step and options is not None else []
    return Message(
        title=f"Bulkhead: batch {verb} with exit code {int(code)}",
        body="\n".join(lines),
        level=_level(code),
        occasions=frozenset(_occasions(event, has_reviews=has_reviews, outage_told=outage_told)),
    )


def unreachable(event: OutageBegan, batch_id: str, *, mask: Mask = FORMS) -> Message:
    """Return the message about a vendor that does not answer a run that goes on."""
    since = f"{event.since.astimezone():%H:%M}"
    about = f"Batch {batch_id} waits" if batch_id else "The run waits"
    lines = [
        f"The vendor cannot be reached since {since}: {mask.short(shown(event.reason))}",
        f"{about}, and continues when the vendor answers.",
        "Next: bulkhead doctor",
    ]
    return Message(
        title=f"Bulkhead: the vendor cannot be reached since {since}",
        body="\n".join(lines),
        level="warning",
        occasions=frozenset({Occasion.UNREACHABLE}),
    )


def not_run(error: str, hint: str | None, code: int, *, mask: Mask = FORMS) -> Message:
    """Return the message about a command that ended with an error before it had a batch, or in the middle of one."""
    lines = [f"Bulkhead ended with exit code {code}: {mask.short(shown(error))}"]
    lines += [f"Next: {mask.short(shown(hint))}"] if hint else []
    return Message(
        title=f"Bulkhead: could not run, exit code {code}",
        body="\n".join(lines),
        level="failure",
        occasions=frozenset({Occasion.PAUSED}),
    )


def is_pause(event: BatchFinished) -> bool:
    """Return whether a run left work undone that it was there for."""
    return event.state not in (BatchState.COMPLETE, BatchState.SETTLED) or event.exit_code in _STOPPED


def _verb(event: BatchFinished, code: ExitCode) -> str:
    if event.state in _VERBS:
        return _VERBS[event.state]
    return "was interrupted" if code in _STOPPED else "finished"


def _occasions(event: BatchFinished, *, has_reviews: bool, outage_told: bool) -> set[Occasion]:
    found = {Occasion.PAUSED if is_pause(event) else Occasion.FINISHED}
    if has_reviews:
        found.add(Occasion.NEEDS_REVIEW)
    if UNREACHABLE_SINCE in event.reason and not outage_told:
        found.add(Occasion.UNREACHABLE)
    return found


def _next_step(event: BatchFinished, code: ExitCode, *, has_reviews: bool) -> str:
    if event.state in _VERBS or any(event.by_state.get(state) for state in OPEN_STATES):
        first = "fix the cause, then " if code in _NEEDING_A_FIX else ""
        return f"{first}bulkhead resume {event.batch_id}"
    if code in _STOPPED:
        return f"bulkhead track {event.batch_id}"
    if has_reviews:
        return "bulkhead reviews"
    is_unsuccessful = any(event.by_state.get(state) for state in _UNSUCCESSFUL)
    return f"bulkhead status {event.batch_id}" if is_unsuccessful or code is not ExitCode.OK else ""


def _level(code: ExitCode) -> Level:
    if code is ExitCode.OK:
        return "success"
    return "warning" if code in (*_STOPPED, ExitCode.NEEDS_REVIEW, ExitCode.NOTHING_TO_DO) else "failure"
