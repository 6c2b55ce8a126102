"""RunOptions: the limits and intervals of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.row_counts import RowTotals


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """Pause after `count` failed items, or after `percent` of those that ended, once `minimum_sample` have."""

    count: int | None = None
    percent: float | None = None
    minimum_sample: int = 20

    def is_reached(self, *, failed: int, ended: int) -> bool:
        if self.count is not None and failed >= self.count:
            return True
        return self.percent is not None and ended >= self.minimum_sample and failed * 100 >= self.percent * ended


@dataclass(frozen=True, slots=True)
class RowLossLimit:
    """Pause after `count` rows left out, or after `percent` of the rows read, once `minimum_sample` files are saved."""

    count: int | None = None
    percent: float | None = None
    minimum_sample: int = 20

    def is_reached(self, rows: RowTotals) -> bool:
        lost = rows.rows_left_out
        if not lost:
            return False
        if self.count is not None and lost >= self.count:
            return True
        is_share = self.percent is not None and rows.file_count >= self.minimum_sample
        return is_share and lost * 100 >= (self.percent or 0) * rows.rows_in


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Durations are seconds.

    - `quiet_period_s`: how long after a lost response to a JSON create the vendor may still make its import.
    - `settle_s`: how long an import must stay without data before an upload with unknown outcome is repeated, if
      storage does not support `If-None-Match`.
    - `stuck_after_s`: how long an item in trouble is tried again before it is left to a later run.
    - `permit_wait_s`: the longest wait for a permit, after which an item stays queued; None waits forever.
    - `upload_apart_bytes`: a larger file is not uploaded with its create, but later, by `Submitter.upload`.
    - `give_up_after_s`: how long the vendor may be unreachable before the run gives up, and eight times that once it
      has answered; 0 never gives up.
    - `again`: also send unchanged files, other than held ones; `retry_failed`: also send those that failed before.
    - `json_is_new`: send JSON of which a ledger that is lost may have made imports.
    - `result_bytes`: the largest result of a file.
    - `safety_list_s`: how often the vendor's imports are listed while they are tracked by ledger.
    - `shows_free_slots`: whether somebody looks at how many creates are left after each.
    - `foreign_upload_s`: the longest upload that another runner on the same ledger may be sending when a url expires.
    """

    uploads: int = 8
    collects: int = 4
    create_attempts: int = 8
    upload_attempts: int = 8
    collect_attempts: int = 8
    result_bytes: int = 10 * 1024**3
    request_timeout_s: float = 30.0
    quiet_period_s: float = 900.0
    settle_s: float = 120.0
    stuck_after_s: float = 900.0
    permit_wait_s: float | None = None
    upload_apart_bytes: int | None = None
    foreign_upload_s: float = 0.0
    shows_free_slots: bool = True
    filename_tag: bool = True
    again: bool = False
    retry_failed: bool = False
    json_is_new: bool = False
    max_duration_s: float | None = None
    give_up_after_s: float = 900.0
    failure_limit: FailureLimit = FailureLimit()
    row_loss_limit: RowLossLimit = RowLossLimit()
    list_first: bool = False
    """Wait for the whole listing before the first create, as an order other than by name needs."""
    watch_interval_s: float = 60.0
    track_by: Literal["list", "ledger"] | None = None
    """How open imports are tracked on a shared ledger; None: by list until another process moves an item."""
    safety_list_s: float = 300.0
