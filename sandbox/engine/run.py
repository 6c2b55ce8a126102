"""One import from its data to its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.engine.cells import Column, check_column, is_required
from sandbox.engine.columns import find_header, match_columns
from sandbox.engine.outcome import Outcome, failed
from sandbox.engine.reading import Sheet, UnreadableFileError, json_text, read_sheet

FILE_MAX_BYTES = 1 << 30
ERRORS_MAX_COUNT = 10_000
DEVELOPMENT_MAX_ROWS = 100
UNMAPPED_KEY = "$unmapped"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Data rows below a header; `columns` maps the mapped fields' keys to columns. JSON rows have no `header`."""

    rows: list[list[str]]
    columns: dict[str, int]
    header: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def run_import(
    source: bytes | Path | list[Any],
    *,
    schema: Mapping[str, Any],
    filename: str,
    import_id: str = "",
    user: Mapping[str, Any] | None = None,
) -> Outcome:
    """Import a file's content (bytes or path) or JSON rows by a schema of `fields`, `settings` and `hooks`.

    Rows of JSON are all objects keyed by field key or all arrays in field order. Never raises for bad data.
    """
    about = {
        "id": import_id,
        "filename": filename or None,
        "importIdentifier": schema["settings"].get("importIdentifier"),
        "user": dict(user) if user else None,
    }
    if any(schema["hooks"].values()):
        return failed("FATAL", "hooks are not run by this sandbox yet")
    if isinstance(source, list):
        return _judge(_json_table(source, schema=schema), schema=schema, about=about)
    if _size_bytes(source) > schema["settings"].get("maxFileSize", FILE_MAX_BYTES):
        return failed("FATAL", "The file is larger than maxFileSize allows.")
    try:
        sheet = read_sheet(source, delimiter=schema["settings"].get("delimiter"))
    except UnreadableFileError as error:
        return failed("FATAL", str(error))
    return _run_sheet(sheet, schema=schema, about=about)


def _run_sheet(sheet: Sheet, *, schema: Mapping[str, Any], about: dict[str, Any]) -> Outcome:
    if not sheet.rows:
        return failed("EMPTY", "The file is empty.")
    notes: dict[str, Any] = {"encoding": sheet.encoding, "delimiter": sheet.delimiter, "sheet": sheet.name}
    at = find_header(sheet.rows, fields=schema["fields"])
    if at is None:
        error = {"type": "HEADER_NOT_FOUND", "message": "No row of the file looks like its header."}
        rows = _rows_by_position(sheet.rows, schema=schema)
        return Outcome(status="NEEDS_REVIEW", rows=rows, errors=[error], metadata=about | notes)
    header = [cell.strip() for cell in sheet.rows[at]]
    fuzzy = (schema["settings"].get("matchingStep") or {}).get("fuzzyMatchHeaders") is not False
    columns = match_columns(header, fields=schema["fields"], fuzzy=fuzzy)
    notes |= {"headerRow": at}
    return _judge(
        _Table(rows=sheet.rows[at + 1 :], columns=columns, header=header, notes=notes), schema=schema, about=about
    )


def _judge(table: _Table, *, schema: Mapping[str, Any], about: dict[str, Any]) -> Outcome:
    rows, warnings = _limited(table.rows, settings=schema["settings"])
    columns = {
        field["key"]: check_column([_cell(row, table.columns[field["key"]]) for row in rows], field=field)
        for field in schema["fields"]
        if field["key"] in table.columns
    }
    validation = _validation_errors(columns)
    invalid_rows = sorted({error["rowIndex"] for error in validation})
    behavior = _behavior(schema["settings"])
    unmapped = _not_mapped(schema["fields"], table.columns)
    kept = _result_rows(table, rows, columns, settings=schema["settings"], behavior=behavior)
    blocking = _blocking(unmapped, validation, kept=kept, behavior=behavior, settings=schema["settings"])
    if blocking:
        kept = _result_rows(table, rows, columns, settings=schema["settings"], behavior="INCLUDE_INVALID_ROWS")
    metadata = (
        about
        | table.notes
        | {
            "rawHeaders": table.header,
            "fields": _mapping(table, schema["fields"]),
            "totalRows": len(rows),
            "validRows": len(rows) - len(invalid_rows),
            "invalidRows": len(invalid_rows),
            "rowsWithError": invalid_rows[:ERRORS_MAX_COUNT],
            "errors": validation[:ERRORS_MAX_COUNT],
            "errorCount": len(validation),
            "warnings": warnings,
        }
    )
    return Outcome(
        status="NEEDS_REVIEW" if blocking else "SUCCESSFUL",
        rows=kept,
        errors=blocking[:ERRORS_MAX_COUNT],
        metadata=metadata,
    )


