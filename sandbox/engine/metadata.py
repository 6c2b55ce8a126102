"""The result metadata of an import."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.engine.cell_errors import FindingTotals
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, Table
from sandbox.engine.value_watch import warn_of_values


def metadata_of(
    table: Table,
    mapped: Sequence[FieldColumns],
    findings: FindingTotals,
    *,
    about: Mapping[str, Any],
    is_edited: bool,
) -> dict[str, Any]:
    """Return the metadata of an import: `about` it, how its file was read, and the findings in its rows.

    `is_edited` says that hooks or a person may have changed the cells.
    """
    sheet = table.sheet
    _add_warnings(table, mapped, findings, is_edited=is_edited)
    return {
        **about,
        "encoding": sheet.encoding,
        "delimiter": sheet.delimiter,
        "sheet": sheet.name,
        "headerRow": table.start - 1 if table.header else None,
        "rawHeaders": table.header,
        "fields": field_mappings(table, [each.field for each in mapped]),
        "totalRows": findings.row_count,
        "validRows": findings.row_count - findings.invalid_row_count,
        "invalidRows": findings.invalid_row_count,
        "rowsWithError": findings.rows_with_error,
        "errors": findings.errors,
        "errorCount": findings.error_count,
        "warnings": [each.sentence for each in sheet.warnings],
        "warningDetails": [each.as_object() for each in sheet.warnings],
    }


def _add_warnings(table: Table, mapped: Sequence[FieldColumns], findings: FindingTotals, *, is_edited: bool) -> None:
    """Add to the file's warnings what reading its cells showed."""
    warnings, limit = table.sheet.warnings, table.limit
    if limit is not None and table.sheet.has_more_than(limit, start=table.start):
        warnings.add("rows_limited", message=f"The rows beyond {limit} were left out.")
    warn_of_values(table, mapped, is_edited=is_edited)
    for remark, count in findings.remarks.items():
        warnings.add("validator", message=f"{remark} ({count} cells)", count=count)


def field_mappings(table: Table, fields: Sequence[Field]) -> dict[str, Any]:
    """Return which column each field's values came from; none if the data has no header."""
    header = table.header
    columns = table.columns if header else {}
    return {field.key: _mapping(field, columns.get(field.key, ()), header) for field in fields}


def _mapping(field: Field, ats: Sequence[int], header: Sequence[str]) -> dict[str, Any]:
    if field.many_to_one:
        return {
            "fileHeader": None,
            "fileHeaders": [_name(header, at) for at in ats],
            "fileHeaderIndex": None,
            "fileHeaderIndexes": list(ats),
            "isCustom": False,
            "manyToOne": True,
        }
    at = next(iter(ats), None)
    name = None if at is None else _name(header, at)
    return {"fileHeaderIndex": at, "fileHeader": name, "isCustom": False, "manyToOne": False}


def _name(header: Sequence[str], at: int) -> str:
    return header[at] if at < len(header) else ""
