"""One import from its data to its outcome."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.engine.batch import Batch
from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import Draft, draft_rows, layout_of
from sandbox.engine.errors import EmptyFileError, EngineError
from sandbox.engine.hooks import hooks_started
from sandbox.engine.judging import ERRORS_MAX_COUNT, ErrorObject, Findings, RowMaker, judge, remark_on
from sandbox.engine.metadata import import_metadata
from sandbox.engine.outcome import Outcome, failed
from sandbox.engine.plan import Plan
from sandbox.engine.preparing import Prepared, opened_sheet, prepare
from sandbox.engine.problems import schema_problems
from sandbox.engine.sinks import JsonSink, ListSink, ResultRow, Sink, Writable
from sandbox.engine.table import FieldColumns, Survey, batch_of, spare_columns, survey, unmapped_cells
from sandbox.engine.validators import Checks, make_checks
from sandbox.engine.validators.uniqueness import Uniqueness
from sandbox.hooks import HookLimits, HookRunner

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
    hook_limits: HookLimits | None = None,
) -> Outcome:
    """Import a file's content (bytes or path) or JSON rows by a schema of `fields`, `settings` and `hooks`.

    Rows of JSON are all objects keyed by field key or all arrays in field order. The rows go into the outcome or,
    as a JSON array, into `result`; a FAILED import may have written a part of it. `remembered` maps headers to the
    field keys that earlier imports gave them. `corrections` are what a person has decided in a review so far, `draft`
    is told of every row, `hook_limits` bound the hooks. Never raises for bad data or a bad schema.
    """
    about = {"id": import_id, "filename": filename or None}
    try:
        with _paused_collector():
            _check_schema(schema)
            plan = Plan.of(schema, about=about, user=user)
            with ExitStack() as stack:
                sheet = opened_sheet(source, plan)
                runner = stack.enter_context(hooks_started(schema, sheet=sheet, limits=hook_limits))
                prepared = prepare(
                    sheet,
                    plan,
                    runner=runner,
                    remembered=remembered or {},
                    corrections=corrections or Corrections(),
                    stack=stack,
                )
                return _Import(prepared, plan, runner, draft).run(result)
    except EmptyFileError as error:
        return failed("EMPTY", str(error))
    except EngineError as error:
        return failed("FATAL", str(error))


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


@dataclass
class _Import:
    """The readings of the prepared rows: a survey, a search for repeated values, then the judgement."""

    prepared: Prepared
    plan: Plan
    runner: HookRunner | None
    draft: Draft | None

    def run(self, result: Writable | None) -> Outcome:
        prepared, mapped = self.prepared, self.prepared.mapped
        checks, surveyed = self._learned(mapped)
        sink: Sink = ListSink() if result is None else JsonSink(result)
        behavior = _INCLUDE if prepared.structural or self._blocks else self.plan.settings.behavior
        findings = self._judged(mapped, checks, surveyed, sink, behavior)
        errors = prepared.structural + (findings.errors if self._blocks else [])
        if not sink.row_count and not self.plan.settings.allows_empty:
            errors.append({"type": "EMPTY", "message": "No row is left to submit."})
            if behavior == "REMOVE_INVALID_ROWS":
                self._judged(mapped, checks, surveyed, sink, _INCLUDE)
        metadata = import_metadata(prepared, self.plan, findings)
        if self.runner is not None and not errors:
            errors = self._finished(self.runner, metadata)
        sink.finish()
        return Outcome(
            status="NEEDS_REVIEW" if errors else "SUCCESSFUL",
            rows=sink.rows,
            errors=errors[:ERRORS_MAX_COUNT],
            metadata=metadata,
            is_written=result is not None,
        )

    @property
    def _blocks(self) -> bool:
        return self.plan.settings.behavior == "BLOCK_SUBMIT"

    def _finished(self, runner: HookRunner, metadata: dict[str, Any]) -> list[ErrorObject]:
        """Ask the beforeFinish callback; of what it asks for only the user counts, the rows being settled."""
        verdict = runner.finish(metadata=metadata)
        if verdict.orders.user is not None:
            metadata["user"] = dict(verdict.orders.user)
        return [{"type": "CANCELLED", "message": verdict.message}] if verdict.cancelled else []

    def _learned(self, mapped: Sequence[FieldColumns]) -> tuple[Checks, Survey]:
        """The checks, once they have seen all rows, and the survey of the data."""
        prepared, settings = self.prepared, self.plan.settings
        sieved = not prepared.source.is_held
        checks = make_checks([each.field for each in mapped], messages=settings.messages, sieved=sieved)
        early: list[Uniqueness] = []
        surveyed = prepared.surveyed
        if surveyed is None:
            learning = {each.field.key for each in mapped if each.kind.learns}
            early = [rule for rule in checks.uniqueness if sieved and learning.isdisjoint(rule.field_keys)]
            surveyed = survey(prepared.table, mapped, settings=settings, searches=early)
        if sieved:
            self._search(mapped, [rule for rule in checks.uniqueness if rule not in early], Uniqueness.sift)
        self._search(mapped, [rule for rule in checks.uniqueness if rule.may_repeat], Uniqueness.count)
        return checks, surveyed

    def _search(
        self, mapped: Sequence[FieldColumns], rules: Sequence[Uniqueness], look: Callable[[Uniqueness, Batch], None]
    ) -> None:
        """Read the columns of these rules once."""
        keys = {key for rule in rules for key in rule.field_keys}
        searched = [each for each in mapped if each.field.key in keys]
        for rows in self.prepared.source.batches() if rules else ():
            batch = batch_of(searched, rows)
            for rule in rules:
                look(rule, batch)
        for rule in rules:
            rule.settle()

    def _judged(
        self, mapped: Sequence[FieldColumns], checks: Checks, surveyed: Survey, sink: Sink, behavior: str
    ) -> Findings:
        fields, table, draft = [each.field for each in mapped], self.prepared.table, self.draft
        maker = RowMaker(fields, keeps_text=behavior == "INCLUDE_INVALID_ROWS_AND_VALUES")
        spare = spare_columns(table, surveyed) if self.plan.settings.passes_unmapped and table.header else None
        findings = Findings()
        if draft is not None:
            draft.begin(layout_of(table, fuzzy=self.plan.settings.fuzzy))
        for rows in self.prepared.source.batches():
            rows.turn()
            batch = batch_of(mapped, rows)
            found, others = judge(batch, fields, checks)
            remark_on(others, fields, findings.remarks)
            if draft is not None:
                draft.add(draft_rows(batch, fields, [*found, *others], first_index=findings.row_count))
            findings.add(found, batch, fields)
            made = maker.rows(batch, found)
            if spare is not None:
                for row, cells in zip(rows.raws, made, strict=True):
                    cells[UNMAPPED_KEY] = unmapped_cells(row or [], spare, len(table.header))
            kept = _without_invalid(made, {each.row for each in found}) if behavior == "REMOVE_INVALID_ROWS" else made
            sink.add(kept)
            if self.runner is not None and not self.prepared.structural:
                self.runner.show(kept)
        return findings


def _without_invalid(rows: list[ResultRow], invalid: set[int]) -> list[ResultRow]:
    return [row for at, row in enumerate(rows) if at not in invalid] if invalid else rows
