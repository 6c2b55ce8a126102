"""A check as NDJSON: one object a file as it is done, then one with the summary and the clusters."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import orjson

from runner.check import CheckSummary, FileCheck, Problem
from runner.check.advice import advice_for
from runner.cli.documents import plain
from runner.local.outcome import ExitCode

Fields = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Field definitions by key, by the name of their route."""


class CheckLines:
    """Writes the lines of `--json`."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream: BinaryIO = sys.stdout.buffer if stream is None else stream

    def files(self, checks: Iterable[FileCheck]) -> None:
        """Write a line for each file. Raises BrokenPipeError."""
        for check in checks:
            self._write("file_checked", file_fields(check))
        self._stream.flush()

    def finished(self, summary: CheckSummary, fields: Fields, code: ExitCode) -> None:
        """Write the last line."""
        self._write("check_finished", {**summary_fields(summary, fields), "exit_code": int(code)})
        self._stream.flush()

    def error(self, message: str, hint: str | None, code: ExitCode) -> None:
        """Write the error that ends the command."""
        self._write("error", {"message": message, "hint": hint, "exit_code": int(code)})
        self._stream.flush()

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        line = {"event": event, **fields}
        try:
            text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # a name that UTF-8 cannot hold
            text = orjson.dumps(plain(line), option=orjson.OPT_APPEND_NEWLINE)
        self._stream.write(text)


def file_fields(check: FileCheck) -> dict[str, Any]:
    """Return what is written of one file: no cell's text, which the clusters have."""
    names = ("source", "route", "schema_id", "prediction", "code", "message", "size_bytes", "row_count")
    found = {name: getattr(check, name) for name in (*names, "invalid_row_count", "removed_row_count")}
    return {**found, "judged": check.is_judged, "problems": [_problem(one) for one in check.problems]}


def summary_fields(summary: CheckSummary, fields: Fields) -> dict[str, Any]:
    """Return the summary with its clusters, largest first, each with its advice."""
    found = {one.name: getattr(summary, one.name) for one in dataclasses.fields(summary)}
    clusters = [
        {**dataclasses.asdict(one), "advice": advice_for(one, fields.get(one.route, {}))} for one in summary.clusters
    ]
    counts = {"file_count": summary.file_count, "create_count": summary.create_count}
    return {**counts, **found, "clusters": clusters}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "effect": problem.effect,
        "kind": problem.kind,
        "fields": problem.field_keys,
        "rule": problem.rule,
        "message": problem.message,
        "row_count": problem.row_count,
    }
