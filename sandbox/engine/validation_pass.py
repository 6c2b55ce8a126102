"""The pass over all rows that validates them and makes the result's rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sandbox.engine.batch import Batch
from sandbox.engine.cell_errors import BatchFindings, FindingTotals, check_cells
from sandbox.engine.edited_rows import PageTable
from sandbox.engine.result_rows import ResultRow, RowMaker, Sink
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, Table, batch_of, unmapped_cells
from sandbox.engine.validators import Checks
from sandbox.engine.validators.uniqueness import Uniqueness

UNMAPPED_KEY = "$unmapped"

Watch = Callable[[Batch, list[Field], BatchFindings], None]


@dataclass(frozen=True, kw_only=True)
class ValidationPass:
    """The rows, the columns of their fields, and the checks; `spare` are the file's columns to pass through.

    `width` is that of the header. `behavior` is the schema's `invalidDataBehavior`.
    """

    rows: Table | PageTable
    mapped: Sequence[FieldColumns]
    checks: Checks
    spare: Sequence[int] | None
    width: int
    behavior: str

    def run(self, sink: Sink, *, watch: Watch | None = None) -> FindingTotals:
        """Validate every row, and add the rows to submit to `sink`; `watch` gets each batch."""
        findings = FindingTotals()
        fields = self._fields
        for batch, found, made in self._batches():
            findings.add(found, batch, fields)
            sink.add(made)
            if watch is not None:
                watch(batch, fields, found)
        return findings

    def submitted(self) -> Iterator[ResultRow]:
        """Yield the rows to submit."""
        for _, _, made in self._batches():
            yield from made

    @property
    def _fields(self) -> list[Field]:
        return [each.field for each in self.mapped]

    def _batches(self) -> Iterator[tuple[Batch, BatchFindings, list[ResultRow]]]:
        fields = self._fields
        maker = RowMaker(fields, keeps_text=self.behavior == "INCLUDE_INVALID_ROWS_AND_VALUES")
        for rows in self.rows.batches():
            rows.turn()
            batch = batch_of(self.mapped, rows)
            found = check_cells(batch, fields, self.checks)
            made = maker.rows(batch, found.errors)
            if self.spare is not None:
                for row, cells in zip(rows.raw, made, strict=True):
                    cells[UNMAPPED_KEY] = unmapped_cells(row, self.spare, self.width)
            if self.behavior == "REMOVE_INVALID_ROWS":
                made = _without_invalid(made, {each.row for each in found.errors})
            yield batch, found, made


def find_repeats(
    rows: Table | PageTable,
    mapped: Sequence[FieldColumns],
    rules: Sequence[Uniqueness],
    *,
    sieved: bool,
    done: Sequence[Uniqueness] = (),
) -> None:
    """Read the fields of `rules` until each rule knows which values repeat; those in `done` have sifted theirs."""
    if sieved:
        _search(rows, mapped, [rule for rule in rules if rule not in done], Uniqueness.sift)
    _search(rows, mapped, [rule for rule in rules if rule.may_repeat], Uniqueness.count)


def _search(
    rows: Table | PageTable,
    mapped: Sequence[FieldColumns],
    rules: Sequence[Uniqueness],
    look: Callable[[Uniqueness, Batch], None],
) -> None:
    """Read the columns of these rules once."""
    keys = {key for rule in rules for key in rule.field_keys}
    searched = [each for each in mapped if each.field.key in keys]
    for some in rows.batches() if rules else ():
        batch = batch_of(searched, some)
        for rule in rules:
            look(rule, batch)
    for rule in rules:
        rule.settle()


def _without_invalid(rows: list[ResultRow], invalid: set[int]) -> list[ResultRow]:
    return [row for at, row in enumerate(rows) if at not in invalid] if invalid else rows
