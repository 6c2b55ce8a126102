"""How a check is shown: on a terminal, as lines of JSON, as a page, and while it runs."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from runner.check import CheckSummary, CheckTotals, FileCheck, Prediction
from runner.check import report as reporting
from runner.check.report import ReportFiles, write_report
from runner.check.sandbox_engine import LIBRARIES, sandbox_engine
from runner.cli.app import BARE
from runner.cli.check_progress import CheckProgress, showing_check
from runner.cli.check_summary import LISTED_MOST, CheckReport, print_check
from runner.cli.ndjson import CheckLines
from runner.config.units import Rate
from runner.errors import StorageFull
from runner.local.outcome import ExitCode
from runner.permissions import Permissions
from runner.problems import Cell, Effect, Place, Problem
from runner.problems.page import csp_hash

EVIL = 'evil\x1b[31m\u202e<b>"&.csv'


def totals(count: int = 1) -> CheckTotals:
    made = CheckTotals()
    for number in range(count):
        cell = Cell(source=EVIL, row=3, value="<script>\x1b]0;x\x07")
        problem = Problem(
            effect=Effect.ROWS_REMOVED, kind=f"kind{number}", message="wrong", labels=("L",), row_count=2, cells=(cell,)
        )
        made.take(
            FileCheck(
                source=EVIL, prediction=Prediction.SUCCEED, route="r", row_count=9, removed_row_count=2,
                problems=(problem,),
            )
        )  # fmt: skip
    return made


def summary(count: int = 1, *, interrupted: bool = False) -> CheckSummary:
    return totals(count).summary(quota=Rate(20, 60.0), interrupted=interrupted)


def shown(found: CheckSummary) -> str:
    stream = io.StringIO()
    print_check(Console(file=stream, markup=False), CheckReport(summary=found, fields={}, elapsed_s=1.0))
    return stream.getvalue()


def test_nothing_in_a_name_or_a_cell_moves_the_cursor() -> None:
    text = shown(summary())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "2 rows of 1 file that would succeed would be left out" in text


PLACED = Problem(
    effect=Effect.DATA_LOST, kind="warning", message="Rows are wider.", code="rows_wider", row_count=3, count=3,
    place=Place(source=EVIL, row=4, sample="<b>\u202e"),
)  # fmt: skip


def with_a_warning() -> CheckSummary:
    made = CheckTotals()
    made.take(FileCheck(source=EVIL, prediction=Prediction.SUCCEED, route="r", row_count=9, problems=(PLACED,)))
    return made.summary(quota=Rate(20, 60.0))


def test_a_warning_of_lost_data_is_a_problem_with_its_row_and_sample() -> None:
    text = " ".join(shown(with_a_warning()).split())
    assert "1 file with rows or cells that would be lost or shifted" in text
    assert "1 problem, largest first 1 data lost or shifted 1 file, 3 rows" in text
    assert 'row 4 of the file: "<b>\\u202e"' in text
    assert "Quote cells that contain the delimiter" in text


def test_lines_and_page_tell_of_a_warning(tmp_path: Path) -> None:
    found = with_a_warning()
    stream = io.BytesIO()
    CheckLines(stream).finished(found, {}, ExitCode.OK)
    last = json.loads(stream.getvalue())
    (cluster,) = last["clusters"]
    assert (cluster["code"], cluster["effect"], cluster["places"][0]["row"]) == ("rows_wider", "data_lost", 4)
    assert last["lost_data_file_count"] == 1
    page = tmp_path / "page.html"
    with ReportFiles() as files:
        write_report(page, found, fields={}, files=files, source="in")
    text = page.read_text(encoding="utf-8")
    assert "row 4 of the file" in text
    assert "&lt;b&gt;" in text
    assert "No problems" not in text


def test_a_long_list_of_problems_is_cut_and_says_so() -> None:
    assert "… and 5 more" in shown(summary(LISTED_MOST + 5))


def test_an_interrupted_check_says_that_there_is_more() -> None:
    assert "only the files checked so far" in shown(summary(interrupted=True))


def test_lines_hold_counts_and_reasons_and_the_last_one_the_clusters() -> None:
    stream = io.BytesIO()
    lines = CheckLines(stream)
    lines.files([FileCheck(source="bad\udcff.csv", prediction=Prediction.FAIL, code="check_timeout", message="slow")])
    lines.finished(summary(), {}, ExitCode.OK)
    first, last = map(json.loads, stream.getvalue().splitlines())
    assert (first["source"], first["prediction"], first["judged"]) == ("bad\\xff.csv", "fail", False)
    assert last["clusters"][0]["advice"]
    assert (last["removed_row_count"], last["exit_code"]) == (2, 0)


def write(path: Path, found: CheckSummary, *checks: FileCheck) -> str:
    with ReportFiles() as files:
        for check in checks:
            files.add(check)
        write_report(path, found, fields={}, files=files, source=EVIL)
    return path.read_text(encoding="utf-8")


def test_the_page_escapes_what_it_shows_and_allows_its_own_style_alone(tmp_path: Path) -> None:
    page = write(tmp_path / "r.html", summary(), FileCheck(source=EVIL, prediction=Prediction.FAIL, message="<i>"))
    assert "<script" not in page
    assert "<b>&#34;" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy.group(1).startswith("default-src 'none'; style-src 'sha256-")
    assert csp_hash(re.search(r"<style>(.*)</style>", page, re.DOTALL).group(1)) in policy.group(1)
    assert " style=" not in page


def test_every_class_of_the_page_has_a_style(tmp_path: Path) -> None:
    made = totals()
    made.take(FileCheck(source="b", prediction=Prediction.REVIEW, route="r", problems=(PLACED,)))
    page = write(tmp_path / "r.html", made.summary(quota=Rate(20, 60.0)), FileCheck(source="b", prediction="review"))
    style = page.partition("<style>")[2].partition("</style>")[0]
    used = {name for found in re.findall(r'class="([^"]*)"', page) for name in found.split()}
    assert {"groups", "files", "cells", "bar"} <= used
    assert not {name for name in used if f".{name}" not in style}


def test_the_table_of_files_begins_with_those_that_need_somebody_and_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "FILES_MAX", 2)
    fine = [FileCheck(source=f"fine{n}", prediction=Prediction.SUCCEED) for n in range(3)]
    page = write(tmp_path / "r.html", summary(), *fine, FileCheck(source="broken", prediction=Prediction.FAIL))
    assert page.index("broken") < page.index("fine0")
    assert "fine1" not in page
    assert "Not shown: 2 more files" in page


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "dir.html").mkdir()
    with pytest.raises(StorageFull), ReportFiles() as files:
        write_report(tmp_path / "dir.html", summary(), fields={}, files=files, source="")
    assert [path.name for path in tmp_path.iterdir()] == ["dir.html"]


async def test_progress_is_a_line_of_counts() -> None:
    progress = CheckProgress(totals(3))
    progress.listed(10)
    assert "3 of 10 files so far; succeed 3" in progress.line()
    stream = io.StringIO()
    async with showing_check(Console(file=stream, force_terminal=True, width=120), totals(2), is_shown=True) as live:
        live.listed(2)
    assert "2 of 2 files" in stream.getvalue()


def test_the_libraries_that_may_be_missing_are_those_of_the_extra() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    extra = re.search(r"^sandbox = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert extra is not None
    assert {package for package, _ in LIBRARIES.values()} == set(re.findall(r'"([a-z-]+)>=', extra.group(1)))
    assert sandbox_engine().missing == ()


def test_check_may_stand_without_its_value() -> None:
    assert BARE["--check"] == "--check=skip"


def test_a_link_with_the_name_of_the_unfinished_page_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / f".r.html.{os.getpid()}.tmp").symlink_to(other)
    write(tmp_path / "r.html", summary())
    assert other.read_text() == "precious"


def test_the_page_has_the_mode_of_results(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with ReportFiles() as files:
            write_report(
                tmp_path / "r.html", summary(), fields={}, files=files, source="", permissions=Permissions(0o640)
            )
    finally:
        os.umask(before)
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o640
