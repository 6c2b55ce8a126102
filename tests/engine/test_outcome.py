"""Rules of the outcome: the shape of rows, errors and metadata, and the status."""

import io
import json

import pytest

from sandbox.creation import parse_create
from sandbox.engine import run_import
from sandbox.engine.cell_errors import ERRORS_MAX_COUNT
from tests.support.engine import marks, run

NAME = {"key": "name", "label": "Name"}
EMAIL = {"key": "email", "label": "Email", "type": "email"}
N = {"key": "n", "label": "N", "type": "number"}
REQUIRED = {"validate": "required"}
BAD = "Name,Email,N\nAda,a@x.example,1\nBob,bad,x\n"


def test_a_row_has_the_mapped_fields_in_the_schema_s_order_and_the_unmapped_last():
    (row,) = run("N,Extra,Name\n1,x,Ada\n", NAME, EMAIL, N, passThroughUnmappedColumns=True).rows
    assert list(row.items()) == [("name", "Ada"), ("n", 1), ("$unmapped", {"1": "x"})]


def test_an_empty_cell_has_its_type_s_empty_value():
    fields = [
        NAME,
        N,
        {"key": "c", "label": "C", "type": "checkbox"},
        {"key": "m", "label": "M", "type": "multi-select"},
    ]
    assert run("Name,N,C,M,x\n,,,,y\n", *fields).rows == [{"name": "", "n": None, "c": False, "m": []}]


def test_unmapped_columns_without_anything_are_dropped_and_the_others_keep_their_numbers():
    outcome = run("Name,,,Late,\nAda,,x,,\nBob\nEve,,,,,over\n", NAME, passThroughUnmappedColumns=True)
    assert [row["$unmapped"] for row in outcome.rows] == [
        {"2": "x", "3": ""},
        {"2": "", "3": ""},
        {"2": "", "3": "", "5": "over"},
    ]


@pytest.mark.parametrize(
    ("behavior", "status", "rows"),
    [
        ("REMOVE_INVALID_ROWS", "SUCCESSFUL", ["a@x.example"]),
        ("INCLUDE_INVALID_ROWS", "SUCCESSFUL", ["a@x.example", None]),
        ("INCLUDE_INVALID_ROWS_AND_VALUES", "SUCCESSFUL", ["a@x.example", "bad"]),
        ("BLOCK_SUBMIT", "NEEDS_REVIEW", ["a@x.example", None]),
    ],
)
def test_invalid_data_behavior_decides_what_happens_to_invalid_rows(behavior, status, rows):
    outcome = run(BAD, NAME, EMAIL, N, invalidDataBehavior=behavior, allowInvalidSubmit=False)
    assert (outcome.status, [row["email"] for row in outcome.rows]) == (status, rows)


def test_errors_name_row_field_message_and_what_was_displayed():
    outcome = run(BAD, NAME, EMAIL, N, invalidDataBehavior="BLOCK_SUBMIT")
    assert outcome.errors == [
        {"type": "VALIDATION", "rowIndex": 1, "fieldKey": "email", "message": "This is not an email address.",
         "value": "bad"},
        {"type": "VALIDATION", "rowIndex": 1, "fieldKey": "n", "message": "This is not a number.", "value": "x"},
    ]  # fmt: skip
    money = {"key": "n", "label": "N", "type": ["number", "usd"], "validators": [{"validate": "unique"}]}
    assert {error["value"] for error in run("N,x\n1234,a\n1234,b\n", money).metadata["errors"]} == {"$ 1,234.00"}


def test_row_indexes_count_data_rows_without_blank_and_before_removal():
    outcome = run("Name,N\n\nx,bad\n\n,,\ny,1\nz,bad\n", NAME, N)
    assert (marks(outcome), outcome.metadata["rowsWithError"]) == ([(0, "n"), (2, "n")], [0, 2])


def test_metadata_has_totals_mapping_and_how_the_file_was_read():
    outcome = run_import(b"Name;N\nAda;1\nBob;x\n", schema={"fields": [NAME, N], "settings": {"importIdentifier": "i"}},
                         filename="f.csv", import_id="id", user={"id": "u"})  # fmt: skip
    assert outcome.metadata.items() >= {
        "id": "id", "filename": "f.csv", "importIdentifier": "i", "user": {"id": "u"}, "encoding": "utf-8",
        "delimiter": ";", "sheet": None, "headerRow": 0, "rawHeaders": ["Name", "N"], "totalRows": 2, "validRows": 1,
        "invalidRows": 1, "rowsWithError": [1], "errorCount": 1, "warnings": [],
    }.items()  # fmt: skip


