"""One import from its data to its outcome."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandbox.engine.cell_errors import ERRORS_MAX_COUNT, ErrorObject, FindingTotals
from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import Draft, draft_rows, layout
from sandbox.engine.edited_rows import EditedRows, PageTable
from sandbox.engine.errors import EmptyFileError, EngineError
from sandbox.engine.hooks import fields_after, running_hooks
from sandbox.engine.json_sheet import sheet_of_json
from sandbox.engine.matching import is_name
from sandbox.engine.metadata import field_mappings, metadata_of
from sandbox.engine.outcome import Outcome, failed
from sandbox.engine.problems import schema_problems
from sandbox.engine.reading import Sheet, read_sheet
from sandbox.engine.result_rows import JsonSink, ListSink, Sink, Writable
from sandbox.engine.schema import Field, Settings, read_fields, read_settings
from sandbox.engine.table import FieldColumns, Survey, Table, spare_columns, survey
from sandbox.engine.table_builder import BuiltTable, file_table, json_table, settings_after
from sandbox.engine.validation_pass import ValidationPass, find_repeats
from sandbox.engine.validators import Checks, make_checks
from sandbox.hooks import HookLimits, HookRunner

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
    hook_limits: HookLimits | None = None,
) -> Outcome:
    """Import a file's content (bytes or path) or JSON rows by a schema of `fields`, `settings` and `hooks`.

    JSON rows are all objects by field key or all arrays in field order. The result's rows go into the outcome or, as a
    JSON array, into `result`; a FAILED import may have written a part of it. `remembered` maps headers to the field
    keys that earlier imports gave them. `corrections` are a person's decisions in a review so far, and `draft` receives
    every row. Hooks run within `hook_limits`. Never raises for bad data, a bad schema, or a bad hook.
    """
    request = _Request(
        source=source,
        schema=schema,
        about={"id": import_id, "filename": filename or None, "user": dict(user) if user else None},
        result=result,
        remembered=remembered or {},
        corrections=corrections or Corrections(),
        draft=draft,
        hook_limits=hook_limits or HookLimits(),
    )
    try:
        with _paused_collector():
            return _run(request)
    except EmptyFileError as error:
        return failed("EMPTY", str(error))
    except EngineError as error:
        return failed("FATAL", str(error))


@dataclass(frozen=True, kw_only=True)
class _Request:
    """The arguments of `run_import`."""

    source: bytes | Path | list[Any]
    schema: Mapping[str, Any]
    about: dict[str, Any]
    result: Writable | None
    remembered: Mapping[str, str]
    corrections: Corrections
    draft: Draft | None
    hook_limits: HookLimits

    @property
    def is_json(self) -> bool:
        return isinstance(self.source, list)


def _run(request: _Request) -> Outcome:
    _check_schema(request.schema)
    given = request.schema.get("settings") or {}
    fields, settings = read_fields(request.schema), read_settings(given)
    sheet = _sheet(request.source, fields, settings)
    with running_hooks(
        request.schema.get("hooks") or {},
        fields=fields,
        limits=request.hook_limits,
        row_count=lambda: sum(map(len, sheet.batches())),
        deletes=bool(request.corrections.dropped),
    ) as runner:
        if request.is_json:
            built = json_table(sheet, fields, settings)
        else:
            built = file_table(
                sheet, fields, given, remembered=request.remembered, corrections=request.corrections, runner=runner,
                about=request.about,
            )  # fmt: skip
        return _Import(request, built, runner, about=request.about | {"importIdentifier": settings.identifier}).run()


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Pause garbage collection: it would scan millions of short-lived rows again and again, and they form no cycle."""
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


def _sheet(source: bytes | Path | list[Any], fields: list[Field], settings: Settings) -> Sheet:
    if isinstance(source, list):
        return sheet_of_json(source, fields)
    sheet = read_sheet(
        source,
        delimiter=settings.delimiter,
        sheet=settings.sheet,
        max_bytes=settings.max_bytes,
        is_name=lambda text: is_name(text, fields),
    )
    if next(sheet.batches(), None) is None:
        raise EmptyFileError("The file is empty.")
    return sheet


