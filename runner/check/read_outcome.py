"""Reads an engine's outcome: the prediction for a file and its problems, with a few samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.check.predictions import FileCheck, Prediction
from runner.formatting import shown
from runner.problems.header_names import fitting_delimiter, fitting_encoding, likely_headers
from runner.problems.problem import Cell, Effect, Place, Problem, label_of
from runner.problems.rules import RuleFinder

if TYPE_CHECKING:
    from runner.check.engine import Outcome
    from runner.check.schemas import BoundRoute
    from runner.config.routes import Route

SAMPLE_CELLS = 3
VALUES_KEPT = 8
VALUE_MAX_CHARS = 80
UNJUDGED_MARKS = {
    "(the sandbox extra)": "check_library",
    "'.[hooks]'": "check_library",
    "Hooks may not do this here": "check_network",
}
"""Texts in the engine's messages about something that it lacks and the vendor has, with their codes."""

_NO_KEYS = "keys_unknown"
"""The warning that no key of JSON rows is a field: that every required value is missing only follows from it."""

_DISTINCT_MAX = 1000
_COLUMNS_MAX = 20
_EFFECTS = {
    "REMOVE_INVALID_ROWS": Effect.ROWS_REMOVED,
    "INCLUDE_INVALID_ROWS": Effect.VALUES_EMPTIED,
    "INCLUDE_INVALID_ROWS_AND_VALUES": Effect.VALUES_KEPT,
}
_PREDICTIONS = {"SUCCESSFUL": Prediction.SUCCEED, "NEEDS_REVIEW": Prediction.REVIEW}