def _blocking(
    unmapped: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    *,
    kept: list[dict[str, Any]],
    behavior: str,
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The errors that ask for a person; empty when the import succeeds."""
    errors = unmapped + (validation if behavior == "BLOCK_SUBMIT" else [])
    if not kept and settings.get("allowEmptySubmit") is False:
        errors.append({"type": "EMPTY", "message": "No row is left to submit."})
    return errors


def _not_mapped(fields: Sequence[Mapping[str, Any]], columns: Mapping[str, int]) -> list[dict[str, Any]]:
    needed = [f for f in fields if not f.get("hidden") and (f.get("requireMapping") or is_required(f))]
    missing = [f for f in needed if f["key"] not in columns]
    if not columns and not missing:
        return [{"type": "FIELD_NOT_MAPPED", "message": "No column could be mapped to a field."}]
    return [
        {
            "type": "FIELD_NOT_MAPPED",
            "message": f"No column could be mapped to {f.get('label') or f['key']}.",
            "fieldKey": f["key"],
        }
        for f in missing
    ]


def _validation_errors(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    errors = [
        {"type": "VALIDATION", "rowIndex": row, "fieldKey": key, "message": message, "value": column.texts[row]}
        for key, column in columns.items()
        for row, message in column.errors
    ]
    return sorted(errors, key=lambda error: error["rowIndex"])


def _result_rows(
    table: _Table,
    rows: list[list[str]],
    columns: Mapping[str, Column],
    *,
    settings: Mapping[str, Any],
    behavior: str,
) -> list[dict[str, Any]]:
    raw = behavior == "INCLUDE_INVALID_ROWS_AND_VALUES"
    invalid = {key: {row for row, _ in column.errors} for key, column in columns.items()}
    spare = _spare_columns(table, rows) if settings.get("passThroughUnmappedColumns") else None
    dropped = set().union(*invalid.values()) if behavior == "REMOVE_INVALID_ROWS" else set()
    result = []
    for index, row in enumerate(rows):
        if index in dropped:
            continue
        cells: dict[str, Any] = {
            key: (column.texts[index] if raw else None) if index in invalid[key] else column.values[index]
            for key, column in columns.items()
        }
        if spare is not None:
            cells[UNMAPPED_KEY] = {str(at): _cell(row, at) for at in spare if at < len(row)}
        result.append(cells)
    return result


def _spare_columns(table: _Table, rows: list[list[str]]) -> list[int]:
    """The columns no field took, those that are wholly empty left out."""
    width = max((len(row) for row in [table.header, *rows]), default=0)
    taken = set(table.columns.values())
    return [at for at in range(width) if at not in taken and any(_cell(row, at) for row in [table.header, *rows])]


def _limited(rows: list[list[str]], *, settings: Mapping[str, Any]) -> tuple[list[list[str]], list[str]]:
    limits = [settings.get("maxRecords"), DEVELOPMENT_MAX_ROWS if settings.get("developmentMode") else None]
    limit = min((limit for limit in limits if limit is not None), default=len(rows))
    return rows[:limit], [f"{len(rows) - limit} rows beyond {limit} were left out."] if len(rows) > limit else []


def _behavior(settings: Mapping[str, Any]) -> str:
    implied = "INCLUDE_INVALID_ROWS" if settings.get("allowInvalidSubmit") else "REMOVE_INVALID_ROWS"
    return str(settings.get("invalidDataBehavior") or implied)


def _mapping(table: _Table, fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f["key"]: {
            "fileHeaderIndex": table.columns[f["key"]],
            "fileHeader": table.header[table.columns[f["key"]]],
            "isCustom": False,
            "manyToOne": False,
        }
        for f in fields
        if table.header and f["key"] in table.columns
    }


def _json_table(rows: list[Any], *, schema: Mapping[str, Any]) -> _Table:
    keys = [field["key"] for field in schema["fields"]]
    texts = [
        [json_text(row.get(key)) for key in keys] if isinstance(row, dict) else [json_text(cell) for cell in row]
        for row in rows
    ]
    return _Table(rows=texts, columns={key: at for at, key in enumerate(keys)})


def _rows_by_position(rows: list[list[str]], *, schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a person makes of a file without a header: every row is data, the columns are the fields in order."""
    fields = schema["fields"]
    columns = {f["key"]: check_column([_cell(row, at) for row in rows], field=f) for at, f in enumerate(fields)}
    return [{key: column.values[index] for key, column in columns.items()} for index in range(len(rows))]


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _size_bytes(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size
