"""What the check predicts for one file, and why: the data that a worker sends back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.problems import Effect, Problem

UNJUDGED_CODES = frozenset(
    {
        "check_timeout",
        "check_killed",
        "check_memory",
        "check_error",
        "check_library",
        "check_network",
        "schema_unusable",
    }
)
"""Failures of the check itself; they do not predict what the vendor would do."""


class Prediction(StrEnum):
    """How a file's import would end; `skip` means that the file is unchanged since it was sent."""

    SUCCEED = "succeed"
    REVIEW = "review"
    FAIL = "fail"
    REJECT = "reject"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """The check of one file.

    `code` and `message` say why it would fail, need review, or be rejected; `tag` as in `Item.tag`.
    `encoding` is that of a text file, as it was read.
    """

    source: str
    prediction: Prediction
    route: str = ""
    schema_id: str | None = None
    code: str | None = None
    message: str | None = None
    size_bytes: int = 0
    row_count: int = 0
    invalid_row_count: int = 0
    removed_row_count: int = 0
    problems: tuple[Problem, ...] = ()
    tag: str | None = None
    encoding: str | None = None

    @property
    def is_judged(self) -> bool:
        """Whether the check could predict the outcome; otherwise the file may succeed."""
        return self.code not in UNJUDGED_CODES

    @property
    def lost_data(self) -> Problem | None:
        """The first problem that loses or shifts rows or cells of a file that would not fail."""
        return next((one for one in self.problems if one.effect is Effect.DATA_LOST), None)

    @property
    def loses_all_rows(self) -> bool:
        return 0 < self.row_count == self.removed_row_count
