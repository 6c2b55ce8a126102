"""The summary of a check: files and rows by prediction, and groups of like problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.check.predictions import FileCheck, Prediction
from runner.local.outcome import ExitCode
from runner.problems import ProblemGroup, ProblemGroups

if TYPE_CHECKING:
    from runner.config.units import Rate

SENT = (Prediction.SUCCEED, Prediction.REVIEW, Prediction.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """What a check found; rows are counted in files that could be read.

    `removed_row_count` invalid rows would be left out of imports that succeed, in `losing_file_count` files;
    `emptied_file_count` files would succeed without a single row. In `lost_data_file_count` files, rows or cells would
    be lost or shifted although they do not fail. `unjudged_count` failures are failures of the check
    itself. `too_young` files were too recent to list. `finish_in_s` is the time that the create quota makes a run take,
    in seconds.
    """

    by_prediction: dict[Prediction, int]
    row_count: int
    rows_by_prediction: dict[Prediction, int]
    removed_row_count: int
    losing_file_count: int
    emptied_file_count: int
    unjudged_count: int
    size_bytes: int
    too_young: int
    finish_in_s: float
    problem_groups: tuple[ProblemGroup, ...]
    interrupted: bool = False
    lost_data_file_count: int = 0

    @property
    def file_count(self) -> int:
        return sum(self.by_prediction.values())

    @property
    def create_count(self) -> int:
        """The number of files that a run would send."""
        return sum(self.by_prediction.get(prediction, 0) for prediction in SENT)

    def exit_code(self, *, fail_if_empty: bool = False) -> ExitCode:
        """Return the exit code of a run with these outcomes."""
        counts = self.by_prediction
        if counts.get(Prediction.FAIL) or counts.get(Prediction.REJECT):
            return ExitCode.ITEMS_FAILED
        if counts.get(Prediction.REVIEW):
            return ExitCode.NEEDS_REVIEW
        if fail_if_empty and not counts.get(Prediction.SUCCEED):
            return ExitCode.NOTHING_TO_DO
        return ExitCode.OK


class CheckTotals:
    """Adds up the checks of files."""

    def __init__(self) -> None:
        self.by_prediction: Counter[Prediction] = Counter()
        self.row_count = 0
        self.removed_row_count = 0
        self._rows: Counter[Prediction] = Counter()
        self._losing = 0
        self._emptied = 0
        self._lost_data = 0
        self._unjudged = 0
        self._size_bytes = 0
        self._problem_groups = ProblemGroups()

    @property
    def file_count(self) -> int:
        return sum(self.by_prediction.values())

    def take(self, check: FileCheck) -> None:
        """Add the check of one file."""
        self.by_prediction[check.prediction] += 1
        self.row_count += check.row_count
        self.removed_row_count += check.removed_row_count
        self._rows[check.prediction] += check.row_count
        self._losing += check.removed_row_count > 0
        self._emptied += check.loses_all_rows
        self._lost_data += check.lost_data is not None
        self._unjudged += not check.is_judged
        self._size_bytes += check.size_bytes
        self._problem_groups.take(check)

    def summary(self, *, quota: Rate, too_young: int = 0, interrupted: bool = False) -> CheckSummary:
        """Return what has been found so far; `quota` is the create quota."""
        creates = sum(self.by_prediction[prediction] for prediction in SENT)
        return CheckSummary(
            by_prediction={one: self.by_prediction[one] for one in Prediction if self.by_prediction[one]},
            row_count=self.row_count,
            rows_by_prediction={one: self._rows[one] for one in Prediction if self._rows[one]},
            removed_row_count=self.removed_row_count,
            losing_file_count=self._losing,
            emptied_file_count=self._emptied,
            unjudged_count=self._unjudged,
            size_bytes=self._size_bytes,
            too_young=too_young,
            finish_in_s=quota.last_in_s(creates, free=quota.count),
            problem_groups=tuple(self._problem_groups.sorted()),
            interrupted=interrupted,
            lost_data_file_count=self._lost_data,
        )
