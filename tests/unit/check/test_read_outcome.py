"""What the check reads from an engine's outcome."""

from __future__ import annotations

import pytest

from runner.check import Prediction
from runner.check.read_outcome import SAMPLE_CELLS, VALUE_MAX_CHARS
from runner.problems import Effect
from runner.problems.rules import RuleFinder
from sandbox.hooks import HooksUnavailable
from tests.support.checks import MESSAGES, Ended, bound_route, cell_error, read, with_cells

NOT_EMAIL = MESSAGES["email"]


def test_invalid_rows_of_an_import_that_succeeds_count_as_removed_unless_the_schema_keeps_them() -> None:
    outcome = with_cells(cell_error(0, "email", NOT_EMAIL, "x"), cell_error(4, "email", NOT_EMAIL, "y"))
    removed = read(outcome)
    assert (removed.prediction, removed.row_count, removed.removed_row_count) == (Prediction.SUCCEED, 10, 2)
    assert removed.problems[0].effect is Effect.ROWS_REMOVED
    for behavior, effect in (
        ("INCLUDE_INVALID_ROWS", Effect.VALUES_EMPTIED),
        ("INCLUDE_INVALID_ROWS_AND_VALUES", Effect.VALUES_KEPT),
    ):
        kept = read(outcome, bound=bound_route(invalidDataBehavior=behavior))
        assert (kept.removed_row_count, kept.problems[0].effect) == (0, effect)
    assert read(outcome, bound=bound_route(allowInvalidSubmit=True)).removed_row_count == 0


def test_invalid_cells_of_an_import_in_review_remove_nothing() -> None:
    outcome = with_cells(cell_error(0, "email", NOT_EMAIL, "x"), status="NEEDS_REVIEW")
    check = read(outcome, bound=bound_route(invalidDataBehavior="BLOCK_SUBMIT"))
    assert (check.prediction, check.removed_row_count) == (Prediction.REVIEW, 0)
    assert (check.problems[0].effect, check.code) == (Effect.REVIEW, "cell")


def test_equal_errors_of_a_field_are_one_problem_with_rows_samples_and_the_most_common_values() -> None:
    values = ["b", "b", "a", "c", "d", "b"]
    outcome = with_cells(*[cell_error(row, "email", NOT_EMAIL, value) for row, value in enumerate(values)])
    (problem,) = read(outcome).problems
    assert (problem.row_count, problem.rule, problem.labels) == (6, "email", ("E-Mail",))
    assert [cell.value for cell in problem.cells] == ["b", "a", "c"]
    assert len(problem.cells) == SAMPLE_CELLS
    assert problem.values[0] == ("b", 3)


def test_without_samples_no_text_of_a_cell_is_kept() -> None:
    outcome = with_cells(cell_error(0, "email", NOT_EMAIL, "secret"))
    check = read(outcome, samples=False)
    assert (check.problems[0].cells, check.problems[0].values) == ((), ())


WIDER = {"code": "rows_wider", "level": "loss", "message": "Rows are wider.", "unit": "row", "firstRow": 7, "count": 3,
         "sample": "a,b,c", "fieldKey": None}  # fmt: skip


def test_a_warning_of_the_engine_has_its_code_count_and_place_and_says_whether_data_is_lost() -> None:
    note = {**WIDER, "code": "quoted_lines", "level": "note", "unit": "cell", "fieldKey": "email"}
    check = read(with_cells(warningDetails=[WIDER, note]))
    lost, told = check.problems
    assert (lost.effect, lost.code, lost.row_count, lost.count) == (Effect.DATA_LOST, "rows_wider", 3, 3)
    assert lost.place is not None
    assert (lost.place.source, lost.place.row, lost.place.sample) == ("a.csv", 7, "a,b,c")
    assert lost.sentence == "Rows are wider. (3 rows; the first: row 7)"
    assert (told.effect, told.row_count, told.unit, told.field_keys) == (Effect.NOTE, 0, "cell", ("email",))
    assert (check.prediction, check.lost_data) == (Prediction.SUCCEED, lost)


def test_without_samples_a_warning_keeps_its_row_but_no_text() -> None:
    (problem,) = read(with_cells(warningDetails=[WIDER]), samples=False).problems
    assert problem.place is not None
    assert (problem.place.row, problem.place.sample) == (7, "")


def test_what_shows_a_problem_for_logs_has_no_text_of_a_cell() -> None:
    (problem,) = read(with_cells(warningDetails=[WIDER])).problems
    assert "a,b,c" not in repr(problem)
    assert "a,b,c" not in problem.sentence


def test_warnings_are_told_even_if_there_is_no_header() -> None:
    errors = [{"type": "HEADER_NOT_FOUND", "message": "No row looks like it."}]
    outcome = Ended("NEEDS_REVIEW", errors, {"totalRows": 3, "warningDetails": [WIDER]})
    assert [problem.kind for problem in read(outcome).problems] == ["header_not_found", "warning"]


