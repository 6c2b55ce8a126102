"""What a person decides in a review, as the next run of the engine does it."""

import pytest

from sandbox.engine import run_import
from sandbox.engine.corrections import Corrections
from tests.support.engine import marks

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}
DAY = {"key": "day", "label": "Day", "type": "date"}
REQUIRED = {**NAME, "validators": [{"validate": "required"}]}
UNIQUE = {**NAME, "validators": [{"validate": "unique"}]}


def corrected(source, *fields, hooks=None, settings=None, **decided):
    """Import under BLOCK_SUBMIT, or other settings, with what was decided."""
    if hooks:
        pytest.importorskip("deno")
    schema = {
        "fields": list(fields),
        "settings": {"invalidDataBehavior": "BLOCK_SUBMIT", **(settings or {})},
        "hooks": hooks or {},
    }
    data = source.encode() if isinstance(source, str) else source
    return run_import(data, schema=schema, filename="a.csv", corrections=Corrections(**decided))


def test_a_corrected_cell_is_read_again():
    outcome = corrected("Name,N\nAda,x\n", NAME, N, cells={0: {("n", 0): "7"}})
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "Ada", "n": 7}])


def test_a_correction_that_is_still_wrong_asks_again():
    outcome = corrected("Name,N\nAda,x\n", NAME, N, cells={0: {("n", 0): "y"}})
    assert (outcome.status, outcome.errors[0]["value"]) == ("NEEDS_REVIEW", "y")


def test_a_date_is_corrected_as_it_is_displayed_whatever_the_order_in_the_file():
    outcome = corrected("Day\n27/03/2024\n28/03/2024\n", DAY, cells={0: {("day", 0): "3/4/2024"}})
    assert outcome.rows == [{"day": "2024-03-04"}, {"day": "2024-03-28"}]


def test_a_dropped_row_is_neither_judged_nor_in_the_result_and_the_others_keep_their_index():
    outcome = corrected("Name,N\nAda,x\nBob,2\nEve,y\n", NAME, N, dropped=frozenset({0}))
    assert marks(outcome) == [(2, "n")]
    assert [row["name"] for row in outcome.rows] == ["Bob", "Eve"]
    assert outcome.metadata["totalRows"] == 2
    assert outcome.metadata["rowsWithError"] == [2]


def test_uniqueness_sees_only_the_rows_left():
    assert corrected("Name\nAda\nAda\n", UNIQUE, dropped=frozenset({1})).status == "SUCCESSFUL"


def test_uniqueness_sees_corrected_values():
    outcome = corrected("Name\nAda\nBob\n", UNIQUE, cells={1: {("name", 0): "Ada"}})
    assert marks(outcome) == [(0, "name"), (1, "name")]


def test_without_blocking_what_is_invalid_goes_the_documented_way():
    outcome = corrected(
        "N\nx\ny\n3\n", N, settings={"invalidDataBehavior": "REMOVE_INVALID_ROWS"}, cells={0: {("n", 0): "1"}}
    )
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"n": 1}, {"n": 3}])


def test_a_person_names_the_header_row():
    outcome = corrected("a@x.io,1\nName,N\nAda,1\n", NAME, N, header_row=1)
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "Ada", "n": 1}])
    assert outcome.metadata["headerRow"] == 1


def test_a_persons_mapping_replaces_the_matching():
    outcome = corrected("Name,N,Other\nAda,1,Eve\n", NAME, N, columns={"name": (2,)})
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "Eve"}])


def test_only_what_is_needed_and_unmapped_is_missed_in_a_persons_mapping():
    outcome = corrected("Name,N\nAda,1\n", REQUIRED, N, columns={"n": (1,)})
    assert [(error["type"], error["fieldKey"]) for error in outcome.errors] == [("FIELD_NOT_MAPPED", "name")]


def test_a_file_without_a_header_can_be_mapped_by_hand():
    outcome = corrected("1,2\n3,4\n", NAME, N, columns={"name": (1,), "n": (0,)})
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "2", "n": 1}, {"name": "4", "n": 3}])


