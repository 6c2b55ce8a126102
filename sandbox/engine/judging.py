"""Which cells of a batch are wrong, and what the rows become: the result's objects."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.batch import Batch, Part
from sandbox.engine.schema import Field
from sandbox.engine.sinks import ResultRow
from sandbox.engine.types import Invalid
from sandbox.engine.validators import Checks
from sandbox.engine.validators.rule import ERROR_LEVEL

ERRORS_MAX_COUNT = 10_000
_COSTLY_MEMO_MAX = 10_000
_AFTER_RULES = 1_000_000
_REMARKS_MAX_COUNT = 1_000

ErrorObject = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One message at one cell; sorts by row, field, part, then type before validators before hooks."""

    row: int
    field_at: int
    part_at: int
    rule_at: int
    message: str = field(compare=False)
    level: str = field(compare=False, default=ERROR_LEVEL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a batch, in order: what makes a row invalid, and what is only said."""

    errors: list[Finding]
    remarks: list[Finding]


@dataclass
class Findings:
    """All that was found in the data so far; the lists end at a limit, the counts do not."""

    row_count: int = 0
    error_count: int = 0
    invalid_row_count: int = 0
    errors: list[ErrorObject] = field(default_factory=list)
    rows_with_error: list[int] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)

    def add(self, found: Verdict, batch: Batch, fields: Sequence[Field]) -> None:
        """Take a batch's findings; its rows follow those of the batches before."""
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


def judge(batch: Batch, fields: Sequence[Field], checks: Checks) -> Verdict:
    """Everything that is to be said of a batch's cells."""
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
    return Verdict(errors, remarks)


def _of_hooks(part: Part, *, field_at: int, part_at: int) -> Iterator[Finding]:
    for row, messages in part.messages.items():
        for at, each in enumerate(messages):
            yield Finding(row, field_at, part_at, _AFTER_RULES + at, each.message, each.level)


class RowMaker:
    """Makes result rows of batches; `keeps_text` puts the text of an invalid cell into its row instead of null."""

    def __init__(self, fields: Sequence[Field], *, keeps_text: bool) -> None:
        self._fields = fields
        self._keys = [each.key for each in fields]
        self._keeps_text = keeps_text
        self._memos: dict[str, dict[Any, Any]] = {each.key: {} for each in fields}

    def rows(self, batch: Batch, found: Sequence[Finding]) -> list[ResultRow]:
        bad: dict[tuple[int, int], set[int]] = {}
        for each in found:
            bad.setdefault((each.field_at, each.part_at), set()).add(each.row)
        columns = [self._column(at, each, batch, bad) for at, each in enumerate(self._fields)]
        if not columns:
            return [{} for _ in range(batch.size)]
        keys = self._keys
        return [dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True)]

    def _column(self, at: int, of_field: Field, batch: Batch, bad: dict[tuple[int, int], set[int]]) -> Sequence[Any]:
        parts = [
            self._cells(part, bad.get((at, part_at), set()), self._memos[of_field.key])
            for part_at, part in enumerate(batch.parts(of_field.key))
        ]
        if not of_field.many_to_one:
            return parts[0]
        if of_field.type == "multi-select":
            return [_flat(cells) for cells in zip(*parts, strict=True)]
        return [list(cells) for cells in zip(*parts, strict=True)]

    def _cells(self, part: Part, bad: set[int], memo: dict[Any, Any]) -> Sequence[Any]:
        if part.kind.to_output is None and not bad:
            return part.values
        cells = list(part.values) if part.kind.to_output is None else _converted(part, memo)
        for row in bad:
            cells[row] = part.texts[row] if self._keeps_text else None
        return cells


def _converted(part: Part, memo: dict[Any, Any]) -> list[Any]:
    convert = part.kind.output
    if not part.kind.output_is_costly:
        return [None if type(value) is Invalid else convert(value) for value in part.values]
    if len(memo) > _COSTLY_MEMO_MAX:
        memo.clear()
    for value in part.values:
        if value not in memo:
            memo[value] = None if type(value) is Invalid else convert(value)
    return [memo[value] for value in part.values]


def _flat(cells: Sequence[Any]) -> list[Any]:
    items = [item for cell in cells for item in (cell if isinstance(cell, list) else [cell]) if item is not None]
    return [item for at, item in enumerate(items) if item not in items[:at]]
