"""The numbered rules of docs/engine.md, each with a test of the same number."""

import json
import re
from pathlib import Path

import pytest

from sandbox.creation import INITIAL_DATA_MAX_BYTES, parse_create
from sandbox.engine.cell_errors import ERRORS_MAX_COUNT
from sandbox.engine.matching import match_columns
from sandbox.engine.messages import TYPE_MESSAGES, VALIDATOR_MESSAGES
from sandbox.engine.schema import read_fields
from sandbox.engine.types import TYPE_NAMES
from sandbox.engine.validators import VALIDATOR_NAMES
from sandbox.imports import Import
from sandbox.problems import ApiProblem
from sandbox.quotas import CREATE_QUOTA, POLL_QUOTA, Rate
from sandbox.settings import SandboxSettings
from tests.support.engine import cells, marks, run, workbook

ROOT = Path(__file__).parents[2]
RULES = range(1, 51)
A = {"key": "a", "label": "Alpha"}
B = {"key": "b", "label": "Beta"}
N = {"key": "n", "label": "N", "type": "number"}
REQUIRED = {"validate": "required"}
UNIQUE = {"validate": "unique"}


def column(type_, *texts):
    """The texts of a column through a whole import: None for an invalid cell."""
    rows = [{"c": text} for text in texts]
    outcome = run(rows, {"key": "c", "label": "C", "type": type_}, invalidDataBehavior="INCLUDE_INVALID_ROWS")
    return [row["c"] for row in outcome.rows]


def ruled(rule, *rows, **field):
    """The (row, field) that a validator of the field `a` marks; a row is a text for `a`, or one for each of a and b."""
    pairs = [[row] if isinstance(row, str) else list(row) for row in rows]
    settings = {"invalidDataBehavior": "INCLUDE_INVALID_ROWS"}
    return marks(run(pairs, {**A, "validators": [rule], **field}, B, **settings))


def matched(header, *fields, **options):
    return match_columns(header, fields=read_fields({"fields": list(fields)}), **{"fuzzy": True, **options})


def test_the_docs_number_the_rules_that_the_tests_prove():
    text = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
    numbered = [int(number) for number in re.findall(r"^(\d+)\. ", text.partition("## Rules")[2], re.MULTILINE)]
    assert numbered == list(RULES)
    tests = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("tests/*/test_*.py")))
    proved = {int(number) for number in re.findall(r"^(?:async )?def test_rule_(\d\d)_", tests, re.MULTILINE)}
    assert proved == set(RULES)


# Where the documents contradict each other


def test_rule_01_errors_ask_for_a_review_under_block_submit_alone():
    for behavior, status in (("BLOCK_SUBMIT", "NEEDS_REVIEW"), ("REMOVE_INVALID_ROWS", "SUCCESSFUL")):
        assert run("N\nx\n", N, invalidDataBehavior=behavior).status == status


def test_rule_02_an_import_is_pending_before_it_runs():
    found = Import(id="i", schema_id=None, schema={}, original_filename="a", user=None, created_at=0, pending_s=2)
    found.arrived_at = 10
    assert [found.status(now) for now in (9, 10, 12)] == ["AWAITING_UPLOAD", "PENDING", "RUNNING"]


def test_rule_03_unknown_settings_are_accepted_and_a_type_may_be_left_out():
    body = {"fields": [{"key": "a"}], "original_filename": "a.csv", "settings": {"reviewStep": {}, "novel": 1}}
    assert parse_create(body, schemas={}).schema["settings"]["novel"] == 1
    assert run("a\n1\n", {"key": "a"}).rows == [{"a": "1"}]


def test_rule_04_the_fourth_behaviour_includes_invalid_values():
    assert run("N\nx\n", N, invalidDataBehavior="INCLUDE_INVALID_ROWS_AND_VALUES").rows == [{"n": "x"}]


