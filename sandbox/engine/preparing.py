"""From a file to rows that can be judged: its header, its columns, the hooks on the way, and a person's corrections."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.engine.corrections import Corrections
from sandbox.engine.errors import EmptyFileError
from sandbox.engine.header import find_header
from sandbox.engine.hooks import sees_rows
from sandbox.engine.judging import ErrorObject
from sandbox.engine.mapping import fields_metadata, header_mapping
from sandbox.engine.matching import Columns, match_columns
from sandbox.engine.paged import CellReader, PageSource, pages_of
from sandbox.engine.plan import Plan
from sandbox.engine.reading import Sheet, read_sheet
from sandbox.engine.reading.rows import sheet_of_json
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, RowSource, Survey, Table, survey
from sandbox.hooks import HookRunner, HookStage, Orders

_PREVIEW_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows to be judged: `source` has them, `mapped` says what reads them, `structural` is what asks for a person.

    `surveyed` is None where the rows are the table's own, which have yet to be read.
    """

    table: Table
    source: RowSource
    mapped: Sequence[FieldColumns]
    structural: list[ErrorObject]
    surveyed: Survey | None


def opened_sheet(source: bytes | Path | list[Any], plan: Plan) -> Sheet:
    """The data as rows of texts. Raises EngineError."""
    if isinstance(source, list):
        return sheet_of_json(source, keys=[field.key for field in plan.fields])
    settings = plan.settings
    sheet = read_sheet(source, delimiter=settings.delimiter, sheet=settings.sheet, max_bytes=settings.max_bytes)
    if next(sheet.batches(), None) is None:
        raise EmptyFileError("The file is empty.")
    return sheet


def prepare(
    sheet: Sheet,
    plan: Plan,
    *,
    runner: HookRunner | None,
    remembered: Mapping[str, str],
    corrections: Corrections,
    stack: ExitStack,
) -> Prepared:
    """Find the header, match the columns, run the hooks and correct the rows; `stack` closes what holds the rows.

    Where no header is found a person is asked first: of the hooks only those of UPLOAD_STEP have run then.
    Raises HookError and HookFailed.
    """
    if runner is not None and not sheet.keeps_blank:
        plan.take(_upload_step(runner, sheet, plan))
    table, no_header = _opened(sheet, plan, remembered, corrections)
    if no_header:
        runner = None
    orders = _review_step(runner, table)
    plan.take(orders)
    table = replace(table, fields=plan.fields, limit=plan.settings.max_rows)
    if (runner is None or not sees_rows(runner.hooks)) and not (corrections.cells or corrections.dropped):
        table = _of_fields(table, plan.fields)
        structural = no_header or _not_mapped(plan.fields, table.columns)
        mapped = table.field_columns()
        return Prepared(table=table, source=table, mapped=mapped, structural=structural, surveyed=None)
    staged = _Staged(table, plan, runner, stack)
    staged.run(orders, corrections)
    return staged.prepared(no_header)


class _Staged:
    """The table's rows, taken through the hooks and a person's corrections."""

    def __init__(self, table: Table, plan: Plan, runner: HookRunner | None, stack: ExitStack) -> None:
        mapped = table.field_columns()
        self._table = table
        self._plan = plan
        self._runner = runner
        self._surveyed = survey(table, mapped, settings=plan.settings, searches=())
        self._reader = CellReader(mapped)
        self._reader.know(plan.fields)
        self._stage = HookStage(
            runner, pages_of(table, mapped, keeps_rows=plan.settings.passes_unmapped), reader=self._reader
        )
        stack.callback(self._stage.close)

    def run(self, orders: Orders, corrections: Corrections) -> None:
        """The data hooks, and what comes after them in a review; `orders` are those of the step before."""
        stage = self._stage
        stage.obey(orders)
        stage.run()
        self._take(stage.orders)
        self._step("REVIEW_STEP_POST_HOOKS")
        if corrections.cells or corrections.dropped:
            stage.number()
            self._correct(corrections, first=0)
        self._submit_step(corrections)

    def prepared(self, no_header: list[ErrorObject]) -> Prepared:
        fields = self._plan.fields
        filled = {key for key, _ in self._stage.pages.names}
        table = _of_fields(self._table, fields)
        known = {field.key for field in table.mapped_fields()}
        by_hooks = [field for field in fields if field.key in filled - known]
        mapped = [self._reader.columns(field) for field in [*table.mapped_fields(), *by_hooks]]
        return Prepared(
            table=table,
            source=PageSource(self._stage.pages),
            mapped=mapped,
            structural=no_header or _not_mapped(fields, filled | known),
            surveyed=self._surveyed,
        )

    def _take(self, orders: Orders) -> None:
        self._plan.take(orders)
        self._reader.know(self._plan.fields)

    def _step(self, step: str) -> Orders:
        if self._runner is None:
            return Orders()
        orders = _later_step(self._runner, step, _of_fields(self._table, self._plan.fields))
        self._take(orders)
        self._stage.obey(orders)
        return orders

    def _submit_step(self, corrections: Corrections) -> None:
        """Rows are numbered by now: what a person decided of rows that this step adds holds for them, too."""
        if self._runner is None or not self._runner.hooks.at_step("REVIEW_STEP_PRE_SUBMIT"):
            return
        self._stage.number()
        count = self._stage.numbered_count
        self._step("REVIEW_STEP_PRE_SUBMIT")
        self._correct(corrections, first=count)

    def _correct(self, corrections: Corrections, *, first: int) -> None:
        cells = {row: texts for row, texts in corrections.cells.items() if row >= first}
        dropped = frozenset(row for row in corrections.dropped if row >= first)
        if cells:
            self._stage.correct({row: texts for row, texts in cells.items() if row not in dropped})
        if dropped:
            self._stage.drop(dropped)


