"""Advice is one sentence, as concrete as the data allow; every problem has some."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.problems import Effect, ProblemGroup, advice_for
from tests.support.checks import FIELDS

BY_KEY = {field["key"]: field for field in FIELDS}
PLAIN = ProblemGroup(
    route="all", schema_id=None, effect=Effect.FAILS, kind="import_failed", message="", field_keys=(), labels=(),
    rule="", file_count=3, row_count=3, is_capped=False, files=("in/a.pdf", "in/b.pdf"), cells=(), values=(),
    headers=(),
)  # fmt: skip


def of(kind: str, message: str = "", **changes: Any) -> str:
    return advice_for(replace(PLAIN, kind=kind, message=message, **changes), BY_KEY)


def of_cells(field: dict[str, Any], rule: str, *values: str) -> str:
    group = replace(
        PLAIN, kind="cell", effect=Effect.ROWS_REMOVED, field_keys=("f",), labels=("Field",), rule=rule,
        values=tuple((value, 1) for value in values),
    )  # fmt: skip
    return advice_for(group, {"f": {"key": "f", "label": "Field", **field}})


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (of("not_mapped", labels=("E-Mail",), headers=(("E-Mail", "Mail"),)), 'Add "Mail" to the alternateMatches of'),
        (of("not_mapped", labels=("E-Mail",)), "Add a column for E-Mail."),
        (of("not_mapped"), "may need another route"),
        (of("not_mapped", delimiter="\x01"), r'Set delimiter to "\u0001" in the settings'),
        (of("not_mapped", encoding="cp1250"), "--encoding cp1250"),
        (of("not_mapped", delimiter=";", files=("a.xlsx",)), 'Split the column at ";"'),
        (of("column_ignored", delimiter="~"), 'Set delimiter to "~"'),
        (
            of("sheet_not_chosen", labels=("Data",)),
            'sheetOverride in the settings to "Data"; the other sheets are then',
        ),
        (of("sheet_not_chosen", labels=("May", "June")), 'Save each of the sheets as a file of its own: "May", "June"'),
        (of("unsupported_type", files=("a/_SUCCESS", "a/_started"), file_count=9), "--exclude '**/_*'"),
        (of("unsupported_type", files=("Makefile", "b/Makefile")), "--exclude '**/Makefile'"),
        (of("unsupported_type", files=("one", "two"), file_count=2), "--exclude '**/{one,two}'"),
        (of("unsupported_type", files=("one", "two", "three"), file_count=9), "Leave each of them out"),
        (of("unsupported_type", files=("may.csv ",)), "Rename them without blanks"),
        (of("no_route", files=("top.csv",)), 'match = "*.csv"'),
        (of("no_route", files=("[new]/top.csv",)), r'match = "\\[new\\]/**"'),
        (of("invalid_json", "line 1: str is not valid UTF-8"), "Save the document as UTF-8"),
        (of("invalid_json", "it must be an array of objects"), "as one array"),
        (of("header_not_found"), "Add a header row (Customer No, E-Mail, Plan). If"),
        (of("column_ignored", headers=(("Plan", "Planned"),)), 'If it belongs to Plan, add "Planned"'),
        (of("column_ignored"), "add a field for it"),
        (of("warning", "The rows beyond 100 were left out.", code="rows_limited"), "maxRecords"),
        (of("warning", "2 byte sequences are no valid UTF-8.", code="bad_bytes"), "Export the file again as UTF-8"),
        (of("warning", code="rows_wider"), "Quote cells that contain the delimiter"),
        (of("warning", code="unheard_of"), "Check whether this is intended"),
        (of("unsupported_type"), "--exclude '**/*.pdf'"),
        (of("no_route"), 'match = "in/**"'),
        (of("check_library"), "pip install '.[sandbox]'"),
        (of("check_timeout"), "--file-timeout"),
        (of("import_failed", "The workbook is damaged and cannot be read."), "save it again"),
        (of("import_failed", "The file is neither text nor a workbook that can be read."), "match its file name"),
        (of("import_failed", "unclosed quote near row 7"), "Close the quote"),
        (of("import_failed", "rowHooks[0]: the hook threw"), "Fix the named hook"),
        (of("import_failed", "who knows"), "Open one of the files"),
        (of("empty", effect=Effect.REVIEW), "allowEmptySubmit"),
    ],
)
def test_each_kind_of_problem_has_its_advice(said: str, wanted: str) -> None:
    assert wanted in said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (of_cells({"type": "select", "selectOptions": [{"label": "Team", "value": "t"}]}, "select", "Teams"),
         'Add "Teams" to the options of Field or to the alternateMatches of its option Team.'),
        (of_cells({"type": "select", "selectOptions": []}, "select", "Gold"), 'Add "Gold" to the options of Field.'),
        (of_cells({"type": "number"}, "number", "1.234,56"), "decimal comma"),
        (of_cells({"type": "number"}, "number", "n/a"), 'Empty the cells of Field that hold "n/a"'),
        (of_cells({"type": ["number", {"max": 3}]}, "max", "4"), "or its max in the schema"),
        (of_cells({"type": "date"}, "date", "45123"), "day number"),
        (of_cells({"type": "date"}, "date", "someday"), "such as 2026-03-27"),
        (of_cells({"type": "country"}, "country", "Germany"), '2-letter ISO codes ("Germany")'),
        (of_cells({"type": "phone-number"}, "phone-number", "030 1234"), "country code"),
        (of_cells({"type": "email"}, "email", "nobody"), 'Fix the values of Field ("nobody")'),
        (of_cells({"type": "email"}, "email"), "Fix the values of Field;"),
        (of_cells({}, "required", ""), "Fill in Field in these rows"),
        (of_cells({}, "require_with", ""), "remove the validator require_with"),
        (of_cells({}, "unique", "A", "B"), 'one row for each repeated Field ("A", "B")'),
        (of_cells({"validators": [{"validate": "regex_match", "regex": "^A"}]}, "regex_match", "B"), "pattern ^A"),
        (of_cells({}, "length", "too long"), 'such as "too long"'),
    ],
)  # fmt: skip
def test_the_advice_for_cells_names_their_values(said: str, wanted: str) -> None:
    assert wanted in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    "code",
    ["too_large", "json_too_large", "invalid_json", "unreadable", "link_outside", "linked_directory", "not_a_file",
     "changed_while_read", "create_refused", "schema_unusable", "check_memory", "check_killed", "check_error", "other"],
)  # fmt: skip
def test_each_of_our_codes_has_its_own_advice(code: str) -> None:
    assert "Open one of the files" not in of(code)


def test_the_advice_for_a_file_that_holds_no_table_is_what_the_engine_says_to_do() -> None:
    said = of("import_failed", "The file is compressed (gzip), which cannot be imported. Unpack it.")
    assert said == "Unpack it."


def test_invisible_characters_are_shown_and_no_option_with_one_is_proposed() -> None:
    field = {"type": "select", "selectOptions": [{"label": "Gold", "value": "g"}]}
    assert of_cells(field, "select", "Gold\u200b") == r'Remove the invisible characters from Field ("Gold\u200b").'
    assert r"\u200b" in of_cells({"type": "email"}, "email", "ida@host.example\u200b")
    said = of("not_mapped", labels=("Plan",), headers=(("Plan", "Pl\u202ean"),))
    assert said == r'Remove the invisible characters from the header "Pl\u202ean".'


def test_a_pattern_that_may_take_forever_is_not_tried() -> None:
    field = {"validators": [{"validate": "regex_match", "regex": "^(a+)+$"}]}
    assert "pattern ^(a+)+$" in of_cells(field, "regex_match", "a" * 60 + "!")
