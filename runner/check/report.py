"""The report of a check: one HTML page for people, without scripts and without external content."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.check.predictions import FileCheck, Prediction
from runner.errors import StorageFull
from runner.formatting import counted, lasting, shown, sized
from runner.problems import advice_for
from runner.problems.groups import EFFECT_WORDS, headline_of, is_note, rows_of

if TYPE_CHECKING:
    from runner.check.summary import CheckSummary
    from runner.permissions import Permissions
    from runner.problems import ProblemGroup


FILES_MAX = 5000
"""Rows in the table of files; a page with more is slow to open. `--json` has them all."""

PREDICTION_MEANINGS = {
    Prediction.SUCCEED: "would succeed",
    Prediction.REVIEW: "would need review",
    Prediction.FAIL: "would fail",
    Prediction.REJECT: "rejected locally",
    Prediction.SKIP: "unchanged, skipped",
}

_HERE = Path(__file__).parent


class ReportFiles:
    """Keeps the rows of the table of files in temporary files, in constant memory; a context manager.

    The first file has the rows that need attention, the second one all others.
    """

    def __init__(self) -> None:
        self._lists = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115 - closed by __exit__
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._lists:
            each.close()

    def add(self, check: FileCheck) -> None:
        """Add a file to the table."""
        is_lossless = not check.removed_row_count and check.lost_data is None
        is_fine = check.prediction in (Prediction.SUCCEED, Prediction.SKIP) and is_lossless
        row = {
            "source": shown(check.source),
            "prediction": check.prediction,
            "route": check.route,
            "row_count": check.row_count,
            "removed_row_count": check.removed_row_count,
            "invalid_row_count": check.invalid_row_count,
            "message": shown(check.message or (check.lost_data.sentence if check.lost_data else "")),
        }
        self._lists[is_fine].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows to show: those that need attention first; sorted by name unless there are too many."""
        yield from islice(self._all(), FILES_MAX)

    @property
    def left_out(self) -> int:
        return max(self.count - FILES_MAX, 0)

    def _all(self) -> Iterator[Mapping[str, Any]]:
        for each in self._lists:
            each.seek(0)
            rows: Iterator[Mapping[str, Any]] = map(orjson.loads, each)
            yield from rows if self.left_out else sorted(rows, key=itemgetter("source"))


def write_report(
    path: Path,
    summary: CheckSummary,
    *,
    fields: Mapping[str, Mapping[str, Mapping[str, Any]]],
    files: ReportFiles,
    source: str,
    permissions: Permissions | None = None,
) -> None:
    """Write the page completely or not at all. Raises StorageFull.

    `fields` are the field definitions by route name, then by key. Without `permissions`, the page follows the umask.
    """
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("report.html")
    pieces = template.generate(
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=_csp_hash(style),
        summary=summary,
        source=shown(source),
        share=_share_of(summary),
        problems=[_shown(one, fields) for one in summary.problem_groups if not is_note(one)],
        notes=[_shown(one, fields) for one in summary.problem_groups if is_note(one)],
        files=files,
        predictions=PREDICTION_MEANINGS,
    )
    _write(path, pieces, permissions)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=lambda number: f"{number:,}", lasting=lasting, sized=sized, plural=counted)
    return environment


def _shown(group: ProblemGroup, fields: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    return {
        "effect": group.effect,
        "words": EFFECT_WORDS[group.effect],
        "headline": shown(headline_of(group)),
        "advice": shown(advice_for(group, fields.get(group.route, {}))),
        "file_count": group.file_count,
        "rows": rows_of(group),
        "route": shown(group.route),
        "schema_id": shown(group.schema_id or ""),
        "files": [shown(source) for source in group.files],
        "more": group.file_count - len(group.files),
        "says_more": not set(group.files)
        <= {*(one.source for one in group.cells), *(one.source for one in group.places)},
        "cells": [(shown(cell.source), cell.row, shown(cell.value)) for cell in group.cells],
        "places": [(shown(place.source), place.row, shown(place.sample)) for place in group.places],
    }


def _share_of(summary: CheckSummary) -> list[tuple[Prediction, float, float]]:
    """Return the parts of the bar: (prediction, start, width), in percent of all files."""
    total, start, shares = max(summary.file_count, 1), 0.0, []
    for prediction, count in summary.by_prediction.items():
        width = 100 * count / total
        shares.append((prediction, round(start, 3), round(width, 3)))
        start += width
    return shares


def _csp_hash(style: str) -> str:
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _write(path: Path, pieces: Iterator[str], permissions: Permissions | None) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    opener = None if permissions is None else _opener(permissions)
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "x", encoding="utf-8", opener=opener) as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageFull(f"the report {path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _opener(permissions: Permissions) -> Callable[[str, int], int]:
    return lambda name, flags: permissions.open(Path(name), flags)
