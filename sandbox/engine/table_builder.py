"""Builds a table from a sheet: finds the header, matches the columns, and reports what is missing."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sandbox.engine.cell_errors import ErrorObject
from sandbox.engine.corrections import NO_HEADER, Corrections
from sandbox.engine.hooks import fields_after
from sandbox.engine.matching import Columns, match_columns, normalized
from sandbox.engine.reading.sheet import HEADER_SEARCH_ROWS, Row, Sheet, is_blank
from sandbox.engine.row_watch import RowWatch, watch_above
from sandbox.engine.schema import Field, Settings, read_settings
from sandbox.engine.table import Table
from sandbox.engine.warning import visible
from sandbox.hooks import HookRunner, Orders

HEADER_NOT_FOUND: ErrorObject = {"type": "HEADER_NOT_FOUND", "message": "No row of the file looks like its header."}

PREVIEW_ROWS = 100

SHEETS_SHOWN = 20

HOOK_PREVIEW_ROWS = 20
"""How many rows a hook of the upload step gets."""

_MIN_WIDTH_SHARE = 0.6
_PHYSICAL_ROWS = 10_000
_LOOKS_LIKE_DATA = re.compile(r"@|^[-+$€£(]?\s*\d[\d.,:/ -]*\s*%?\)?$|^\d{4}-\d\d-\d\d")


@dataclass(frozen=True, kw_only=True)
class BuiltTable:
    """A table with its columns matched; `orders` is what step hooks asked for so far.

    `has_header` is False until the header row is known, or known not to exist. `is_confirmed` says that a person has
    confirmed the columns. `is_mapped` says that a column of the file belongs to a field, even if a hook of the upload
    step has removed that field.
    """

    table: Table
    settings: Settings
    orders: Orders
    has_header: bool
    is_confirmed: bool = False
    is_mapped: bool = False

    @property
    def header_row(self) -> int | None:
        """The header's physical row, NO_HEADER, or None if it was not found."""
        if self.table.header:
            return self.table.start - 1
        return NO_HEADER if self.has_header else None

    def structural_errors(self, fields: Sequence[Field], present: Sequence[str]) -> list[ErrorObject]:
        """Return the errors that need a person whatever the cells contain; `present` are the fields with cells."""
        if not self.has_header:
            return [*self._sheet_errors(), HEADER_NOT_FOUND]
        is_mapped = self.is_mapped or bool(self.table.columns)
        errors = unmapped_errors(fields, present, mapped=self.table.columns, is_mapped=is_mapped)
        return [*self._sheet_errors(), *errors]

    def _sheet_errors(self) -> list[ErrorObject]:
        """Return an error if several sheets have data, unless a person has confirmed the columns of this one."""
        sheet = self.table.sheet
        if len(sheet.rivals) <= 1 or self.is_confirmed:
            return []
        names = ", ".join(f'"{visible(name)}"' for name in sheet.rivals[:SHEETS_SHOWN])
        more = ", …" if len(sheet.rivals) > SHEETS_SHOWN else ""
        message = f"Several sheets have data: {names}{more}. Set sheetOverride to the one to import."
        fitting = list(sheet.fitting[:SHEETS_SHOWN])
        return [{"type": "SHEET_NOT_CHOSEN", "message": message, "sheet": next(iter(fitting), None), "sheets": fitting}]


def json_table(sheet: Sheet, fields: list[Field], settings: Settings) -> BuiltTable:
    """Build the table of JSON rows, which need no header and no matching."""
    in_order = {field.key: [at] for at, field in enumerate(fields)}
    table = _table(sheet, fields, settings, columns=in_order)
    return BuiltTable(table=table, settings=settings, orders=Orders(), has_header=True)


