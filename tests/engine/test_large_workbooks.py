"""Workbooks too large for memory are read row by row, with the same outcome."""

import io
import tempfile
from datetime import date, datetime, time, timedelta

import openpyxl
import pytest

from sandbox.engine.reading import package
from sandbox.engine.reading import workbook as large_workbook
from tests.support.engine import run, workbook

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}


@pytest.fixture
def _large(monkeypatch):
    """Every xlsx counts as a large one."""
    monkeypatch.setattr(package, "HELD_XML_MAX_BYTES", 0)


def both(monkeypatch, data, *fields, **settings):
    """The outcome of the usual reader and of the one for large workbooks."""
    usual = run(data, *fields, **settings)
    monkeypatch.setattr(package, "HELD_XML_MAX_BYTES", 0)
    return usual, run(data, *fields, **settings)


def test_a_large_workbook_gives_what_a_small_one_gives(monkeypatch):
    cells = [42.0, 0.1, 1e21, True, None, date(2024, 3, 27), datetime.fromisoformat("2024-03-27T10:30"), time(9, 5)]
    cells += [timedelta(hours=30), "007", 'a "b",\r\nc', "=1/0", "ü\t", "  x  "]
    fields = [{"key": f"c{n}", "label": f"C{n}"} for n in range(len(cells))]
    data = workbook([None], ["junk"], [f"C{n}" for n in range(len(cells))], cells, [], ["", "only"], cells[:3])
    usual, large = both(monkeypatch, data, *fields, passThroughUnmappedColumns=True)
    assert (usual.rows, usual.metadata) == (large.rows, large.metadata)
    assert len(usual.rows) == 3


def test_leading_empty_columns_and_long_rows_keep_their_places(monkeypatch):
    data = workbook([None, None, None], [None, "Name", "Spare"], [None, "Ada", "x", "y"])
    usual, large = both(monkeypatch, data, NAME, headerRowOverride=1, passThroughUnmappedColumns=True)
    assert usual.rows == large.rows == [{"name": "Ada", "$unmapped": {"2": "x", "3": "y"}}]


def test_sheets_are_chosen_alike(monkeypatch):
    book = openpyxl.Workbook()
    hidden = book.active
    hidden.append(["Name"])
    hidden.append(["hidden"])
    book.create_sheet("Empty")
    book.create_sheet("Data").append(["Name"])
    book["Data"].append(["seen"])
    hidden.sheet_state = "hidden"
    stream = io.BytesIO()
    book.save(stream)
    for sheet, name in ((None, "seen"), ("Sheet", "hidden"), ("Nowhere", "seen")):
        usual, large = both(monkeypatch, stream.getvalue(), NAME, sheetOverride=sheet)
        assert usual.rows == large.rows == [{"name": name}]
        assert usual.metadata == large.metadata
        monkeypatch.undo()


@pytest.mark.usefixtures("_large")
def test_an_empty_large_workbook_is_empty():
    assert run(workbook(), NAME).errors[0]["type"] == "EMPTY"


@pytest.mark.usefixtures("_large")
def test_a_damaged_large_workbook_fails():
    assert run(workbook(sheet_xml="<sheetData><row"), NAME).errors[0]["message"].startswith("The workbook is damaged")


@pytest.mark.usefixtures("_large")
def test_a_large_workbook_has_limits_too(monkeypatch):
    monkeypatch.setattr(large_workbook, "STREAMED_CELLS_MAX_COUNT", 3)
    assert "spans more than" in run(workbook(["Name", "N"], ["a", 1]), NAME, N).errors[0]["message"]
    monkeypatch.setattr(package, "STREAMED_MAX_BYTES", 1000)
    assert "larger than" in run(workbook(["Name"], ["Ada"]), NAME).errors[0]["message"]


@pytest.mark.usefixtures("_large")
def test_a_long_cell_fails_in_a_large_workbook(monkeypatch):
    monkeypatch.setattr(large_workbook, "CELL_MAX_CHARS", 5)
    assert "longer than" in run(workbook(["Name"], ["too long"]), NAME).errors[0]["message"]


@pytest.mark.usefixtures("_large")
def test_no_file_of_a_large_workbook_is_ever_seen_on_disk(tmp_path, monkeypatch):
    seen = []
    texts = large_workbook._texts
    monkeypatch.setattr(large_workbook, "_texts", lambda cells: seen.extend(tmp_path.iterdir()) or texts(cells))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(workbook(["Name"], ["Ada"]), NAME).rows == [{"name": "Ada"}]
    assert [*seen, *tmp_path.iterdir()] == []
