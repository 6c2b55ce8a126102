"""Whole imports through `run_import`: files, headers, columns, rules, and outcomes."""

import io

import pytest

from sandbox.engine import run_import
from sandbox.engine.matching import match_columns
from sandbox.engine.reading.sheet import Sheet
from sandbox.engine.reading.text import guess_delimiter
from sandbox.engine.schema import read_fields
from sandbox.engine.table_builder import find_header

NAME = {"key": "name", "label": "Full Name", "alternateMatches": ["Name"]}
EMAIL = {"key": "email", "label": "Email", "type": "email"}
COUNT = {"key": "n", "label": "N", "type": "number"}


def run(source, *fields, hooks=None, **settings):
    data = source.encode() if isinstance(source, str) else source
    schema = {"fields": list(fields) or [NAME, EMAIL, COUNT], "settings": settings, "hooks": hooks or {}}
    return run_import(data, schema=schema, filename="a.csv")


def matched(header, *fields, fuzzy=True):
    return match_columns(header, fields=read_fields({"fields": list(fields)}), fuzzy=fuzzy)


def required(field):
    return {**field, "validators": [{"validate": "required"}]}


# Reading


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(delimiter):
    rows = [["Name", "Email", "N"], ["Doe, Jane; Dr.", "a@b.example", "1"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    outcome = run(text)
    assert outcome.rows == [{"name": "Doe, Jane; Dr.", "email": "a@b.example", "n": 1}]
    assert outcome.metadata["delimiter"] == delimiter


def test_a_sep_line_or_a_setting_names_the_delimiter():
    assert run("sep=;\r\nName;N\r\nAda, Bob;1\r\n").rows == [{"name": "Ada, Bob", "n": 1}]
    assert run("Name;N\nAda,1;2\n", delimiter=";").rows == [{"name": "Ada,1", "n": 2}]


def test_one_column_stays_one_column():
    assert guess_delimiter("email\na@b.example\nc@d.example\n") == ","


def test_quotes_hold_delimiters_newlines_and_doubled_quotes():
    assert run('Name,N\n"Ada ""the first""\nof, hers",1\n').rows == [{"name": 'Ada "the first"\nof, hers', "n": 1}]


def test_an_unclosed_quote_fails_the_import_by_its_row():
    outcome = run('Name,N\nAda,1\n"Bob,2\n' + "x,1\n" * 400_000)
    assert outcome.status == "FAILED"
    assert outcome.errors[0]["message"] == "unclosed quote near row 3"


@pytest.mark.parametrize("data", [b"", b"\n \n,,\n", b"\xef\xbb\xbf"])
def test_an_empty_file_fails(data):
    outcome = run(data)
    assert (outcome.status, outcome.rows, outcome.errors[0]["type"]) == ("FAILED", None, "EMPTY")


@pytest.mark.parametrize("data", [b"PK\x03\x04 this is no workbook", b"\x89PNG\x00\x01\x02", b"\xd0\xcf\x11\xe0rest"])
def test_a_damaged_or_foreign_file_fails(data):
    outcome = run(data)
    assert (outcome.status, outcome.errors[0]["type"]) == ("FAILED", "FATAL")


def test_a_file_larger_than_max_file_size_fails():
    assert run("Name\nAda\n", maxFileSize=5).status == "FAILED"


def test_a_workbook_gives_its_first_visible_sheet():
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    workbook.active.title = "Hidden"
    workbook.active.sheet_state = "hidden"
    sheet = workbook.create_sheet("Data")
    for row in (["Name", "N"], ["Ada", 42.0], ["Bob", None]):
        sheet.append(row)
    stream = io.BytesIO()
    workbook.save(stream)
    outcome = run(stream.getvalue())
    assert outcome.rows == [{"name": "Ada", "n": 42}, {"name": "Bob", "n": None}]
    assert outcome.metadata["sheet"] == "Data"


# Header and columns


def test_the_header_is_found_below_a_title():
    outcome = run("Monthly export\n\nName,Email,N\nAda,a@b.example,1\n")
    assert outcome.rows == [{"name": "Ada", "email": "a@b.example", "n": 1}]


def test_a_header_of_foreign_names_is_found_by_its_shape():
    rows = [["Export", "", ""], ["Kunde", "Ort", "Umsatz"], ["Ada", "Ulm", "5"]]
    found = find_header(Sheet(rows), fields=read_fields({"fields": [NAME, EMAIL, COUNT]}), override=None)
    assert found == (1, ["Kunde", "Ort", "Umsatz"])


def test_a_file_without_a_header_needs_a_review():
    outcome = run("Ada,a@b.example,1\nBob,b@b.example,2\n")
    assert (outcome.status, outcome.errors[0]["type"]) == ("NEEDS_REVIEW", "HEADER_NOT_FOUND")
    assert outcome.rows[0] == {"name": "Ada", "email": "a@b.example", "n": 1}


def test_exact_names_win_over_similar_ones():
    assert matched(["full name", "NAME", "Full Name"], NAME) == {"name": [2]}
    assert matched(["full_name"], NAME) == {"name": [0]}
    assert matched(["full_name"], NAME, fuzzy=False) == {}
    assert matched(["town"], {"key": "city", "alternateMatches": ["town"]}, fuzzy=False) == {"city": [0]}


def test_the_left_one_of_two_equal_headers_is_matched_and_hidden_fields_match_none():
    assert matched(["Name", "Name"], NAME) == {"name": [0]}
    assert matched(["Name"], {**NAME, "hidden": True}) == {}


@pytest.mark.parametrize("field", [required(EMAIL), {**EMAIL, "requireMapping": True}])
def test_a_needed_field_without_a_column_needs_a_review(field):
    outcome = run("Name,Foo\nAda,1\n", NAME, field)
    assert outcome.status == "NEEDS_REVIEW"
    assert [(error["type"], error["fieldKey"]) for error in outcome.errors] == [("FIELD_NOT_MAPPED", "email")]


def test_extra_columns_and_unmapped_optional_fields_do_not_stop_an_import():
    outcome = run("Name,Shoe Size\nAda,39\n")
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "Ada"}])