@dataclass
class _Import:
    """The passes over one import's data: survey, hooks and corrections, search for repeated values, validation.

    Data that neither a hook nor a person changes is read from the file each time; otherwise, from pages.
    """

    request: _Request
    built: BuiltTable
    runner: HookRunner | None
    about: dict[str, Any]
    table: Table = field(init=False)
    settings: Settings = field(init=False)

    def run(self) -> Outcome:
        self.table, self.settings = self.built.table, self.built.settings
        self._review_step()
        mapped = [
            FieldColumns(each, self.table.columns[each.key], messages=self.settings.messages)
            for each in self.table.mapped_fields()
        ]
        for each in mapped:
            each.kind.may_have_plus = self.table.sheet.has_plus
        corrections = self.request.corrections
        if self.built.has_header and (self.runner or corrections.cells or corrections.dropped):
            return self._run_edited(mapped)
        sieved = not self.table.sheet.is_held
        checks = make_checks(self.table.mapped_fields(), messages=self.settings.messages, sieved=sieved)
        learning = {each.field.key for each in mapped if each.kind.learns}
        early = [rule for rule in checks.uniqueness if sieved and learning.isdisjoint(rule.field_keys)]
        surveyed = survey(self.table, mapped, settings=self.settings, searches=early)
        find_repeats(self.table, mapped, checks.uniqueness, sieved=sieved, done=early)
        validation = self._validation_pass(self.table, mapped, checks, spare=self._spare(surveyed))
        return self._validated(validation, self.table.fields)

    def _review_step(self) -> None:
        """Run the hooks of the review step on the matched columns, before any row is read."""
        orders = self.built.orders
        if self.runner is not None and self.built.has_header:
            asked = self.runner.review_step(raw_headers=self.table.header or None, **self._step_data())
            self.table = replace(self.table, fields=fields_after(self.table.fields, asked))
            orders += asked
        if orders.user is not None:
            self.about["user"] = dict(orders.user)
        self.settings = read_settings(settings_after(self.request.schema.get("settings") or {}, orders))
        self.table = replace(self.table, limit=self.settings.max_rows)
        self.built = replace(self.built, orders=orders, table=self.table)

    def _step_data(self) -> dict[str, Any]:
        """Return what step hooks get about the columns."""
        fields = field_mappings(self.table, self.table.mapped_fields())
        header = self.table.header
        by_place = sorted((at, key) for key, ats in self.table.columns.items() for at in ats if at < len(header))
        return {"header_mapping": {header[at]: key for at, key in by_place}, "fields": fields}

    def _run_edited(self, mapped: Sequence[FieldColumns]) -> Outcome:
        surveyed = survey(self.table, mapped, settings=self.settings, searches=())
        spare = self._spare(surveyed)
        edited = EditedRows(
            self.table,
            mapped,
            runner=self.runner,
            corrections=self.request.corrections,
            messages=self.settings.messages,
            keeps_raw=spare is not None,
        )
        with closing(edited):
            rows = edited.run(self.built.orders, step_data=self._step_data)
            if edited.orders.user is not None:
                self.about["user"] = dict(edited.orders.user)
            columns = edited.columns(rows)
            self._learn_new(rows, columns)
            checks = make_checks([each.field for each in columns], messages=self.settings.messages, sieved=True)
            find_repeats(rows, columns, checks.uniqueness, sieved=True)
            return self._validated(self._validation_pass(rows, columns, checks, spare=spare), edited.fields)

    def _validation_pass(
        self, rows: Table | PageTable, mapped: Sequence[FieldColumns], checks: Checks, *, spare: Sequence[int] | None
    ) -> ValidationPass:
        return ValidationPass(
            rows=rows,
            mapped=mapped,
            checks=checks,
            spare=spare,
            width=len(self.table.header),
            behavior=self.settings.behavior,
        )

    def _learn_new(self, rows: PageTable, columns: Sequence[FieldColumns]) -> None:
        """Prepare date columns that only hooks filled."""
        new = [each for each in columns if each.kind.learns and each.field.key not in self.table.columns]
        for some in rows.batches() if new else ():
            for each in new:
                for at in each.ats:
                    each.kind.prepare(some.column(at))

    def _validated(self, validation: ValidationPass, fields: Sequence[Field]) -> Outcome:
        structural = self.built.structural_errors(fields, [each.field.key for each in validation.mapped])
        blocks = self.settings.behavior == "BLOCK_SUBMIT"
        if structural or blocks:
            validation = replace(validation, behavior=_INCLUDE)
        sink: Sink = ListSink() if self.request.result is None else JsonSink(self.request.result)
        findings = self._run_validation(validation, fields, sink)
        errors = structural + (findings.errors if blocks else [])
        if not sink.row_count and not self.settings.allows_empty:
            errors.append({"type": "EMPTY", "message": "No row is left to submit."})
            if validation.behavior == "REMOVE_INVALID_ROWS":
                replace(validation, behavior=_INCLUDE).run(sink)
        is_edited = not isinstance(validation.rows, Table)
        metadata = metadata_of(self.table, validation.mapped, findings, about=self.about, is_edited=is_edited)
        if not errors:
            errors = self._finished(validation, metadata)
        sink.finish()
        return Outcome(
            status="NEEDS_REVIEW" if errors else "SUCCESSFUL",
            rows=sink.rows,
            errors=errors[:ERRORS_MAX_COUNT],
            metadata=metadata,
            is_written=self.request.result is not None,
        )

    def _run_validation(self, validation: ValidationPass, fields: Sequence[Field], sink: Sink) -> FindingTotals:
        draft = self.request.draft
        if draft is None:
            return validation.run(sink)
        draft.begin(layout(self.built, fields, validation.mapped, is_json=self.request.is_json))
        return validation.run(sink, watch=lambda batch, of, found: draft.add(draft_rows(batch, of, found)))

    def _finished(self, validation: ValidationPass, metadata: dict[str, Any]) -> list[ErrorObject]:
        """Run the beforeFinish hook, and return an error if it cancels the import."""
        if self.runner is None or self.runner.hooks.before_finish is None:
            return []
        finish = self.runner.before_finish(validation.submitted(), metadata=metadata)
        if finish.orders.user is not None:
            metadata["user"] = dict(finish.orders.user)
        return [{"type": "CANCELLED", "message": finish.message}] if finish.cancelled else []

    def _spare(self, surveyed: Survey) -> list[int] | None:
        return spare_columns(self.table, surveyed) if self.settings.passes_unmapped and self.table.header else None