def file_table(
    sheet: Sheet,
    fields: list[Field],
    given: Mapping[str, Any],
    *,
    remembered: Mapping[str, str],
    corrections: Corrections,
    runner: HookRunner | None,
    about: Mapping[str, Any],
) -> BuiltTable:
    """Find the header and match the columns, as hooks of the upload step and a person's corrections say."""
    orders = _upload_step(sheet, runner, about)
    of_schema, settings = fields, read_settings(settings_after(given, orders))
    fields = fields_after(of_schema, orders)
    override = settings.header_row if corrections.header_row is None else corrections.header_row
    is_absent = corrections.header_row == NO_HEADER
    is_confirmed = corrections.columns is not None
    found = None if is_absent else find_header(sheet, fields=fields, override=override)
    if found is None:
        if corrections.columns is not None:
            columns = _chosen(corrections.columns, fields)
        else:
            columns = _by_position(fields, width=_width(sheet) if is_absent else len(fields))
        table = _table(sheet, fields, settings, columns=columns)
        is_clear = is_absent or corrections.columns is not None
        return BuiltTable(table=table, settings=settings, orders=orders, has_header=is_clear, is_confirmed=is_confirmed)
    at, header = found
    if corrections.columns is not None:
        columns = _chosen(corrections.columns, fields)
    else:
        columns = match_columns(
            header,
            fields=fields,
            fuzzy=settings.fuzzy,
            remembered=remembered,
            tell=_similarity_watch(sheet, at, header),
        )
    if at and corrections.header_row is None:
        above = list(islice(iter(sheet.rows), at))
        watch_above(above, header, is_chosen=override is not None, delimiter=_joint(sheet), warnings=sheet.warnings)
    table = replace(
        _table(sheet, fields, settings, columns=columns),
        start=at + 1,
        header=header,
        watch=_watch(sheet, header, fields, columns),
    )
    is_mapped = bool(orders.removed_fields) and bool(
        match_columns(header, fields=of_schema, fuzzy=settings.fuzzy, remembered=remembered)
    )
    return BuiltTable(
        table=table,
        settings=settings,
        orders=orders,
        has_header=True,
        is_confirmed=is_confirmed,
        is_mapped=is_mapped,
    )


def _similarity_watch(sheet: Sheet, at: int, header: Row) -> Callable[[int, Field], None]:
    """Return what warns of columns of the header, the physical row `at`, that are only similar to their fields."""

    def warn(column: int, field: Field) -> None:
        name = header[column]
        message = f'The column "{visible(name)}" is imported as {field.title}, to which its name is only similar.'
        sheet.warnings.add("column_similar", row=at, sample=name, message=message, field_key=field.key)

    return warn


def _watch(sheet: Sheet, header: Row, fields: Sequence[Field], columns: Columns) -> RowWatch:
    return RowWatch(
        header,
        taken={at for ats in columns.values() for at in ats},
        names=tuple(name for field in fields if not field.hidden for name in field.names),
        delimiter=_joint(sheet),
        is_text=sheet.delimiter is not None,
        warnings=sheet.warnings,
    )


def _joint(sheet: Sheet) -> str:
    """Return what stands between the cells of a row in a sample."""
    return sheet.delimiter or ", "


def preview(sheet: Sheet, *, count: int = PREVIEW_ROWS) -> list[Row]:
    """Return the first `count` physical rows, blank rows included."""
    return list(islice(iter(sheet.rows), count))


def _by_position(fields: Sequence[Field], *, width: int) -> Columns:
    return {field.key: [at] for at, field in enumerate(fields[:width]) if not field.hidden}


def _width(sheet: Sheet) -> int:
    return max(map(len, preview(sheet)), default=0)


def unmapped_errors(
    fields: Sequence[Field], present: Collection[str], *, mapped: Collection[str], is_mapped: bool
) -> list[ErrorObject]:
    """Return an error for each field that lacks a column, or one if the file is not mapped at all.

    Cells from a hook do not replace a required mapping.
    """
    missing = [
        field
        for field in fields
        if field.needs_column and field.key not in (mapped if field.requires_mapping else present)
    ]
    if not missing and not is_mapped:
        return [{"type": "FIELD_NOT_MAPPED", "message": "No column could be mapped to a field."}]
    return [
        {
            "type": "FIELD_NOT_MAPPED",
            "message": f"No column could be mapped to {field.title}.",
            "fieldKey": field.key,
        }
        for field in missing
    ]


