"""How a run ends: exit codes, the one that belongs to each error, and the outcome of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from runner import errors
from runner.models import Batch, BatchState, ItemState


class ExitCode(IntEnum):
    """The command's exit status; the same numbers stand in `summary.json`."""

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
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES: dict[type[BaseException], ExitCode] = {
    errors.BulkheadError: ExitCode.UNEXPECTED,
    errors.TransientError: ExitCode.TRY_AGAIN,
    errors.NotSent: ExitCode.TRY_AGAIN,
    errors.InDoubt: ExitCode.TRY_AGAIN,
    errors.Unavailable: ExitCode.TRY_AGAIN,
    errors.RateLimited: ExitCode.TRY_AGAIN,
    errors.UrlExpired: ExitCode.TRY_AGAIN,
    errors.StorageFull: ExitCode.TRY_AGAIN,
    errors.LedgerUnavailable: ExitCode.TRY_AGAIN,
    errors.TwinAtWork: ExitCode.TRY_AGAIN,
    errors.TerminalError: ExitCode.FATAL,
    errors.AuthRefused: ExitCode.FATAL,
    errors.SchemaNotFound: ExitCode.FATAL,
    errors.ImportNotFound: ExitCode.FATAL,
    errors.RequestInvalid: ExitCode.FATAL,
    errors.UploadRefused: ExitCode.FATAL,
    errors.ConditionUnsupported: ExitCode.FATAL,
    errors.ResultInvalid: ExitCode.FATAL,
    errors.ItemRejected: ExitCode.ITEMS_FAILED,
    errors.SourceChanged: ExitCode.ITEMS_FAILED,
    errors.AwsRefused: ExitCode.FATAL,
    errors.SourceNotFound: ExitCode.SOURCE_NOT_FOUND,
    errors.MessageInvalid: ExitCode.FATAL,
    errors.ConfigError: ExitCode.USAGE,
    errors.LedgerError: ExitCode.FATAL,
    errors.LedgerLocked: ExitCode.LEDGER_LOCKED,
    errors.BatchTaken: ExitCode.LEDGER_LOCKED,
    errors.LedgerCorrupt: ExitCode.FATAL,
    errors.LedgerTooNew: ExitCode.FATAL,
    errors.LedgerMismatch: ExitCode.FATAL,
    errors.StaleItem: ExitCode.UNEXPECTED,
    errors.ImportIdTaken: ExitCode.UNEXPECTED,
    errors.TagHeld: ExitCode.UNEXPECTED,
    errors.IllegalTransition: ExitCode.UNEXPECTED,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code of the nearest class of the error that the table names; what is not ours is unexpected."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), ExitCode.UNEXPECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """Where a batch stands when a command leaves it: `reason` is a sentence, `out` the place of the manifest."""

    batch: Batch
    by_state: dict[ItemState, int]
    exit_code: ExitCode
    reason: str
    out: str

    @property
    def state(self) -> BatchState:
        return self.batch.state

    @property
    def items(self) -> int:
        return sum(self.by_state.values())