def test_errors_are_listed_up_to_a_limit_and_counted_beyond():
    text = "N,Name\n" + "x,y\n" * (ERRORS_MAX_COUNT + 5)
    outcome = run(text, N, NAME, invalidDataBehavior="BLOCK_SUBMIT")
    assert len(outcome.errors) == len(outcome.metadata["errors"]) == ERRORS_MAX_COUNT
    assert outcome.metadata["errorCount"] == outcome.metadata["invalidRows"] == ERRORS_MAX_COUNT + 5


def test_removing_every_row_is_a_success_unless_empty_submits_are_off():
    assert (run("N,Name\nx,y\n", N, NAME).status, run("N,Name\nx,y\n", N, NAME).rows) == ("SUCCESSFUL", [])
    outcome = run("N,Name\nx,y\n", N, NAME, allowEmptySubmit=False)
    assert (outcome.status, outcome.rows) == ("NEEDS_REVIEW", [{"n": None, "name": "y"}])


@pytest.mark.parametrize("more", [{"requireMapping": True}, {"validators": [REQUIRED]}])
def test_a_needed_field_without_a_column_needs_a_review_whatever_the_behavior(more):
    outcome = run("Name\nAda\n", NAME, {**EMAIL, **more}, invalidDataBehavior="INCLUDE_INVALID_ROWS")
    assert (outcome.status, outcome.errors[0]["fieldKey"]) == ("NEEDS_REVIEW", "email")


def test_development_mode_imports_a_hundred_rows():
    assert len(run("Name\n" + "x\n" * 101, NAME, developmentMode=True).rows) == 100


def test_settings_of_a_create_replace_those_of_the_saved_schema_key_by_key():
    saved = {"fields": [NAME], "settings": {"matchingStep": {"headerRowOverride": 3}, "maxRecords": 1}, "hooks": {}}
    body = {"schema_id": "s", "original_filename": "a.csv", "settings": {"matchingStep": {"fuzzyMatchHeaders": False}}}
    settings = parse_create(body, schemas={"s": saved}).schema["settings"]
    assert settings == {"matchingStep": {"fuzzyMatchHeaders": False}, "maxRecords": 1}


@pytest.mark.parametrize("text", ["Name,N\nAda,1\nBob,x\n", "Name,N\nBob,x\n", "Name,N\n"])
@pytest.mark.parametrize("allow", [True, False])
def test_rows_written_out_are_the_rows_of_the_outcome(text, allow):
    stream = io.BytesIO()
    written = run(text, NAME, N, result=stream, allowEmptySubmit=allow)
    kept = run(text, NAME, N, allowEmptySubmit=allow)
    assert (written.rows, written.is_written, kept.is_written) == (None, True, False)
    assert (written.status, json.loads(stream.getvalue())) == (kept.status, kept.rows)


def test_a_file_too_large_to_hold_gives_the_same_as_one_in_memory(tmp_path, monkeypatch):
    from sandbox.engine.reading import text as text_reading

    email = {**EMAIL, "validators": [{"validate": "unique"}]}
    born = {"key": "born", "label": "Born", "type": "date"}
    lines = [f"u{n % 11_990}@x.example,{n % 28 + 1}/{n % 12 + 1}/2024,{n}" for n in range(12_000)]
    path = tmp_path / "a.csv"
    path.write_text("junk\n\nEmail,Born,\n" + "\n".join(lines) + "\n")
    held = run(path, email, born, passThroughUnmappedColumns=True)
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 0)
    streamed = run(path, email, born, passThroughUnmappedColumns=True)
    assert (held.rows, held.metadata) == (streamed.rows, streamed.metadata)
    assert held.metadata["invalidRows"] == 20
    assert (held.rows[20]["born"], held.rows[20]["$unmapped"]) == ("2024-07-03", {"2": "30"})


def test_the_fields_of_json_rows_come_from_no_column_of_a_file():
    outcome = run([{"name": "Ada"}], {"key": "name", "label": "Name"})
    from_nowhere = {"fileHeader": None, "fileHeaderIndex": None, "isCustom": False, "manyToOne": False}
    assert outcome.metadata["fields"] == {"name": from_nowhere}
