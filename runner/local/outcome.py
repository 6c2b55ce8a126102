"""How a run ends: exit codes, the exit code of each error, and the result of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from runner import errors
from runner.aws.s3 import S3Place, is_s3
from runner.formatting import counted, shown, storable
from runner.manifest import REPORT_HTML
from runner.manifest.row_summary import RowSummary
from runner.masking import FORMS, Mask, cut
from runner.models import NONE_DEFERRED, OPEN_STATES, Batch, BatchState, Deferrals, ItemState
from runner.reviews import NO_EARLIER_REVIEWS, EarlierReviews
from runner.row_counts import NO_ROWS, RowTotals
from runner.sources.spec import local_path
from runner.stages.earlier import NOTHING_HELD_BACK, HeldBack
from runner.stop import StopReason, StopSignal


class ExitCode(IntEnum):
    """The command's exit status; `summary.json` has the same numbers."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    SOURCE_NOT_FOUND = 3
    ITEMS_FAILED = 4
    TRY_AGAIN = 5
    NEEDS_REVIEW = 6
    FATAL = 7
    TOO_MANY_FAILURES = 8
    NOTHING_TO_DO = 9
    OUT_OF_TIME = 10
    LEDGER_LOCKED = 11
    DIFFERS = 12
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES: dict[type[BaseException], ExitCode] = {
    errors.BulkheadError: ExitCode.UNEXPECTED,
    errors.TransientError: ExitCode.TRY_AGAIN,
    errors.NotSent: ExitCode.TRY_AGAIN,
    errors.OutcomeUnknown: ExitCode.TRY_AGAIN,
    errors.Unavailable: ExitCode.TRY_AGAIN,
    errors.FileUnavailable: ExitCode.TRY_AGAIN,
    errors.ListUnusable: ExitCode.TRY_AGAIN,
    errors.RateLimited: ExitCode.TRY_AGAIN,
    errors.UrlExpired: ExitCode.TRY_AGAIN,
    errors.Stopped: ExitCode.TRY_AGAIN,
    errors.VendorAway: ExitCode.TRY_AGAIN,
    errors.StorageFull: ExitCode.TRY_AGAIN,
    errors.SinkFailed: ExitCode.TRY_AGAIN,
    errors.LedgerUnavailable: ExitCode.TRY_AGAIN,
    errors.DuplicatePending: ExitCode.TRY_AGAIN,
    errors.NotYet: ExitCode.TRY_AGAIN,
    errors.TerminalError: ExitCode.FATAL,
    errors.AuthRefused: ExitCode.FATAL,
    errors.ConnectionBarred: ExitCode.FATAL,
    errors.SchemaNotFound: ExitCode.FATAL,
    errors.ImportNotFound: ExitCode.FATAL,
    errors.RequestInvalid: ExitCode.FATAL,
    errors.UploadRefused: ExitCode.FATAL,
    errors.ConditionUnsupported: ExitCode.FATAL,
    errors.ResultInvalid: ExitCode.FATAL,
    errors.PackUnaccounted: ExitCode.FATAL,
    errors.ResultTooLarge: ExitCode.FATAL,
    errors.ItemRejected: ExitCode.ITEMS_FAILED,
    errors.SourceChanged: ExitCode.ITEMS_FAILED,
    errors.AwsRefused: ExitCode.FATAL,
    errors.SourceNotFound: ExitCode.SOURCE_NOT_FOUND,
    errors.ForeignImports: ExitCode.FATAL,
    errors.MessageInvalid: ExitCode.FATAL,
    errors.ConfigError: ExitCode.USAGE,
    errors.HooksRefused: ExitCode.USAGE,
    errors.LedgerError: ExitCode.FATAL,
    errors.LedgerLocked: ExitCode.LEDGER_LOCKED,
    errors.BatchTaken: ExitCode.LEDGER_LOCKED,
    errors.SourceLocked: ExitCode.LEDGER_LOCKED,
    errors.LedgerReplaced: ExitCode.FATAL,
    errors.LedgerCorrupt: ExitCode.FATAL,
    errors.LedgerTooNew: ExitCode.FATAL,
    errors.LedgerMismatch: ExitCode.FATAL,
    errors.StaleItem: ExitCode.UNEXPECTED,
    errors.ImportIdTaken: ExitCode.UNEXPECTED,
    errors.TagInUse: ExitCode.UNEXPECTED,
    errors.IllegalTransition: ExitCode.UNEXPECTED,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code of the error's closest class in the table, or UNEXPECTED if it has none."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), ExitCode.UNEXPECTED)


_WORST_FIRST = (
    ExitCode.FATAL,
    ExitCode.TRY_AGAIN,
    ExitCode.ITEMS_FAILED,
    ExitCode.NEEDS_REVIEW,
    ExitCode.NOTHING_TO_DO,
    ExitCode.OK,
)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the exit code for several batches: that of a run that was stopped, or else the worst."""
    given = set(codes)
    return next(iter(given - set(_WORST_FIRST)), next((code for code in _WORST_FIRST if code in given), ExitCode.OK))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """A batch at the end of a command: `reason` is a sentence, `out` the folder or URL of results and manifest.

    `kept_ledger` is the path of a copy of the ledger if its file was deleted or replaced during the run.
    `held_back`: the items that were skipped because of held items of earlier batches. `earlier_reviews`: what is still
    under review in earlier batches. `deferred`: the items that the run left to a later one. `missing_schemas`: a
    sentence on each schema that the vendor does not have; resuming does not help. `outage`: since when the vendor has
    not answered; None if it answers.
    """

    batch: Batch
    by_state: dict[ItemState, int]
    exit_code: ExitCode
    reason: str
    out: str
    kept_ledger: str | None = None
    held_back: HeldBack = NOTHING_HELD_BACK
    earlier_reviews: EarlierReviews = NO_EARLIER_REVIEWS
    dismissed_count: int = 0
    deferred: Deferrals = NONE_DEFERRED
    missing_schemas: tuple[str, ...] = ()
    outage: str | None = None
    rows: RowSummary = field(default=RowSummary(), repr=False)

    @property
    def state(self) -> BatchState:
        return self.batch.state

    @property
    def items(self) -> int:
        return sum(self.by_state.values())


_S = ItemState

_OF_STOP = {
    StopReason.INTERRUPTED: (BatchState.INTERRUPTED, ExitCode.INTERRUPTED),
    StopReason.TERMINATED: (BatchState.INTERRUPTED, ExitCode.TERMINATED),
    StopReason.OUT_OF_TIME: (BatchState.PAUSED, ExitCode.OUT_OF_TIME),
    StopReason.TOO_MANY_FAILURES: (BatchState.PAUSED, ExitCode.TOO_MANY_FAILURES),
    StopReason.TOO_MANY_ROWS_LOST: (BatchState.PAUSED, ExitCode.TOO_MANY_FAILURES),
    StopReason.AUTH_REFUSED: (BatchState.PAUSED, ExitCode.FATAL),
    StopReason.TROUBLE: (BatchState.PAUSED, ExitCode.TRY_AGAIN),
    StopReason.VENDOR_UNREACHABLE: (BatchState.PAUSED, ExitCode.TRY_AGAIN),
    StopReason.LEDGER_REPLACED: (BatchState.PAUSED, ExitCode.FATAL),
    StopReason.FOREIGN_IMPORTS: (BatchState.PAUSED, ExitCode.FATAL),
}


def exit_code_of_stop(reason: StopReason) -> ExitCode:
    """Return the code of a command that was stopped before all was done."""
    return _OF_STOP[reason][1]


_NEEDING_A_PERSON = frozenset({StopReason.LEDGER_REPLACED, StopReason.FOREIGN_IMPORTS})
"""Reasons that a person must know about even if every item has ended."""

_UNFINISHED = {code for _, code in _OF_STOP.values()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The state that a run leaves a batch in, the exit code, and a sentence that says why."""

    state: BatchState
    exit_code: ExitCode
    reason: str
    held_back: HeldBack = NOTHING_HELD_BACK
    earlier_reviews: EarlierReviews = NO_EARLIER_REVIEWS
    dismissed_count: int = 0
    deferred: Deferrals = NONE_DEFERRED
    outage: str | None = None


def batch_result(
    by_state: Mapping[ItemState, int],
    *,
    stop: StopSignal,
    held_schemas: Collection[str],
    listed: bool,
    unlisted: str = "",
    fail_if_empty: bool = False,
    outage: str | None = None,
    tracking: bool = False,
    held_back: HeldBack = NOTHING_HELD_BACK,
    earlier_reviews: EarlierReviews = NO_EARLIER_REVIEWS,
    dismissed_count: int = 0,
    deferred: Deferrals = NONE_DEFERRED,
    rows: RowTotals = NO_ROWS,
    fail_on_lost_rows: bool = False,
) -> BatchResult:
    """Return the result of a batch from its items, from whether its source is fully `listed`, and from `stop`.

    `dismissed_count` of the failed items are dismissed, and count as settled. `held_schemas`: a sentence on each schema
    whose items wait for a person. `unlisted`: why the source is not. `outage` says since when the vendor has not
    answered. With `tracking`, the run was there for open reviews, so a stop left work undone if one is open.
    `held_back`: the items that were skipped because of held items of earlier batches. `earlier_reviews`: what is still
    under review in earlier batches of the source. `deferred`: the items that the run left to a later one; while
    tracking, they can be reviews. `rows`: those of the results that are saved; with `fail_on_lost_rows`, rows left out
    of them count as failures.
    """
    open_count = sum(by_state.get(state, 0) for state in OPEN_STATES)
    settled = _settled(
        by_state,
        fail_if_empty=fail_if_empty,
        held_back=held_back,
        earlier_reviews=earlier_reviews,
        dismissed_count=dismissed_count,
    )
    settled = _with_rows(settled, rows, fail_on_lost_rows=fail_on_lost_rows)
    result = (
        _stopped(settled, stop, is_unfinished=bool(open_count) or not listed)
        or _unfinished(open_count, held_schemas, deferred)
        or (None if listed else _unlisted(unlisted))
        or settled
    )
    if tracking and stop.reason is None and deferred.count and result.exit_code is not ExitCode.TRY_AGAIN:
        reason = f"{_did_not_finish(deferred.count, deferred)}; {result.reason}"
        result = replace(result, exit_code=ExitCode.TRY_AGAIN, reason=reason)
    result = replace(
        result, deferred=deferred, earlier_reviews=earlier_reviews, dismissed_count=dismissed_count, outage=outage
    )
    is_waiting = result.exit_code is ExitCode.NEEDS_REVIEW and by_state.get(_S.NEEDS_REVIEW)
    if tracking and stop.reason is not None and is_waiting:
        reason = stop.detail or str(stop.reason)
        result = replace(result, exit_code=_OF_STOP[stop.reason][1], reason=f"{reason}; {result.reason}")
    if outage is None or result.exit_code not in _UNFINISHED or outage in result.reason:
        return result
    return replace(result, reason=f"{result.reason}; {outage}")


def _with_rows(settled: BatchResult, rows: RowTotals, *, fail_on_lost_rows: bool) -> BatchResult:
    """Return the result of a batch that has settled, with what is left out of its results."""
    if not rows.rows_left_out:
        return settled
    is_failure = fail_on_lost_rows and settled.exit_code in (ExitCode.OK, ExitCode.NEEDS_REVIEW)
    code = ExitCode.ITEMS_FAILED if is_failure else settled.exit_code
    return replace(settled, exit_code=code, reason=f"{settled.reason}; {left_out(rows)}")


def left_out(rows: RowTotals) -> str:
    """Return how many rows are left out of how many files, in a phrase."""
    return f"{counted(rows.rows_left_out, 'row')} left out in {counted(rows.lossy_count, 'file')}"


def items_phrase(counts: Iterable[tuple[ItemState, int]]) -> str:
    """Return how many items there are, and how many in each state, in the given order."""
    counts = list(counts)
    states = ", ".join(f"{count:,} {_state_phrase(state, count)}" for state, count in counts)
    return f"{counted(sum(count for _, count in counts), 'item')}: {states}" if states else "no items"


def end_in_words(
    batch_id: str,
    verb: str,
    code: ExitCode,
    by_state: Mapping[ItemState, int],
    *,
    source_uri: str | None,
    out: str | None,
    reason: str,
    earlier_reviews: int = 0,
    mask: Mask = FORMS,
) -> list[str]:
    """Return the lines of a notification about an end: batch, items, reason, and report, without what is unknown.

    `earlier_reviews` are open in earlier batches.
    """
    source = f" of {_source(source_uri)}" if source_uri else ""
    lines = [
        f"Batch {batch_id}{source} {verb} with exit code {int(code)}.",
        f"{items_phrase((state, by_state[state]) for state in _COLLECTED_FIRST if by_state.get(state))}.",
        f"{counted(earlier_reviews, 'open review')} of earlier batches." if earlier_reviews else "",
        "" if code is ExitCode.OK else mask.short(shown(reason)),
        f"Report: {cut(shown(out.rstrip('/')), _NAME_CHARS)}/{REPORT_HTML}" if out else "",
    ]
    return list(filter(None, lines))


_COLLECTED_FIRST = sorted(ItemState, key=lambda state: state is not ItemState.COLLECTED)
_NAME_CHARS = 200


def _source(uri: str) -> str:
    return cut(shown(str(S3Place.of_uri(uri)) if is_s3(uri) else local_path(uri)), _NAME_CHARS)


def _state_phrase(state: ItemState, count: int) -> str:
    if state is ItemState.NEEDS_REVIEW:
        return "waits for review" if count == 1 else "wait for review"
    return str(state)


def _stopped(settled: BatchResult, stop: StopSignal, *, is_unfinished: bool) -> BatchResult | None:
    """Return the result of a run that was stopped, None if it was not, or if the stop came when all was done.

    `settled` is the result if nothing is left to do.
    """
    if stop.reason is not None and is_unfinished:
        state, code = _OF_STOP[stop.reason]
        return BatchResult(state=state, exit_code=code, reason=_reason_of(stop))
    if stop.reason in _NEEDING_A_PERSON:
        return replace(settled, exit_code=ExitCode.FATAL, reason=_reason_of(stop))
    return None


def _unfinished(open_count: int, held_schemas: Collection[str], deferred: Deferrals) -> BatchResult | None:
    """Return the result of a run that left open items, None if it left none."""
    if not open_count:
        return None
    if held_schemas:
        return BatchResult(state=BatchState.PAUSED, exit_code=ExitCode.FATAL, reason="; ".join(sorted(held_schemas)))
    reason = f"{_did_not_finish(open_count, deferred)}; run again to continue with them"
    return BatchResult(state=BatchState.PAUSED, exit_code=ExitCode.TRY_AGAIN, reason=reason)


def _unlisted(why: str) -> BatchResult:
    reason = f"the source is not fully listed{f': {why}' if why else ''}; run again to continue"
    return BatchResult(state=BatchState.PAUSED, exit_code=ExitCode.TRY_AGAIN, reason=reason)


def _did_not_finish(count: int, deferred: Deferrals) -> str:
    """Return a sentence about `count` items, of which it names one that was deferred."""
    sentence = f"{counted(count, 'item')} did not finish"
    if not deferred.first:
        return sentence
    named = deferred.first[0]
    return f"{sentence}: {storable(named.source)}: {named.reason}" + (f" (and {count - 1} more)" if count > 1 else "")


def without_manifest(result: BatchResult, batch: Batch, error: errors.BulkheadError) -> BatchResult:
    """Return the result of a run that could not write its manifest; what else a person has to know comes first."""
    if result.exit_code not in (ExitCode.OK, ExitCode.NEEDS_REVIEW, ExitCode.NOTHING_TO_DO):
        return result
    again = f"`bulkhead track {batch.batch_id}` writes the manifest again"
    reason = f"{result.reason}, but {error}; {again}"
    return BatchResult(state=result.state, exit_code=ExitCode.TRY_AGAIN, reason=reason, deferred=result.deferred)


def _reason_of(stop: StopSignal) -> str:
    why = stop.detail or str(stop.reason)
    return f"{why}; {stop.hint}" if stop.hint else why


def _settled(
    by_state: Mapping[ItemState, int],
    *,
    fail_if_empty: bool,
    held_back: HeldBack,
    earlier_reviews: EarlierReviews,
    dismissed_count: int,
) -> BatchResult:
    reviews = by_state.get(_S.NEEDS_REVIEW, 0)
    failed = sum(by_state.get(state, 0) for state in (_S.FAILED, _S.REJECTED, _S.UNCERTAIN)) - dismissed_count
    state = BatchState.SETTLED if reviews else BatchState.COMPLETE
    worked_on = sum(count for item_state, count in by_state.items() if item_state is not _S.SKIPPED)
    if failed or held_back.unresolved:
        code = ExitCode.ITEMS_FAILED
        reasons = [
            _said(failed, "failed or was rejected", "failed or were rejected"),
            _said(held_back.unresolved, f"was skipped: {_UNRESOLVED}", f"were skipped: {_UNRESOLVED}"),
        ]
    elif reviews or earlier_reviews.count:
        code = ExitCode.NEEDS_REVIEW
        reasons = [_said(reviews, "needs review", "need review"), _under_review(earlier_reviews)]
    elif not worked_on and fail_if_empty:
        code, reasons = ExitCode.NOTHING_TO_DO, ["there was nothing to do"]
    else:
        code = ExitCode.OK
        reasons = [f"all items are {'collected, skipped, or dismissed' if dismissed_count else 'collected or skipped'}"]
    return BatchResult(
        state=state,
        exit_code=code,
        reason="; ".join(filter(None, reasons)),
        held_back=held_back,
        earlier_reviews=earlier_reviews,
        dismissed_count=dismissed_count,
    )


_UNRESOLVED = "what became of this content in an earlier batch is unknown"


def _under_review(earlier: EarlierReviews) -> str:
    """Return a sentence about the reviews in earlier batches, of which it names the oldest; "" if there are none."""
    if not earlier.count:
        return ""
    oldest = earlier.first[0]
    named = f"{storable(oldest.source)} in batch {oldest.batch_id}"
    if earlier.count == 1:
        return f"1 review of an earlier batch is open: {named}"
    return f"{earlier.count} reviews of earlier batches are open: {named}, and {earlier.count - 1} more"


def _said(count: int, of_one: str, of_more: str) -> str:
    """Return a sentence about items; "" if there are none."""
    if not count:
        return ""
    return f"1 item {of_one}" if count == 1 else f"{count} items {of_more}"
