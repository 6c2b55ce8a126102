"""Rules of reading: delimiters, encodings, sheets, workbooks, limits."""

import json
import random

import pytest

from sandbox.engine.reading import package
from sandbox.engine.reading import text as text_reading
from sandbox.engine.reading.cells import json_text, number_text
from tests.support.engine import run, workbook

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_is_read_in_the_encoding_it_is_in(encoding):
    text = "Name;N\n" + "Jürgen Groß aus Köln, schöne Grüße für Ärzte;1\n" * 5
    outcome = run(text.encode(encoding), NAME, N)
    assert outcome.rows[0] == {"name": "Jürgen Groß aus Köln, schöne Grüße für Ärzte", "n": 1}


def test_a_legacy_code_page_is_guessed_from_the_text():
    text = "Name;N\n" + "Иван Петрович Сидоров из города Москвы;1\n" * 20
    assert run(text.encode("cp1251"), NAME, N).rows[0]["name"].startswith("Иван Петрович")


def test_an_encoding_that_shows_late_is_found_too():
    text = "Name;N\n" + "plain;1\n" * 20_000 + "Jürgen Groß;2\n"
    assert run(text.encode("cp1252"), NAME, N).rows[-1] == {"name": "Jürgen Groß", "n": 2}


def test_utf8_that_breaks_late_is_replaced_and_counted():
    data = "Name,N\nJürgen,1\n".encode() + b"plain,1\n" * 20_000 + b"J\xfcrgen,2\nGro\xdf,3\n"
    outcome = run(data, NAME, N)
    assert outcome.rows[-2:] == [{"name": "J\ufffdrgen", "n": 2}, {"name": "Gro\ufffd", "n": 3}]
    assert outcome.metadata["warnings"] == ["2 byte sequences are not valid UTF-8 and were replaced."]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_ends_a_row(end):
    assert run(end.join(["Name,N", "Ada,1", "Bob,2", ""]), NAME, N).rows[1] == {"name": "Bob", "n": 2}


def test_short_rows_are_filled_up_and_blank_ones_dropped():
    assert run("Name,N\nAda\n,,\n \n\nBob,2,x,y\n", NAME, N).rows == [
        {"name": "Ada", "n": None},
        {"name": "Bob", "n": 2},
    ]


def test_the_header_row_override_counts_physical_rows_and_blank_ones_too():
    text = "junk\n\nName,N\nAda,1\n"
    assert run(text, NAME, N, headerRowOverride=2).rows == [{"name": "Ada", "n": 1}]
    assert run(text, NAME, N, matchingStep={"headerRowOverride": 2}).metadata["headerRow"] == 2
    assert run(text, NAME, N, headerRowOverride=40).errors[0]["type"] == "HEADER_NOT_FOUND"


def test_backslashes_escape_nothing():
    assert run('Name,N\n"a\\",1\n', NAME, N).rows == [{"name": "a\\", "n": 1}]


def test_a_nul_in_a_text_is_no_harm():
    text = "Name,N\n" + "Ada\0x,1\n" + "Bob,2\n" * 20
    assert run(text, NAME, N).rows[0]["name"] == "Ada\0x"


def test_a_row_wider_than_any_table_fails():
    assert "columns" in run("Name" + "," * 20_000 + "\n", NAME).errors[0]["message"]


def test_a_line_longer_than_any_table_s_fails(monkeypatch):
    monkeypatch.setattr(text_reading, "LINE_MAX_BYTES", 2 << 20)
    assert "line is longer" in run("Name,N\n" + "x" * (4 << 20) + ",1\n", NAME, N).errors[0]["message"]


def test_a_quote_that_never_closes_fails_in_a_large_file_without_reading_it_all(tmp_path, monkeypatch):
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 1000)
    path = tmp_path / "a.csv"
    path.write_text("Name,N\n" + "Ada,1\n" * 7000 + '"open,1\n' + "x,1\n" * 400_000)
    assert run(path, NAME, N).errors == [{"type": "FATAL", "message": "unclosed quote near row 7002"}]


def test_a_file_that_is_gone_fails(tmp_path):
    assert run(tmp_path / "none.csv", NAME).status == "FAILED"