def test_rule_09_only_the_fuzzy_step_ignores_case():
    assert matched(["ALPHA"], A, fuzzy=False) == {}
    assert matched(["ALPHA"], A) == {"a": [0]}
    assert matched(["alpha", "Alpha"], A) == {"a": [1]}


def test_rule_10_step_settings_may_be_nested_or_flat():
    for settings in ({"headerRowOverride": 1}, {"matchingStep": {"headerRowOverride": 1}}):
        assert run("x\nAlpha\n1\n", A, **settings).rows == [{"a": "1"}]
    strict = {"label": "Red", "value": "r", "exactMatchOnly": True}
    assert cells("select", "red", selectOptions=[strict]) == ["select"]
    loose = [{"label": "Red", "value": "r"}]
    assert cells(["select", {"exactMatchOnly": True}], "red", selectOptions=loose) == ["select"]


def test_rule_11_metadata_count_rows():
    metadata = run("N\n1\nx\n", N).metadata
    assert [metadata[key] for key in ("totalRows", "validRows", "invalidRows")] == [2, 1, 1]


# Results


def test_rule_12_a_row_has_mapped_fields_in_the_schema_s_order():
    fields = [A, N, {"key": "c", "label": "C", "type": "checkbox"}, {"key": "m", "label": "M", "type": "multi-select"}]
    outcome = run("M,C,N,Alpha,x\n,,,,y\n", *fields, B, passThroughUnmappedColumns=True)
    assert json.dumps(outcome.rows[0]) == '{"a": "", "n": null, "c": false, "m": [], "$unmapped": {"4": "y"}}'
    many = {**A, "manyToOne": True}
    assert run("Alpha,Alpha\n1,2\n", many).rows == [{"a": ["1", "2"]}]
    assert run("N\nx\n", N, invalidDataBehavior="INCLUDE_INVALID_ROWS").rows == [{"n": None}]


def test_rule_13_the_result_is_one_json_array(tmp_path):
    with (tmp_path / "result").open("wb") as stream:
        run("Alpha\nü\n", A, result=stream)
    assert (tmp_path / "result").read_bytes() == '[{"a":"ü"}]'.encode()


def test_rule_14_unmapped_columns_are_numbered_and_empty_ones_left_out():
    text = "Alpha,,Gamma,,\n1,x,,,\n2,,,,,far\n"
    rows = run(text, A, passThroughUnmappedColumns=True).rows
    assert [row["$unmapped"] for row in rows] == [{"1": "x", "2": ""}, {"1": "", "2": "", "5": "far"}]


def test_rule_15_metadata_says_how_the_file_was_read():
    metadata = run("Alpha;N\nu;x\n", A, N, importIdentifier="i").metadata
    keys = "id filename importIdentifier user rowsWithError rawHeaders fields errors encoding delimiter sheet headerRow"
    assert {*keys.split(), "warnings", "totalRows"} <= set(metadata)
    assert metadata["fields"]["a"] == {
        "fileHeader": "Alpha",
        "fileHeaderIndex": 0,
        "isCustom": False,
        "manyToOne": False,
    }


def test_rule_16_errors_have_a_type_and_end_at_a_limit():
    many = {**N, "manyToOne": True}
    outcome = run("N,N\n1,x\n" + "x,y\n" * 6000, many, invalidDataBehavior="BLOCK_SUBMIT")
    first = {"type": "VALIDATION", "rowIndex": 0, "fieldKey": "n", "message": "This is not a number.", "value": "x"}
    assert outcome.errors[0] == {**first, "manyToOneIndex": 1}
    assert (len(outcome.errors), outcome.metadata["errorCount"]) == (ERRORS_MAX_COUNT, 12_001)
    assert run("1,2\n", A).errors[0]["type"] == "HEADER_NOT_FOUND"
    assert run("x\n1\n", {**A, "requireMapping": True}).errors[0] == {
        "type": "FIELD_NOT_MAPPED", "message": "No column could be mapped to Alpha.", "fieldKey": "a",
    }  # fmt: skip
    assert [run(data, A).errors[0]["type"] for data in ("", b"PK\x03\x04")] == ["EMPTY", "FATAL"]


