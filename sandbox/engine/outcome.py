"""The outcome of an import."""

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["SUCCESSFUL", "NEEDS_REVIEW", "FAILED"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of an import.

    `rows` are the result's objects by field key: the result if SUCCESSFUL, what it becomes after the review if
    NEEDS_REVIEW, None if FAILED. They are also None if they were written out as a JSON array (`is_written`). `errors`
    are objects with a `type` and a `message`; a validation error also has `rowIndex` (0-based), `fieldKey`, `value`,
    and, in a manyToOne field, `manyToOneIndex`.
    """

    status: Status
    rows: list[dict[str, Any]] | None
    errors: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    is_written: bool = False


def failed(error_type: str, message: str) -> Outcome:
    """Return a FAILED outcome with one structural error."""
    return Outcome(status="FAILED", rows=None, errors=[{"type": error_type, "message": message}])
