"""Findings at cells: those of one batch, and the totals of all batches so far."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.batch import Batch, Part
from sandbox.engine.schema import Field
from sandbox.engine.types import Invalid
from sandbox.engine.validators import Checks
from sandbox.engine.validators.rule import ERROR_LEVEL

ERRORS_MAX_COUNT = 10_000
_AFTER_RULES = 1_000_000
_REMARKS_MAX_COUNT = 1_000

ErrorObject = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One message at one cell. Sorts by row, field, and part; then type errors before validators before hooks."""

    row: int
    field_at: int
    part_at: int
    rule_at: int
    message: str = field(compare=False)
    level: str = field(compare=False, default=ERROR_LEVEL)


@dataclass(frozen=True, slots=True)
class BatchFindings:
    """The findings of a batch in order: `errors` make a row invalid, `remarks` do not."""

    errors: list[Finding]
    remarks: list[Finding]


@dataclass
class FindingTotals:
    """The findings of the data so far; the lists end at a limit, the counts do not."""

    row_count: int = 0
    error_count: int = 0
    invalid_row_count: int = 0
    errors: list[ErrorObject] = field(default_factory=list)
    rows_with_error: list[int] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)

    def add(self, found: BatchFindings, batch: Batch, fields: Sequence[Field]) -> None:
        """Add a batch's findings; its rows follow those of the earlier batches."""
        errors, indexes = found.errors, batch.indexes
        invalid = sorted({each.row for each in errors})
        self.error_count += len(errors)
        self.invalid_row_count += len(invalid)
        room = ERRORS_MAX_COUNT - len(self.rows_with_error)
        self.rows_with_error += [indexes[row] for row in invalid[:room]]
        room = ERRORS_MAX_COUNT - len(self.errors)
        self.errors += [_error(each, batch, fields[each.field_at]) for each in errors[:room]]
        self.row_count += batch.size
        for each in found.remarks:
            remark = f"{fields[each.field_at].title}: {each.message}"
            if remark in self.remarks or len(self.remarks) < _REMARKS_MAX_COUNT:
                self.remarks[remark] += 1


def _error(found: Finding, batch: Batch, of_field: Field) -> ErrorObject:
    made = {
        "type": "VALIDATION",
        "rowIndex": batch.indexes[found.row],
        "fieldKey": of_field.key,
        "message": found.message,
        "value": batch.parts(of_field.key)[found.part_at].display(found.row),
    }
    return made | {"manyToOneIndex": found.part_at} if of_field.many_to_one else made


def check_cells(batch: Batch, fields: Sequence[Field], checks: Checks) -> BatchFindings:
    """Check the cells of a batch and return all findings."""
    errors: list[Finding] = []
    remarks: list[Finding] = []
    for field_at, each in enumerate(fields):
        for part_at, part in enumerate(batch.parts(each.key)):
            if part.has_invalid:
                errors += [
                    Finding(row, field_at, part_at, 0, value.message)
                    for row, value in enumerate(part.values)
                    if type(value) is Invalid
                ]
            for rule_at, rule in enumerate(checks.rules[each.key], start=1):
                rows = rule.broken(part, batch)
                kept = errors if rule.is_error else remarks
                kept += [Finding(row, field_at, part_at, rule_at, rule.message, rule.level) for row in rows]
            for found in _of_hooks(part, field_at=field_at, part_at=part_at):
                (errors if found.level == ERROR_LEVEL else remarks).append(found)
    errors.sort()
    return BatchFindings(errors, remarks)


def _of_hooks(part: Part, *, field_at: int, part_at: int) -> Iterator[Finding]:
    for row, messages in part.messages.items():
        for at, each in enumerate(messages):
            yield Finding(row, field_at, part_at, _AFTER_RULES + at, each.message, each.level)
