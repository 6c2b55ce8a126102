"""Events as NDJSON: one object per line on stdout, and nothing else."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO

import orjson

from runner.check import CheckSummary, FileCheck
from runner.cli.json_output import plain
from runner.config.route_remarks import RouteRemark
from runner.events import BytesUploaded, Event
from runner.local.outcome import ExitCode
from runner.manifest import shown_name
from runner.models import iso
from runner.problems import Problem, advice_for

BYTES_EVERY_S = 1.0
_JSON_KEYS = {"problem_groups": "clusters"}
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def event_name(kind: type) -> str:
    """Return the name of an event in the stream: `ItemMoved` is `item_moved`."""
    return _WORD_START.sub("_", kind.__name__).lower()


class JsonEvents:
    """Writes each event as it comes; upload progress is summed up to about one line per second."""

    def __init__(self, *, now: Callable[[], datetime], stream: BinaryIO | None = None) -> None:
        self._now = now
        self._stream: BinaryIO = sys.stdout.buffer if stream is None else stream
        self._pending_bytes = 0
        self._bytes_written_at: datetime | None = None
        self._closed = False

    def take(self, event: Event) -> None:
        """Write an event; if the reader is gone, nothing more is written and the run continues."""
        if isinstance(event, BytesUploaded):
            self._pending_bytes += event.count
            if self._is_time_for_bytes():
                self._write_bytes()
            return
        self._write_bytes()
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        self._write(event_name(type(event)), fields)

    def error(self, message: str, hint: str | None, code: ExitCode) -> None:
        """Write the error that ends the command."""
        self._write("error", {"message": message, "hint": hint, "exit_code": int(code)})

    def _is_time_for_bytes(self) -> bool:
        last = self._bytes_written_at
        return last is None or (self._now() - last).total_seconds() >= BYTES_EVERY_S

    def _write_bytes(self) -> None:
        if self._pending_bytes:
            count, self._pending_bytes = self._pending_bytes, 0
            self._bytes_written_at = self._now()
            self._write("bytes_uploaded", {"count": count})

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        if self._closed:
            return
        line = {"event": name, "at": iso(self._now()), **{key: plain(value) for key, value in fields.items()}}
        try:
            self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._stream.flush()
        except BrokenPipeError:
            self._closed = True


Fields = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Field definitions by key, by the name of their route."""


class CheckLines:
    """Writes the lines of `check --json`."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream: BinaryIO = sys.stdout.buffer if stream is None else stream

    def files(self, checks: Iterable[FileCheck]) -> None:
        """Write a line for each file. Raises BrokenPipeError."""
        for check in checks:
            self._write("file_checked", file_fields(check))
        self._stream.flush()

    def finished(
        self, summary: CheckSummary, fields: Fields, code: ExitCode, *, remarks: Sequence[RouteRemark] = ()
    ) -> None:
        """Write the last line."""
        told = {"exit_code": int(code), "schema_remarks": [one.as_object() for one in remarks]}
        self._write("check_finished", {**summary_fields(summary, fields), **told})
        self._stream.flush()

    def error(self, message: str, hint: str | None, code: ExitCode) -> None:
        """Write the error that ends the command."""
        self._write("error", {"message": message, "hint": hint, "exit_code": int(code)})
        self._stream.flush()

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        line = {"event": event, **fields}
        try:
            text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # a name that is not valid UTF-8
            text = orjson.dumps(plain(line), option=orjson.OPT_APPEND_NEWLINE)
        self._stream.write(text)


def file_fields(check: FileCheck) -> dict[str, Any]:
    """Return what is written about one file, with its name as in a manifest.

    The text of cells is in the groups of the last line only.
    """
    names = ("source", "route", "schema_id", "prediction", "code", "message", "size_bytes", "row_count")
    found = {name: getattr(check, name) for name in (*names, "invalid_row_count", "removed_row_count", "encoding")}
    found["source"] = shown_name(check.source)
    return {**found, "judged": check.is_judged, "problems": [_problem(one) for one in check.problems]}


def summary_fields(summary: CheckSummary, fields: Fields) -> dict[str, Any]:
    """Return the summary with its groups of problems, `clusters` in JSON, largest first, each with its advice."""
    values = {one.name: getattr(summary, one.name) for one in dataclasses.fields(summary)}
    values["problem_groups"] = [
        {**dataclasses.asdict(one), "advice": advice_for(one, fields.get(one.route, {}))}
        for one in summary.problem_groups
    ]
    counts = {"file_count": summary.file_count, "create_count": summary.create_count}
    return counts | {_JSON_KEYS.get(name, name): value for name, value in values.items()}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "effect": problem.effect,
        "kind": problem.kind,
        "fields": problem.field_keys,
        "rule": problem.rule,
        "message": problem.message,
        "row_count": problem.row_count,
        "code": problem.code,
        "count": problem.count,
        "unit": problem.unit,
        "first_row": problem.place.row if problem.place else None,
    }