class OutcomeReader:
    """Reads the outcomes of one route's imports; without `samples`, it keeps no text of cells."""

    def __init__(self, bound: BoundRoute, messages: Mapping[str, str], *, samples: bool) -> None:
        self._bound = bound
        self._fields = bound.fields
        self._rules = RuleFinder(bound.schema or {}, messages)
        self._samples = samples
        self._passes_unmapped = bool(((bound.schema or {}).get("settings") or {}).get("passThroughUnmappedColumns"))

    def read(self, outcome: Outcome, *, source: str, size_bytes: int, tag: str | None = None) -> FileCheck:
        """Return the check of one file."""
        route = self._bound.route
        about = about_file(source, size_bytes, route, tag=tag)
        prediction = _PREDICTIONS.get(outcome.status, Prediction.FAIL)
        if prediction is Prediction.FAIL:
            message = str(outcome.errors[0].get("message", "")) if outcome.errors else "no message was given"
            return failure(_failure_code(message), message, about=about)
        invalid = int(outcome.metadata.get("invalidRows") or 0)
        removes = prediction is Prediction.SUCCEED and self._bound.behavior == "REMOVE_INVALID_ROWS"
        problems = tuple(self._problems(outcome, prediction, source))
        first = next((one for one in problems if one.effect is Effect.REVIEW), None)
        return FileCheck(
            **about,
            prediction=prediction,
            code=first.kind if first else None,
            message=_sentence(first) if first else None,
            row_count=int(outcome.metadata.get("totalRows") or 0),
            invalid_row_count=invalid,
            removed_row_count=invalid if removes else 0,
            problems=problems,
            encoding=outcome.metadata.get("encoding"),
        )

    def _problems(self, outcome: Outcome, prediction: Prediction, source: str) -> Iterator[Problem]:
        metadata = outcome.metadata
        structural = [error for error in outcome.errors if error.get("type") != "VALIDATION"]
        not_mapped = [error for error in structural if error.get("type") == "FIELD_NOT_MAPPED"]
        yield from (_structural_problem(error) for error in structural if error not in not_mapped)
        is_other_sheet = any(
            error.get("type") == "SHEET_NOT_CHOSEN" and metadata.get("sheet") not in _sheets_of(error)
            for error in structural
        )
        unmapped = self._not_mapped(not_mapped, metadata) if not_mapped and not is_other_sheet else None
        if unmapped:
            yield unmapped
        yield from self._warnings(metadata, source)
        if is_other_sheet or any(error.get("type") == "HEADER_NOT_FOUND" for error in structural):
            return
        in_review = prediction is Prediction.REVIEW
        effect = Effect.REVIEW if in_review else _EFFECTS.get(self._bound.behavior, Effect.ROWS_REMOVED)
        yield from self._cells(metadata, effect, source)
        if not self._passes_unmapped:
            yield from self._ignored_columns(
                metadata, {header for _, header in unmapped.headers} if unmapped else set()
            )

    def _warnings(self, metadata: Mapping[str, Any], source: str) -> Iterator[Problem]:
        """Yield what the engine warns of; an engine that only has sentences is heard, too."""
        details = metadata.get("warningDetails")
        if details is None:
            details = [{"message": sentence} for sentence in metadata.get("warnings") or ()]
        for detail in details:
            unit, count = str(detail.get("unit") or "row"), int(detail.get("count") or 0)
            key, row = detail.get("fieldKey"), detail.get("firstRow")
            sample = str(detail.get("sample") or "") if self._samples else ""
            yield Problem(
                effect=Effect.DATA_LOST if detail.get("level") == "loss" else Effect.NOTE,
                kind="warning",
                message=str(detail.get("message") or ""),
                field_keys=(str(key),) if key else (),
                row_count=count if unit == "row" and row else 0,
                code=str(detail.get("code") or ""),
                count=count,
                unit=unit,
                place=Place(source=source, row=int(row), sample=sample) if row else None,
            )

    def _not_mapped(self, errors: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> Problem:
        """Return one problem for all fields without a column, because one change fixes them all."""
        keys = tuple(str(error["fieldKey"]) for error in errors if error.get("fieldKey"))
        labels = tuple(map(self._label, keys))
        missing = [self._fields[key] for key in keys if key in self._fields] or list(self._fields.values())
        named = ", ".join(map(shown, labels))
        pairs = [(label_of(field), header) for field, header in likely_headers(missing, _unused_headers(metadata))]
        return Problem(
            effect=Effect.REVIEW,
            kind="not_mapped",
            message=f"No column was found for {named}." if named else "No column belongs to any field.",
            field_keys=keys,
            labels=labels,
            row_count=int(metadata.get("totalRows") or 0),
            headers=tuple(pairs),
            delimiter=self._fitting_delimiter(metadata),
            encoding=self._fitting_encoding(metadata),
        )

    def _fitting_delimiter(self, metadata: Mapping[str, Any]) -> str:
        header: Sequence[str] = metadata.get("rawHeaders") or ()
        return fitting_delimiter(list(self._fields.values()), header, str(metadata.get("delimiter") or ""))

    def _fitting_encoding(self, metadata: Mapping[str, Any]) -> str:
        encoding = str(metadata.get("encoding") or "")
        header: Sequence[str] = metadata.get("rawHeaders") or ()
        return fitting_encoding(list(self._fields.values()), header, encoding) if encoding else ""

    def _cells(self, metadata: Mapping[str, Any], effect: Effect, source: str) -> Iterator[Problem]:
        errors: Sequence[Mapping[str, Any]] = metadata.get("errors") or ()
        is_capped = int(metadata.get("errorCount") or 0) > len(errors)
        is_without_keys = any(one.get("code") == _NO_KEYS for one in metadata.get("warningDetails") or ())
        groups: dict[tuple[str, str], _Group] = {}
        for error in errors:
            key = (str(error.get("fieldKey")), str(error.get("message")))
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group()
            group.add(int(error.get("rowIndex") or 0), str(error.get("value") or ""))
        for (field_key, message), group in groups.items():
            rule = self._rules.rule_of(field_key, message)
            if rule == "required" and is_without_keys:
                continue
            yield Problem(
                effect=effect,
                kind="cell",
                message=message,
                field_keys=(field_key,),
                labels=(self._label(field_key),),
                rule=rule,
                row_count=group.row_count,
                cells=group.cells(source) if self._samples else (),
                values=tuple(group.values.most_common(VALUES_KEPT)) if self._samples else (),
                is_capped=is_capped,
            )

    def _ignored_columns(self, metadata: Mapping[str, Any], spoken_for: set[str]) -> Iterator[Problem]:
        """Yield a problem for each column that no field takes: its cells are lost."""
        taken = metadata.get("fields") or {}
        delimiter = self._fitting_delimiter(metadata)
        open_fields = [field for key, field in self._fields.items() if key not in taken and not field.get("hidden")]
        for header in [name for name in dict.fromkeys(_unused_headers(metadata)) if name not in spoken_for][
            :_COLUMNS_MAX
        ]:
            found = likely_headers(open_fields, [header])
            yield Problem(
                effect=Effect.NOTE,
                kind="column_ignored",
                message=f'No field takes the column "{shown(header)}": its cells are left out.',
                labels=(header,),
                row_count=int(metadata.get("totalRows") or 0),
                headers=tuple((label_of(field), name) for field, name in found),
                delimiter=delimiter,
            )

    def _label(self, key: str) -> str:
        return label_of(self._fields.get(key, {"key": key}))


@dataclass(slots=True)
class _Group:
    """The errors of one field with one message."""

    row_count: int = 0
    last_row: int = -1
    first: list[tuple[int, str]] = field(default_factory=list)
    values: Counter[str] = field(default_factory=Counter)

    def add(self, row: int, value: str) -> None:
        self.row_count += row != self.last_row
        self.last_row = row
        text = cut(value)
        if text not in self.values and len(self.first) < SAMPLE_CELLS:
            self.first.append((row, text))
        if text in self.values or len(self.values) < _DISTINCT_MAX:
            self.values[text] += 1

    def cells(self, source: str) -> tuple[Cell, ...]:
        return tuple(Cell(source=source, row=row + 1, value=value) for row, value in self.first)


def _sentence(problem: Problem) -> str:
    return f"{problem.labels[0]}: {problem.message}" if problem.kind == "cell" else problem.message


def about_file(source: str, size_bytes: int, route: Route | None, *, tag: str | None = None) -> dict[str, Any]:
    """Return the fields that every file check has, whatever its prediction."""
    found = {"source": source, "size_bytes": size_bytes, "tag": tag}
    return {**found, "route": route.name, "schema_id": route.schema_id} if route else found


def failure(code: str, message: str, *, about: Mapping[str, Any]) -> FileCheck:
    """Return the check of a file that would fail, or that the check could not judge."""
    problem = Problem(effect=Effect.FAILS, kind=code, message=message)
    return FileCheck(**about, prediction=Prediction.FAIL, code=code, message=message, problems=(problem,))


def rejection(code: str, message: str, *, about: Mapping[str, Any]) -> FileCheck:
    """Return the check of a file that a run rejects before any create."""
    problem = Problem(effect=Effect.REJECTED, kind=code, message=message)
    return FileCheck(**about, prediction=Prediction.REJECT, code=code, message=message, problems=(problem,))


def cut(text: str) -> str:
    return text if len(text) <= VALUE_MAX_CHARS else text[: VALUE_MAX_CHARS - 1] + "…"


def _failure_code(message: str) -> str:
    return next((code for mark, code in UNJUDGED_MARKS.items() if mark in message), "import_failed")


def _structural_problem(error: Mapping[str, Any]) -> Problem:
    kind = str(error.get("type") or "review").lower()
    labels = tuple(_sheets_of(error))
    return Problem(effect=Effect.REVIEW, kind=kind, message=str(error.get("message") or kind), labels=labels)


def _sheets_of(error: Mapping[str, Any]) -> list[str]:
    """Return the sheets that have most names of fields, if an error is about several sheets with data."""
    return [str(name) for name in error.get("sheets") or (() if error.get("sheet") is None else (error["sheet"],))]


def _unused_headers(metadata: Mapping[str, Any]) -> list[str]:
    """Return the named columns that no field took."""
    taken: set[int] = set()
    for mapping in (metadata.get("fields") or {}).values():
        taken.update(mapping.get("fileHeaderIndexes") or [mapping.get("fileHeaderIndex")])
    headers: Sequence[str] = metadata.get("rawHeaders") or ()
    return [cut(name) for at, name in enumerate(headers) if name and at not in taken]