def test_a_long_cell_is_cut() -> None:
    (problem,) = read(with_cells(cell_error(0, "email", NOT_EMAIL, "x" * 5000))).problems
    assert len(problem.cells[0].value) == VALUE_MAX_CHARS


def test_counts_are_lower_bounds_where_the_engine_stopped_listing() -> None:
    (problem,) = read(with_cells(cell_error(0, "email", NOT_EMAIL, "x"), errorCount=20_000)).problems
    assert problem.is_capped


def test_without_a_header_no_cells_are_reported() -> None:
    errors = [{"type": "HEADER_NOT_FOUND", "message": "No row looks like it."}, cell_error(0, "email", NOT_EMAIL, "x")]
    outcome = Ended("NEEDS_REVIEW", errors, {"totalRows": 3, "errors": errors[1:], "errorCount": 1})
    assert [problem.kind for problem in read(outcome).problems] == ["header_not_found"]


def test_fields_without_a_column_are_one_problem_that_suggests_headers() -> None:
    errors = [{"type": "FIELD_NOT_MAPPED", "message": "…", "fieldKey": key} for key in ("no", "email")]
    headers = ["Customer number", "Mail", "Plan"]
    metadata = {"totalRows": 3, "rawHeaders": headers, "fields": {"plan": {"fileHeaderIndex": 2}}, "errors": []}
    check = read(Ended("NEEDS_REVIEW", errors, metadata))
    (problem,) = check.problems
    assert check.message == "No column was found for Customer No, E-Mail."
    assert set(problem.headers) == {("Customer No", "Customer number"), ("E-Mail", "Mail")}


def test_a_column_that_no_field_takes_is_a_note_unless_it_is_passed_through() -> None:
    metadata = {
        "rawHeaders": ["Customer No", "Warehouse", "Planned"],
        "fields": {"no": {"fileHeaderIndex": 0}},
        "totalRows": 3,
    }
    notes = read(Ended(metadata=metadata)).problems
    assert [(note.effect, note.labels) for note in notes] == [
        (Effect.NOTE, ("Warehouse",)),
        (Effect.NOTE, ("Planned",)),
    ]
    assert notes[1].headers == (("Plan", "Planned"),)
    assert read(Ended(metadata=metadata), bound=bound_route(passThroughUnmappedColumns=True)).problems == ()


def test_a_warning_of_the_engine_is_a_note() -> None:
    (note,) = read(with_cells(warnings=["The rows beyond 100 were left out."])).problems
    assert (note.effect, note.kind) == (Effect.NOTE, "warning")


def test_a_failure_has_the_code_and_the_sentence_of_the_failed_item() -> None:
    check = read(Ended("FAILED", [{"type": "FATAL", "message": "The workbook is damaged."}]))
    assert (check.prediction, check.code, check.message) == (
        Prediction.FAIL,
        "import_failed",
        "The workbook is damaged.",
    )
    assert check.is_judged


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("This sandbox reads workbooks only where python-calamine is installed (the sandbox extra).", "check_library"),
        (str(HooksUnavailable()), "check_library"),
        (
            'rowHooks[0] threw: Hooks may not do this here: Requires net access to "a.example".',
            "check_network",
        ),
    ],
)
def test_what_the_engine_lacks_gives_no_prediction(text: str, code: str) -> None:
    check = read(Ended("FAILED", [{"type": "FATAL", "message": text}]))
    assert (check.code, check.is_judged) == (code, False)


def test_a_file_whose_rows_are_all_removed_is_known() -> None:
    assert read(with_cells(cell_error(0, "email", NOT_EMAIL, "x"), rows=1)).loses_all_rows
    assert not read(with_cells(rows=0)).loses_all_rows


@pytest.mark.parametrize(
    ("key", "message", "rule"),
    [
        ("email", NOT_EMAIL, "email"),
        ("no", "One of each!", "unique"),
        ("no", "This number is larger than 40.", "max"),
        ("no", "Overridden", "required"),
        ("plan", "Not a plan", "type"),
        ("plan", "Never heard of it", ""),
    ],
)
def test_the_rule_of_a_message_is_found(key: str, message: str, rule: str) -> None:
    fields = [
        {"key": "no", "validators": [{"validate": "unique", "errorMessage": "One of each!"}]},
        {"key": "plan", "invalidValueMessage": "Not a plan"},
    ]
    settings = {"textOverrides": {"errors": {"required": "Overridden"}}}
    assert RuleFinder({"fields": fields, "settings": settings}, MESSAGES).rule_of(key, message) == rule


def test_rows_whose_keys_are_no_fields_do_not_also_lack_required_values() -> None:
    unknown = {**WIDER, "code": "keys_unknown", "message": "No key of the rows is a field."}
    outcome = with_cells(cell_error(0, "no", MESSAGES["required"], ""), warningDetails=[unknown])
    assert [problem.code for problem in read(outcome).problems] == ["keys_unknown"]