def test_rule_17_rows_are_counted_without_blank_ones_and_before_any_is_removed():
    money = {"key": "n", "label": "N", "type": ["number", "usd"], "validators": [UNIQUE]}
    outcome = run("N,Alpha\n\n1234,x\n,,\n5,y\n1234,z\n", money, A)
    found = outcome.metadata["errors"]
    assert [(error["rowIndex"], error["value"]) for error in found] == [(0, "$ 1,234.00"), (2, "$ 1,234.00")]


def test_rule_18_errors_of_removed_rows_stay_in_the_metadata():
    outcome = run("N\nx\n", N)
    assert (outcome.rows, outcome.metadata["rowsWithError"], len(outcome.metadata["errors"])) == ([], [0], 1)


def test_rule_19_every_broken_rule_is_an_error_the_type_s_first():
    rules = [{"validate": "regex_match", "regex": "y"}, {"validate": "require_with", "fields": ["b"]}]
    found = run("N,Beta\nx,1\n", {**N, "validators": rules}, B).metadata["errors"]
    assert [error["message"] for error in found] == ["This is not a number.", VALIDATOR_MESSAGES["regex_match"]]


def test_rule_20_each_rule_has_a_sentence_that_can_be_replaced():
    assert set(VALIDATOR_NAMES) == set(VALIDATOR_MESSAGES)
    assert set(TYPE_NAMES) - set(TYPE_MESSAGES) == {"string", "checkbox", "multi-select"}
    rule = {**REQUIRED, "errorMessage": "Own."}
    found = run("Alpha,N\n,x\n", {**A, "validators": [rule]}, {**N, "invalidValueMessage": "Number!"}).metadata
    assert [error["message"] for error in found["errors"]] == ["Own.", "Number!"]
    overridden = run("Alpha,N\n,1\n", {**A, "validators": [REQUIRED]}, N, textOverrides={"errors": {"required": "R"}})
    assert overridden.metadata["errors"][0]["message"] == "R"
    typed = run("Alpha,N\na,x\n", A, N, textOverrides={"errors": {"number": "T"}})
    assert typed.metadata["errors"][0]["message"] == "T"


def test_rule_21_a_warning_is_no_error():
    outcome = run("Alpha,Beta\n,x\n", {**A, "validators": [{**REQUIRED, "level": "warning"}]}, B)
    assert (len(outcome.rows), outcome.metadata["errorCount"], len(outcome.metadata["warnings"])) == (1, 0, 1)


# Status


@pytest.mark.parametrize(
    ("text", "fields", "settings"),
    [
        ("1,2\n", [A], {}),
        ("x\n1\n", [A], {}),
        ("Alpha\n1\n", [A, {**B, "requireMapping": True}], {}),
        ("Alpha\n1\n", [A, {**B, "validators": [REQUIRED]}], {}),
        ("N\nx\n", [N], {"invalidDataBehavior": "BLOCK_SUBMIT"}),
        ("N\nx\n", [N], {"allowEmptySubmit": False}),
    ],
)
def test_rule_22_what_asks_for_a_review(text, fields, settings):
    assert run(text, *fields, **settings).status == "NEEDS_REVIEW"
    assert run("Alpha,more\n1,2\n", A, B).status == "SUCCESSFUL"


def test_rule_23_what_fails():
    for data in ("", " \n,,\n", b"PK\x03\x04junk", "Alpha\n1\n" + '"' + "x" * (2 << 20)):
        assert run(data, A).status == "FAILED"
    assert run(workbook(), A).status == run("Alpha\n1\n", A, maxFileSize=2).status == "FAILED"
    assert run("Alpha\n", A).rows == []


def test_rule_24_invalid_rows_are_removed_unless_something_else_is_said():
    outcome = run("N\nx\n", N)
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [])
    assert run("N\nx\n", N, allowInvalidSubmit=True).rows == [{"n": None}]
    assert run("N\nx\n", N, allowInvalidSubmit=True, invalidDataBehavior="REMOVE_INVALID_ROWS").rows == []