def _table(sheet: Sheet, fields: list[Field], settings: Settings, *, columns: Columns) -> Table:
    return Table(sheet=sheet, start=0, limit=settings.max_rows, header=[], columns=columns, fields=fields)


def _chosen(columns: Mapping[str, Sequence[int]], fields: Sequence[Field]) -> Columns:
    """Return a person's mapping without unknown fields; several columns only for a manyToOne field."""
    kept = {field.key: sorted(columns[field.key]) for field in fields if columns.get(field.key)}
    many = {field.key for field in fields if field.many_to_one}
    return {key: ats if key in many else ats[:1] for key, ats in kept.items()}


def _upload_step(sheet: Sheet, runner: HookRunner | None, about: Mapping[str, Any]) -> Orders:
    if runner is None or not runner.hooks.at_step("UPLOAD_STEP"):
        return Orders()
    first = preview(sheet, count=HOOK_PREVIEW_ROWS)
    return runner.upload_step(filename=about["filename"], preview=first, session=about["id"] or None)


def settings_after(given: Mapping[str, Any], orders: Orders) -> dict[str, Any]:
    """Return the settings as hooks changed them."""
    changed = dict(given)
    if orders.development_mode is not None:
        changed["developmentMode"] = orders.development_mode
    if orders.header_row_given:
        changed["matchingStep"] = {**(given.get("matchingStep") or {}), "headerRowOverride": orders.header_row}
    return changed


def find_header(sheet: Sheet, *, fields: Sequence[Field], override: int | None) -> tuple[int, Row] | None:
    """Return the header's physical row (from 0, blank rows included) and its cells; None if no row qualifies.

    It is the row that `override` names. Otherwise, it is the row with the most field names (at least two, or half of
    its cells) among the first 20 that are not blank; or else the first row that is nearly as wide as the widest and
    whose texts are distinct and do not look like data.
    """
    if override is not None:
        row = next(islice(iter(sheet.rows), override, None), None) if override >= 0 else None
        return None if row is None or is_blank(row) else (override, _stripped(row))
    physical = enumerate(islice(iter(sheet.rows), _PHYSICAL_ROWS))
    candidates = list(islice(((at, row) for at, row in physical if not is_blank(row)), HEADER_SEARCH_ROWS))
    best = _best(candidates, fields) if candidates else None
    return None if best is None else (best[0], _stripped(best[1]))


def _best(candidates: list[tuple[int, Row]], fields: Sequence[Field]) -> tuple[int, Row] | None:
    known = {normalized(name) for field in fields for name in field.names if not field.hidden}
    widths = [_cell_count(row) for _, row in candidates]
    hits = [len(({normalized(cell) for cell in row} & known) - {""}) for _, row in candidates]
    best = max(range(len(candidates)), key=hits.__getitem__)
    if hits[best] >= 2 or (hits[best] and hits[best] * 2 >= widths[best]):
        return candidates[best]
    wide = max(widths) * _MIN_WIDTH_SHARE
    titles = (at for at, (_, row) in enumerate(candidates) if widths[at] >= wide and _is_title_row(row))
    at = next(titles, None)
    return None if at is None else candidates[at]


def _stripped(row: Row) -> Row:
    return [cell.strip() for cell in row]


def _cell_count(row: Row) -> int:
    return sum(1 for cell in row if cell.strip())


def _is_title_row(row: Row) -> bool:
    texts = [cell.strip() for cell in row if cell.strip()]
    return len(set(texts)) == len(texts) and not any(_LOOKS_LIKE_DATA.search(text) for text in texts)
