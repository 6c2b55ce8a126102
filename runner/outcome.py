"""How a run ends: exit codes and the outcome of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

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
