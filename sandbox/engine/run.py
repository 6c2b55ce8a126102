"""One import from its data to its outcome."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.engine.batch import Batch
from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import Draft
from sandbox.engine.errors import EmptyFileError, EngineError
from sandbox.engine.header import find_header
from sandbox.engine.hooks import refuse_hooks
from sandbox.engine.judging import ERRORS_MAX_COUNT, ErrorObject, Findings, RowMaker, judge
from sandbox.engine.matching import match_columns
from sandbox.engine.outcome import Outcome, failed
from sandbox.engine.problems import schema_problems
from sandbox.engine.reading import Sheet, read_sheet
from sandbox.engine.reading.rows import sheet_of_json
from sandbox.engine.schema import Field, Settings, read_fields, read_settings
from sandbox.engine.sinks import JsonSink, ListSink, ResultRow, Sink, Writable
from sandbox.engine.table import FieldColumns, Survey, Table, batch_of, spare_columns, survey, unmapped_cells
from sandbox.engine.validators import Checks, make_checks
from sandbox.engine.validators.uniqueness import Uniqueness

UNMAPPED_KEY = "$unmapped"
_INCLUDE = "INCLUDE_INVALID_ROWS"


def run_import(
    source: bytes | Path | list[Any],
    *,
    schema: Mapping[str, Any],
    filename: str,
    import_id: str = "",
    user: Mapping[str, Any] | None = None,
    result: Writable | None = None,
    remembered: Mapping[str, str] | None = None,
    corrections: Corrections | None = None,
    draft: Draft | None = None,
) -> Outcome:
    """Import a file's content (bytes or path) or JSON rows by a schema of `fields`, `settings` and `hooks`.

    Rows of JSON are all objects keyed by field key or all arrays in field order. The rows go into the outcome or,
    as a JSON array, into `result`; a FAILED import may have written a part of it. `remembered` maps headers to the
    field keys that earlier imports gave them. `corrections` are what a person has decided in a review so far, `draft`
    is told of every row. Never raises for bad data or a bad schema.
    """
    try:
        with _paused_collector():
            return _run(
                source,
                schema,
                {"id": import_id, "filename": filename or None, "user": dict(user) if user else None},
                result=result,
                remembered=remembered or {},
            )
    except EmptyFileError as error:
        return failed("EMPTY", str(error))
    except EngineError as error:
        return failed("FATAL", str(error))


def _run(
    source: bytes | Path | list[Any],
    schema: Mapping[str, Any],
    about: dict[str, Any],
    *,
    result: Writable | None,
    remembered: Mapping[str, str],
) -> Outcome:
    _check_schema(schema)
    settings = read_settings(schema.get("settings") or {})
    table, structural = _opened(source, read_fields(schema), settings, remembered)
    return _Import(table, settings, about | {"importIdentifier": settings.identifier}, structural).run(result)


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Millions of short-lived rows without one cycle among them: the collector would only walk them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_schema(schema: Mapping[str, Any]) -> None:
    if problems := schema_problems(schema):
        raise EngineError(f"The schema cannot be used: {problems[0][0]}: {problems[0][1]}")
    if not schema.get("fields"):
        raise EngineError("The schema has no fields.")
    refuse_hooks(schema.get("hooks") or {})


def _opened(
    source: bytes | Path | list[Any], fields: list[Field], settings: Settings, remembered: Mapping[str, str]
) -> tuple[Table, list[ErrorObject]]:
    """The data with their columns matched, and the errors of structure that ask for a person."""
    if isinstance(source, list):
        sheet = sheet_of_json(source, keys=[field.key for field in fields])
        in_order = {field.key: [at] for at, field in enumerate(fields)}
        return _table(sheet, fields, settings, columns=in_order), []
    sheet = read_sheet(source, delimiter=settings.delimiter, sheet=settings.sheet, max_bytes=settings.max_bytes)
    if next(sheet.batches(), None) is None:
        raise EmptyFileError("The file is empty.")
    found = find_header(sheet, fields=fields, override=settings.header_row)
    if found is None:
        by_position = {field.key: [at] for at, field in enumerate(fields) if not field.hidden}
        error = {"type": "HEADER_NOT_FOUND", "message": "No row of the file looks like its header."}
        return _table(sheet, fields, settings, columns=by_position), [error]
    at, header = found
    columns = match_columns(header, fields=fields, fuzzy=settings.fuzzy, remembered=remembered)
    table = _table(sheet, fields, settings, columns=columns)
    return replace(table, start=at + 1, header=header), _not_mapped(fields, columns)


def _table(sheet: Sheet, fields: list[Field], settings: Settings, *, columns: dict[str, list[int]]) -> Table:
    return Table(sheet=sheet, start=0, limit=settings.max_rows, header=[], columns=columns, fields=fields)


def _not_mapped(fields: Sequence[Field], columns: Mapping[str, Any]) -> list[ErrorObject]:
    missing = [field for field in fields if field.needs_column and field.key not in columns]
    if not columns and not missing:
        return [{"type": "FIELD_NOT_MAPPED", "message": "No column could be mapped to a field."}]
    return [
        {
            "type": "FIELD_NOT_MAPPED",
            "message": f"No column could be mapped to {field.label or field.key}.",
            "fieldKey": field.key,
        }
        for field in missing
    ]


@dataclass
class _Import:
    """The readings of one import's data: a survey, a search for repeated values, then the judgement."""

    table: Table
    settings: Settings
    about: dict[str, Any]
    structural: list[ErrorObject]

    def run(self, result: Writable | None) -> Outcome:
        mapped = [FieldColumns(field, self.table.columns[field.key]) for field in self.table.mapped_fields()]
        sieved = not self.table.sheet.is_held
        checks = make_checks(self.table.mapped_fields(), messages=self.settings.messages, sieved=sieved)
        learning = {each.field.key for each in mapped if each.kind.learns}
        early = [rule for rule in checks.uniqueness if sieved and learning.isdisjoint(rule.field_keys)]
        surveyed = survey(self.table, mapped, settings=self.settings, searches=early)
        if sieved:
            self._search(mapped, [rule for rule in checks.uniqueness if rule not in early], Uniqueness.sift)
        self._search(mapped, [rule for rule in checks.uniqueness if rule.may_repeat], Uniqueness.count)
        sink: Sink = ListSink() if result is None else JsonSink(result)
        behavior = _INCLUDE if self.structural or self._blocks else self.settings.behavior
        findings = self._judged(mapped, checks, surveyed, sink, behavior)
        errors = self.structural + (findings.errors if self._blocks else [])
        if not sink.row_count and not self.settings.allows_empty:
            errors.append({"type": "EMPTY", "message": "No row is left to submit."})
            if behavior == "REMOVE_INVALID_ROWS":
                self._judged(mapped, checks, surveyed, sink, _INCLUDE)
        sink.finish()
        return Outcome(
            status="NEEDS_REVIEW" if errors else "SUCCESSFUL",
            rows=sink.rows,
            errors=errors[:ERRORS_MAX_COUNT],
            metadata=self._metadata(findings, mapped),
            is_written=result is not None,
        )

    @property
    def _blocks(self) -> bool:
        return self.settings.behavior == "BLOCK_SUBMIT"

    def _search(
        self, mapped: Sequence[FieldColumns], rules: Sequence[Uniqueness], look: Callable[[Uniqueness, Batch], None]
    ) -> None:
        """Read the columns of these rules once."""
        keys = {key for rule in rules for key in rule.field_keys}
        searched = [each for each in mapped if each.field.key in keys]
        for rows in self.table.batches() if rules else ():
            batch = batch_of(searched, rows)
            for rule in rules:
                look(rule, batch)
        for rule in rules:
            rule.settle()

    def _judged(
        self, mapped: Sequence[FieldColumns], checks: Checks, surveyed: Survey, sink: Sink, behavior: str
    ) -> Findings:
        fields = [each.field for each in mapped]
        maker = RowMaker(fields, keeps_text=behavior == "INCLUDE_INVALID_ROWS_AND_VALUES")
        spare = spare_columns(self.table, surveyed) if self.settings.passes_unmapped and self.table.header else None
        findings = Findings()
        for rows in self.table.batches():
            rows.turn()
            batch = batch_of(mapped, rows)
            found = judge(batch, fields, checks, findings.remarks)
            findings.add(found, batch, fields)
            made = maker.rows(batch, found)
            if spare is not None:
                width = len(self.table.header)
                for row, cells in zip(rows.rows, made, strict=True):
                    cells[UNMAPPED_KEY] = unmapped_cells(row, spare, width)
            sink.add(
                _without_invalid(made, {each.row for each in found}) if behavior == "REMOVE_INVALID_ROWS" else made
            )
        return findings

    def _metadata(self, findings: Findings, mapped: Sequence[FieldColumns]) -> dict[str, Any]:
        sheet, table = self.table.sheet, self.table
        warnings = [*sheet.warnings, *self._limit_warning()]
        warnings += [f"{each.field.label or each.field.key}: {text}" for each in mapped for text in each.kind.warnings]
        warnings += [f"{remark} ({count} cells)" for remark, count in findings.remarks.items()]
        return self.about | {
            "encoding": sheet.encoding,
            "delimiter": sheet.delimiter,
            "sheet": sheet.name,
            "headerRow": table.start - 1 if table.header else None,
            "rawHeaders": table.header,
            "fields": {each.field.key: _mapping(each, table.header) for each in mapped} if table.header else {},
            "totalRows": findings.row_count,
            "validRows": findings.row_count - findings.invalid_row_count,
            "invalidRows": findings.invalid_row_count,
            "rowsWithError": findings.rows_with_error,
            "errors": findings.errors,
            "errorCount": findings.error_count,
            "warnings": warnings,
        }

    def _limit_warning(self) -> list[str]:
        limit = self.table.limit
        if limit is None or not self.table.sheet.has_more_than(limit, start=self.table.start):
            return []
        return [f"The rows beyond {limit} were left out."]


def _without_invalid(rows: list[ResultRow], invalid: set[int]) -> list[ResultRow]:
    return [row for at, row in enumerate(rows) if at not in invalid] if invalid else rows


def _mapping(columns: FieldColumns, header: Sequence[str]) -> dict[str, Any]:
    """How metadata tells where a field's values came from."""
    ats = list(columns.ats)
    if columns.field.many_to_one:
        return {
            "fileHeader": None,
            "fileHeaders": [header[at] for at in ats],
            "fileHeaderIndex": None,
            "fileHeaderIndexes": ats,
            "isCustom": False,
            "manyToOne": True,
        }
    return {"fileHeaderIndex": ats[0], "fileHeader": header[ats[0]], "isCustom": False, "manyToOne": False}