def test_rule_25_development_mode_imports_a_hundred_rows_and_no_sync_mode_drops_the_result():
    text = "Alpha\n" + "x\n" * 101
    assert len(run(text, A, developmentMode=True, backendSyncMode="DISABLED").rows) == 100


def test_rule_26_settings_replace_those_of_the_schema_key_by_key():
    saved = {"fields": [A], "settings": {"matchingStep": {"headerRowOverride": 3}, "maxRecords": 1}, "hooks": {}}
    body = {"schema_id": "s", "original_filename": "a", "settings": {"matchingStep": {"fuzzyMatchHeaders": False}}}
    settings = parse_create(body, schemas={"s": saved}).schema["settings"]
    assert settings == {"matchingStep": {"fuzzyMatchHeaders": False}, "maxRecords": 1}


def test_rule_27_the_documented_limits():
    assert (CREATE_QUOTA, POLL_QUOTA, SandboxSettings().upload_ttl_s) == (Rate(20, 60.0), Rate(12, 60.0), 1800)
    body = {"fields": [A], "initial_data": [{"a": "x" * INITIAL_DATA_MAX_BYTES}]}
    with pytest.raises(ApiProblem):
        parse_create(body, schemas={})


# Reading


def test_rule_28_four_delimiters_are_tried_and_a_setting_wins():
    for delimiter in ",\t;|":
        assert run(f"Alpha{delimiter}Beta\n1{delimiter}2\n", A, B).rows == [{"a": "1", "b": "2"}]
    assert run("Alpha;Beta\n1,5;2\n", A, B, delimiter=";").rows == [{"a": "1,5", "b": "2"}]
    assert run('Alpha,Beta\n\n1\n,\n"x""y",\'2\',3\n', A, B).rows == [{"a": "1", "b": ""}, {"a": 'x"y', "b": "'2'"}]


def test_rule_29_a_missing_sheet_is_a_warning_and_the_first_with_cells_is_taken():
    outcome = run(workbook(["Alpha"], ["1"]), A, sheetOverride="data")
    assert (outcome.rows, outcome.metadata["sheet"], len(outcome.metadata["warnings"])) == ([{"a": "1"}], "Data", 1)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("Report 2024\n\nAlpha,Beta\n1,2\n", 2),
        ("x,y,z\nalpha,beta,gamma\n", 1),
        ("Title\nKunde,Ort,Land\nAda,Ulm,DE\n", 1),
        ("Title\nKunde,Kunde,Land\n1,2,3\n", None),
        ("1,2\n3,4\n", None),
        ("a@b.example,x\n2024-01-01,5\n", None),
    ],
)
def test_rule_30_the_header_is_the_row_with_most_names_or_the_first_like_a_header(text, row):
    assert run(text, A, B, {"key": "g", "label": "Gamma"}).metadata["headerRow"] == row


def test_rule_31_cells_of_workbooks_become_texts():
    from datetime import date

    outcome = run(workbook(["Alpha", "Beta"], [42.0, True], [date(2024, 3, 7), 0.1], [1e21, None]), A, B)
    assert [list(row.values()) for row in outcome.rows] == [["42", "TRUE"], ["2024-03-07", "0.1"], ["1e+21", ""]]


def test_rule_32_json_rows_have_no_header_and_values_as_javascript_writes_them():
    rows = run([{"a": 1.0, "b": True}, {"b": None}, {"a": [1, None], "b": {}}], A, B).rows
    assert [list(row.values()) for row in rows] == [["1", "true"], ["", ""], ["1,", "[object Object]"]]
    assert run([["x"], ["y", "z", "over"]], A, B).rows == [{"a": "x", "b": ""}, {"a": "y", "b": "z"}]


