"""The report of a check: one HTML page for people, without scripts and without external content."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from runner.check.predictions import FileCheck, Prediction
from runner.errors import StorageFull
from runner.formatting import shown
from runner.problems.groups import EFFECT_WORDS, is_note
from runner.problems.page import FILES_MAX, FileRow, group_shown, page, shares

if TYPE_CHECKING:
    from runner.check.summary import CheckSummary
    from runner.permissions import Permissions
    from runner.problems import ProblemGroup

PREDICTION_MEANINGS = {
    Prediction.SUCCEED: "would succeed",
    Prediction.REVIEW: "would need review",
    Prediction.FAIL: "would fail",
    Prediction.REJECT: "rejected locally",
    Prediction.SKIP: "unchanged, skipped",
}

_TEMPLATE = Path(__file__).with_name("report.html")


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
            "message": shown(check.message or (check.lost_data.sentence if check.lost_data else "")),
            "numbers": [
                number or None for number in (check.row_count, check.invalid_row_count, check.removed_row_count)
            ],
        }
        self._lists[is_fine].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1

    def rows(self) -> Iterator[FileRow]:
        """Yield the rows to show: those that need attention first; sorted by name unless there are too many."""
        for row in islice(self._all(), FILES_MAX):
            prediction = row["prediction"]
            yield FileRow(
                look=prediction,
                state=PREDICTION_MEANINGS[Prediction(prediction)],
                source=row["source"],
                note=row["message"],
                numbers=tuple(row["numbers"]),
            )

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
    pieces = page(
        _TEMPLATE,
        summary=summary,
        source=shown(source),
        shares=shares(summary.by_prediction),
        figures=[(one, PREDICTION_MEANINGS[one], count) for one, count in summary.by_prediction.items()],
        problems=[_shown(one, fields) for one in summary.problem_groups if not is_note(one)],
        notes=[_shown(one, fields) for one in summary.problem_groups if is_note(one)],
        files=files,
    )
    _write(path, pieces, permissions)


def _shown(group: ProblemGroup, fields: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    schema = f", schema {group.schema_id}" if group.schema_id and group.schema_id != group.route else ""
    where = f"route {group.route}{schema}" if group.route else ""
    return group_shown(group, fields.get(group.route, {}), words=EFFECT_WORDS[group.effect], where=where)


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