def test_rows_beyond_max_records_are_not_even_read(tmp_path, monkeypatch):
    text = "Name,N\n" + "Ada,1\n" * 3
    outcome = run(text, NAME, N, maxRecords=3)
    assert (len(outcome.rows), outcome.metadata["warnings"]) == (3, [])
    outcome = run(text, NAME, N, maxRecords=2)
    assert (outcome.metadata["totalRows"], outcome.metadata["warnings"]) == (2, ["The rows beyond 2 were left out."])
    assert run(text, NAME, N, maxRecords=0).rows == []


# Workbooks


def test_cells_of_a_workbook_become_texts():
    from datetime import date, datetime, time

    cells = [42.0, 0.5, True, None, date(2024, 3, 27), datetime.fromisoformat("2024-03-27T10:30"), time(9, 5), "007"]
    fields = [{"key": f"c{n}", "label": f"C{n}"} for n in range(8)]
    outcome = run(workbook([f"C{n}" for n in range(8)], cells), *fields)
    texts = ["42", "0.5", "TRUE", "", "2024-03-27", "2024-03-27T10:30:00", "09:05:00", "007"]
    assert list(outcome.rows[0].values()) == texts


def test_leading_empty_rows_and_columns_keep_their_numbers():
    data = workbook([None, None, None], [None, "Name", "Spare"], [None, "Ada", "x"])
    outcome = run(data, NAME, headerRowOverride=1, passThroughUnmappedColumns=True)
    assert outcome.rows == [{"name": "Ada", "$unmapped": {"2": "x"}}]


def test_the_sheet_override_names_a_sheet_and_a_missing_one_is_a_warning():
    import io

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Name"])
    book.active.append(["first"])
    other = book.create_sheet("Other")
    other.append(["Name"])
    other.append(["second"])
    stream = io.BytesIO()
    book.save(stream)
    assert run(stream.getvalue(), NAME).rows == [{"name": "first"}]
    assert run(stream.getvalue(), NAME, sheetOverride="Other").rows == [{"name": "second"}]
    missing = run(stream.getvalue(), NAME, uploadStep={"sheetOverride": "None"})
    assert missing.rows == [{"name": "first"}]
    assert len(missing.metadata["warnings"]) == 1


def test_a_workbook_without_cells_is_empty():
    assert run(workbook(), NAME).errors[0]["type"] == "EMPTY"


def test_content_decides_and_not_the_name():
    from sandbox.engine import run_import

    schema = {"fields": [NAME]}
    assert run_import(b"Name\nAda\n", schema=schema, filename="a.xlsx").rows == [{"name": "Ada"}]
    assert run_import(workbook(["Name"], ["Ada"]), schema=schema, filename="a.csv").rows == [{"name": "Ada"}]


def test_a_workbook_larger_than_the_limit_fails(monkeypatch):
    monkeypatch.setattr(package, "UNPACKED_MAX_BYTES", 1000)
    assert "larger than" in run(workbook(["Name"], ["Ada"]), NAME).errors[0]["message"]


# JSON


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (1.0, "1"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (0.000012, "0.000012"),
        (10**25, "1e+25"),
        (2**53 + 1, "9007199254740992"),
        (12345678901234567890, "12345678901234567000"),
        (1.2345678901234568e20, "123456789012345680000"),
        (-(10**400), "-Infinity"),
        (-0.0, "0"),
        ([1, [2, None], []], "1,2,,"),
        ({"a": 1}, "[object Object]"),
        ("x", "x"),
    ],
)
def test_a_json_value_is_written_as_javascript_writes_it(value, text):
    assert json_text(value) == text


def test_numbers_keep_their_value_through_their_text():
    rng = random.Random(1)
    for _ in range(2000):
        value = rng.uniform(-1, 1) * 10 ** rng.randint(-12, 24)
        assert float(number_text(value)) == value


def test_deeply_nested_json_is_no_recursion():
    deep = json.loads("[" * 900 + "1" + "]" * 900)
    assert run([{"name": deep}], NAME).rows == [{"name": "1"}]


def test_json_rows_that_are_no_rows_fail():
    assert run([1, 2], NAME).status == "FAILED"


def test_blank_json_rows_count():
    assert run([{"name": ""}, {"name": "x"}], NAME).rows == [{"name": ""}, {"name": "x"}]