def test_no_mapped_column_at_all_needs_a_review():
    assert run("Foo,Bar\nx,y\n").status == "NEEDS_REVIEW"


def test_unmapped_columns_are_passed_through_on_request():
    outcome = run("Name,,Phone,Empty\nAda,x,555,\nBob,y,556,,late\n", passThroughUnmappedColumns=True)
    assert outcome.rows == [
        {"name": "Ada", "$unmapped": {"1": "x", "2": "555", "3": ""}},
        {"name": "Bob", "$unmapped": {"1": "y", "2": "556", "3": "", "4": "late"}},
    ]


# Cells


def test_a_blank_cell_breaks_only_required():
    outcome = run("Name,N\n  ,1\n", required(NAME), required(COUNT), invalidDataBehavior="BLOCK_SUBMIT")
    assert [(error["rowIndex"], error["fieldKey"]) for error in outcome.errors] == [(0, "name")]


def test_unique_marks_every_equal_cell_after_parsing_and_skips_empty_ones():
    field = {**COUNT, "validators": [{"validate": "unique", "errorMessage": "twice"}]}
    outcome = run("N,Name\n1,a\n1.0,b\n,c\n,d\n2,e\n", field, NAME)
    assert [(error["rowIndex"], error["message"]) for error in outcome.metadata["errors"]] == [
        (0, "twice"),
        (1, "twice"),
    ]


def test_a_validator_below_error_level_rejects_nothing():
    field = {**NAME, "validators": [{"validate": "required", "level": "warning"}]}
    assert run("Name,N\n,1\n", field, COUNT).rows == [{"name": "", "n": 1}]


# Outcome

BAD = "Email,N\na@x.example,1\nbad,2\n"


@pytest.mark.parametrize(
    ("settings", "status", "rows"),
    [
        ({}, "SUCCESSFUL", [{"email": "a@x.example", "n": 1}]),
        ({"invalidDataBehavior": "REMOVE_INVALID_ROWS"}, "SUCCESSFUL", [{"email": "a@x.example", "n": 1}]),
        (
            {"invalidDataBehavior": "INCLUDE_INVALID_ROWS"},
            "SUCCESSFUL",
            [{"email": "a@x.example", "n": 1}, {"email": None, "n": 2}],
        ),
        (
            {"invalidDataBehavior": "INCLUDE_INVALID_ROWS_AND_VALUES"},
            "SUCCESSFUL",
            [{"email": "a@x.example", "n": 1}, {"email": "bad", "n": 2}],
        ),
        (
            {"invalidDataBehavior": "BLOCK_SUBMIT"},
            "NEEDS_REVIEW",
            [{"email": "a@x.example", "n": 1}, {"email": None, "n": 2}],
        ),
        ({"allowInvalidSubmit": True}, "SUCCESSFUL", [{"email": "a@x.example", "n": 1}, {"email": None, "n": 2}]),
    ],
)
def test_invalid_data_behavior_decides_status_and_rows(settings, status, rows):
    outcome = run(BAD, **settings)
    assert (outcome.status, outcome.rows) == (status, rows)
    assert outcome.metadata["rowsWithError"] == [1]
    assert (outcome.metadata["totalRows"], outcome.metadata["validRows"]) == (2, 1)


def test_block_submit_accepts_valid_data():
    assert run("Email,N\na@x.example,1\n", invalidDataBehavior="BLOCK_SUBMIT").status == "SUCCESSFUL"


def test_a_header_without_rows_is_a_success_unless_empty_submits_are_off():
    assert run("Email,N\n").rows == []
    assert run("Email,N\nbad,1\n").status == "SUCCESSFUL"
    assert run("Email,N\nbad,1\n", allowEmptySubmit=False).status == "NEEDS_REVIEW"


def test_rows_beyond_max_records_or_development_mode_are_left_out():
    text = "Name,N\n" + "".join(f"a,{n}\n" for n in range(150))
    assert len(run(text, maxRecords=3).rows) == 3
    limited = run(text, developmentMode=True)
    assert len(limited.rows) == 100
    assert limited.metadata["warnings"] == ["The rows beyond 100 were left out."]


def test_json_rows_are_read_by_key_or_by_position():
    by_key = run([{"name": "Ada", "n": 1.0, "spare": 1}, {"email": "a@b.example", "name": None}])
    assert by_key.rows == [
        {"name": "Ada", "email": None, "n": 1},
        {"name": "", "email": "a@b.example", "n": None},
    ]
    assert run([["Ada", "a@b.example", 2.5], [True]]).rows == [
        {"name": "Ada", "email": "a@b.example", "n": 2.5},
        {"name": "true", "email": None, "n": None},
    ]