def test_the_parts_of_a_many_to_one_field_are_corrected_one_by_one():
    field = {**N, "manyToOne": True}
    outcome = corrected("Name,N,N,N\nAda,1,x,3\n", NAME, field, cells={0: {("n", 1): "2"}})
    assert outcome.rows == [{"name": "Ada", "n": [1, 2, 3]}]


def test_unmapped_columns_stay_with_their_row():
    outcome = corrected(
        "Name,Extra\nAda,one\nBob,two\n", NAME, settings={"passThroughUnmappedColumns": True}, dropped=frozenset({0})
    )
    assert outcome.rows == [{"name": "Bob", "$unmapped": {"1": "two"}}]


def test_corrections_of_many_rows_stay_with_their_rows():
    source = "N\n" + "".join(f"{row}\n" for row in range(12_000))
    outcome = corrected(source, N, cells={11_000: {("n", 0): "-1"}}, dropped=frozenset({5_000}))
    assert outcome.rows[10_999] == {"n": -1}
    assert len(outcome.rows) == 11_999


def test_rows_of_json_are_corrected_too():
    outcome = corrected([{"n": "x"}, {"n": 2}], N, cells={0: {("n", 0): "1"}})
    assert outcome.rows == [{"n": 1}, {"n": 2}]


def test_row_hooks_run_again_on_exactly_the_corrected_rows():
    hook = "(r, mode) => ({row: {name: {value: `${r.row.name.value} ${mode}${r.index}`}}})"
    outcome = corrected("Name\nAda\nBob\n", NAME, hooks={"rowHooks": [hook]}, cells={1: {("name", 0): "Eve"}})
    assert outcome.rows == [{"name": "Ada init0"}, {"name": "Eve update1"}]


def test_bulk_hooks_run_again_before_row_hooks_and_see_only_the_corrected_rows():
    hooks = {
        "bulkRowHooks": ["(rows, mode) => rows.map((r) => (r.row.name.value += ` ${mode}${rows.length}`, r))"],
        "rowHooks": ["(r) => ({row: {name: {value: r.row.name.value + '!'}}})"],
    }
    outcome = corrected("Name\nAda\nBob\n", NAME, hooks=hooks, cells={0: {("name", 0): "Eve"}})
    assert outcome.rows == [{"name": "Eve update1!"}, {"name": "Bob init2!"}]


def test_a_corrected_cell_loses_the_messages_of_its_old_text():
    hook = "(r) => r.row.n.value > '5' ? {row: {n: {info: [{message: 'too large'}]}}} : undefined"
    source, hooks = "N\n7\n8\n", {"rowHooks": [hook]}
    outcome = corrected(source, N, hooks=hooks, cells={0: {("n", 0): "1"}})
    assert marks(outcome) == [(1, "n")]
    assert corrected(source, N, hooks=hooks, cells={0: {("n", 0): "9"}}).metadata["errorCount"] == 2


def test_row_delete_hooks_are_told_of_the_dropped_rows():
    hooks = {
        "rowDeleteHooks": [
            "async (r) => { globalThis.gone = [...(globalThis.gone ?? []), r.row.name.value, r.index]; }"
        ],
        "beforeFinishCallback": "() => ({cancel: true, message: JSON.stringify(globalThis.gone)})",
    }
    outcome = corrected("Name\nAda\nBob\n", NAME, hooks=hooks, dropped=frozenset({1}))
    assert outcome.errors == [{"type": "CANCELLED", "message": '["Bob",1]'}]


def test_rows_that_the_submit_step_adds_can_be_corrected_and_dropped():
    hook = "(i) => i.addRows([{row: {n: {value: 'x'}}}, {row: {n: {value: 'y'}}}])"
    hooks = {"stepHooks": [{"type": "REVIEW_STEP_PRE_SUBMIT", "callback": hook}]}
    first = corrected("N\n1\n2\n", N, hooks=hooks, dropped=frozenset({0}))
    assert marks(first) == [(2, "n"), (3, "n")]
    second = corrected("N\n1\n2\n", N, hooks=hooks, dropped=frozenset({0, 3}), cells={2: {("n", 0): "5"}})
    assert (second.status, second.rows) == ("SUCCESSFUL", [{"n": 2}, {"n": 5}])