def test_rule_33_the_encoding_is_found_and_rows_beyond_max_records_are_left_out():
    assert run("Alpha,Beta\nJürgen Groß,Öl\n".encode("cp1252"), A, B).rows == [{"a": "Jürgen Groß", "b": "Öl"}]
    outcome = run("Alpha\n1\n2\n", A, maxRecords=1)
    assert (len(outcome.rows), outcome.metadata["warnings"]) == (1, ["The rows beyond 1 were left out."])


def test_rule_34_other_kinds_of_files_are_not_offered():
    for data in (b'<?xml version="1.0"?><Workbook/>', b"{\\rtf1 a}", b"\x00\x00\x1a\x00\x02\x10\x04\x00" * 9):
        assert run(data, A).status == "FAILED"


# Matching


def test_rule_35_names_match_exactly_first_and_then_by_likeness():
    named = {**A, "key": "al", "alternateMatches": ["first"]}
    assert matched(["first", "al", "Alpha"], named, fuzzy=False) == {"al": [2]}
    assert matched(["first", "al"], named, fuzzy=False) == {"al": [1]}
    assert matched(["first"], named, fuzzy=False) == {"al": [0]}
    assert matched(["Alphas"], A) == {"a": [0]}
    assert matched(["Line 2"], {"key": "l", "label": "Line 1"}) == {}
    assert matched(["Alpha", "Alpha"], A) == {"a": [0]}
    assert matched(["Alpha2", "Alpha 1", "Alpha"], {**A, "manyToOne": True}) == {"a": [0, 1, 2]}
    assert matched(["Alpha"], {**A, "hidden": True}) == {}


def test_rule_36_remembered_headers_go_before_similar_ones():
    assert matched(["Alphas", "Kunde"], A, remembered={"Kunde": "a"}) == {"a": [1]}
    assert matched(["Alpha", "Kunde"], A, remembered={"Kunde": "a"}) == {"a": [0]}


def test_rule_37_option_values_match_without_case_but_never_by_likeness():
    options = [{"label": "New York", "value": "NY"}]
    found = cells("select", "New York", "NY", "new_york", "NEW-YORK", "New Yorc", selectOptions=options)
    assert found == ["NY", "NY", "NY", "NY", "select"]


# Types


def test_rule_38_empty_cells_are_no_errors_and_blanks_are_cut():
    others = [name for name in TYPE_NAMES if name not in ("string", "checkbox", "multi-select")]
    assert [column(name, "", " ")[0] for name in others] == [None] * len(others)
    assert column("email", " a@b.co ") == ["a@b.co"]
    assert column("string", " a ") == [" a "]


def test_rule_39_numbers_are_en_us_and_round_away_from_zero():
    wrong = ("1.234,57", "1,23", "0x1F", "1st", "00:01:30", "Infinity", "NaN", "1 234", "€5")
    assert column("number", *wrong) == [None] * len(wrong)
    assert column("number", "1.5k", "2m", "3b", "1t", "(5)", "12%") == [1500, 2e6, 3e9, 1e12, -5, 0.12]
    assert column(["number", {"round": 0, "max": 3}], "2.5", "-2.5", "3.4", "3.5") == [3, -3, 3, None]
    outcome = run("N\n9007199254740993\n", N)
    assert (outcome.rows, len(outcome.metadata["warnings"])) == ([{"n": 9007199254740992}], 1)


def test_rule_40_the_whole_column_decides_which_number_is_the_day():
    assert column("date", "03/04/2024", "27/03/2024") == ["2024-04-03", "2024-03-27"]
    assert column("date", "03/04/2024", "27/03/2024", "03/27/2024") == ["2024-03-04", "2024-03-27", "2024-03-27"]
    assert column(["date", {"locale": "en-GB"}], "03/04/2024") == ["2024-04-03"]
    assert column("date", "1/1/60", "1/1/61", "45378", "2024", "May") == ["2060-01-01", "1961-01-01", None, None, None]
    strict = ["date", {"autofix": False}]
    assert column(strict, "2024-03-27", "27 Mar 2024", "3/27/2024", "27/3/2024", "March 27, 2024")[3:] == [None, None]