def _opened(
    sheet: Sheet, plan: Plan, remembered: Mapping[str, str], corrections: Corrections
) -> tuple[Table, list[ErrorObject]]:
    """The data with their columns matched, and the error that no header was found."""
    fields = plan.fields
    by_position = {field.key: [at] for at, field in enumerate(fields) if not field.hidden}
    chosen = None if corrections.columns is None else _chosen(corrections.columns, fields)
    table = Table(
        sheet=sheet, start=0, limit=plan.settings.max_rows, header=[], columns=by_position, fields=list(fields)
    )
    if sheet.keeps_blank:
        return replace(table, columns=chosen or {field.key: [at] for at, field in enumerate(fields)}), []
    override = plan.settings.header_row if corrections.header_row is None else corrections.header_row
    found = find_header(sheet, fields=fields, override=override)
    if found is None:
        if chosen is not None:
            return replace(table, columns=chosen), []
        return table, [{"type": "HEADER_NOT_FOUND", "message": "No row of the file looks like its header."}]
    at, header = found
    if chosen is None:
        chosen = match_columns(header, fields=fields, fuzzy=plan.settings.fuzzy, remembered=remembered)
    return replace(table, start=at + 1, header=header, columns=chosen), []


def _chosen(columns: Mapping[str, tuple[int, ...]], fields: Sequence[Field]) -> Columns:
    """A person's choice of columns, several only for a manyToOne field."""
    chosen = {field.key: [at for at in columns.get(field.key, ()) if at >= 0] for field in fields}
    many = {field.key for field in fields if field.many_to_one}
    return {key: ats if key in many else ats[:1] for key, ats in chosen.items() if ats}


def _of_fields(table: Table, fields: Sequence[Field]) -> Table:
    """The table without the columns of fields that a hook has removed."""
    keys = {field.key for field in fields}
    kept = {key: ats for key, ats in table.columns.items() if key in keys}
    return replace(table, fields=list(fields), columns=kept)


def _not_mapped(fields: Sequence[Field], keys: Mapping[str, Any] | set[str]) -> list[ErrorObject]:
    missing = [field for field in fields if field.needs_column and field.key not in keys]
    if not keys and not missing:
        return [{"type": "FIELD_NOT_MAPPED", "message": "No column could be mapped to a field."}]
    return [
        {
            "type": "FIELD_NOT_MAPPED",
            "message": f"No column could be mapped to {field.label or field.key}.",
            "fieldKey": field.key,
        }
        for field in missing
    ]


def _upload_step(runner: HookRunner, sheet: Sheet, plan: Plan) -> Orders:
    preview = [list(row) for row in islice(iter(sheet.rows), _PREVIEW_ROWS)]
    return runner.upload_step(filename=plan.about["filename"], preview=preview, session=plan.about["id"] or None)


def _review_step(runner: HookRunner | None, table: Table) -> Orders:
    if runner is None:
        return Orders()
    return runner.review_step(
        raw_headers=table.header or None,
        header_mapping=header_mapping(table),
        fields=fields_metadata(table.field_columns(), table.header),
    )


def _later_step(runner: HookRunner, step: str, table: Table) -> Orders:
    run = runner.review_step_post_hooks if step == "REVIEW_STEP_POST_HOOKS" else runner.review_step_pre_submit
    fields = fields_metadata(table.field_columns(), table.header)
    return run(header_mapping=header_mapping(table), fields=fields)