def test_rule_41_offsets_are_dropped_and_seconds_cut():
    texts = ("2022-03-27T15:20:59Z", "2022-03-27T15:20+05:00", "2022-03-27", "2022-03-27T02:30")
    wanted = ["2022-03-27T15:20", "2022-03-27T15:20", "2022-03-27T00:00", "2022-03-27T02:30"]
    assert column("datetime", *texts) == wanted
    assert column(["time", {"withSeconds": True}], "3:20 PM", "15:20:59.9") == ["15:20:00", "15:20:59"]


def test_rule_42_format_strings_are_luxon_s():
    form = "EEEE, d 'of' MMMM yyyy h:mm a"
    assert column(["datetime", {"outputFormat": form}], "2024-03-07T15:20") == ["Thursday, 7 of March 2024 3:20 PM"]
    assert column(["date", {"outputFormat": "D", "locale": "de-DE"}], "2024-03-07") == ["7.3.2024"]


def test_rule_43_codes_domains_addresses_and_numbers():
    assert column("country", "us", "USA", "United States") == ["US", None, None]
    assert column("us-state-territory", "us-al", "PR", "UM", "AE", "FM") == ["AL", "PR", "UM", None, None]
    assert column("us-zip-code", "342", "123456", "12345-6789") == ["00342", None, "12345"]
    assert column("ssn", "123-45-6789", "12-345-6789") == ["123456789", None]
    assert column("domain", "Dromo.IO", "dromo") == ["dromo.io", None]
    assert column(["domain", {"allowSubdomains": False}], "a.co.uk", "b.a.co.uk") == ["a.co.uk", None]
    assert column("url", "http://x.io", "x.io", "mailto:a@b.co") == ["http://x.io/", None, None]
    bare = ["url", {"acceptedDomains": ["dromo"]}]
    assert column(bare, "https://app.dromo.io", "https://dromos.io") == ["https://app.dromo.io/", None]
    assert column("phone-number", "+1 212 867 5309 ext. 1", "+1 555 123 4567") == ["+12128675309", None]
    assert column("uuid", "9B1DEB4D-3B7D-4BAD-9BDD-2B0D7B3DCB6D") == ["9B1DEB4D-3B7D-4BAD-9BDD-2B0D7B3DCB6D"]


# Validators


def test_rule_44_what_validators_look_at():
    assert ruled(REQUIRED, " ", "x") == [(0, "a")]
    for name, more in (("unique", {}), ("regex_match", {"regex": "z"}), ("length", {"min": 9}), ("alphabetical", {})):
        assert ruled({"validate": name, **more}, "", " ") == []
    assert ruled(UNIQUE, "1", "1.0", "2", type="number") == [(0, "a"), (1, "a")]
    assert ruled({"validate": "regex_match", "regex": r"^\$ 1,234"}, "1234", type=["number", "usd"]) == []
    assert ruled({"validate": "length", "max": 2}, "😀", "😀y") == [(1, "a")]
    group = {"validate": "unique_with", "uniqueKey": "k"}
    pairs = [["x", "1"], ["x", "1"], ["", ""], ["", ""], ["x", ""]]
    both = marks(run(pairs, {**A, "validators": [group]}, {**B, "validators": [group]}))
    assert both == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert ruled({"validate": "require_with_values", "fieldValues": {"b": "y"}}, ["", "y"], ["", "n"]) == [(0, "a")]
    many = {**A, "manyToOne": True, "validators": [UNIQUE]}
    assert marks(run("Alpha,Alpha\n1,2\n2,3\n", many)) == [(0, "a"), (1, "a")]
    assert ruled(REQUIRED, "", type="checkbox") == []
    assert run("Beta\nx\n", {**A, "hidden": True, "validators": [REQUIRED]}, B).status == "SUCCESSFUL"
