"""What a person decides in a review, as the next run of the engine does it."""

import pytest

from sandbox.engine import run_import
from sandbox.engine.corrections import Corrections
from tests.support.engine import marks

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}
DAY = {"key": "day", "label": "Day", "type": "date"}


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


def test_a_date_is_corrected_as_it_is_displayed_whatever_the_order_in_the_file():
    outcome = corrected("Day\n27/03/2024\n28/03/2024\n", DAY, cells={0: {("day", 0): "3/4/2024"}})
    assert outcome.rows == [{"day": "2024-03-04"}, {"day": "2024-03-28"}]


def test_unmapped_columns_stay_with_their_row():
    outcome = corrected(
        "Name,Extra\nAda,one\nBob,two\n", NAME, settings={"passThroughUnmappedColumns": True}, dropped=frozenset({0})
    )
    assert outcome.rows == [{"name": "Bob", "$unmapped": {"1": "two"}}]


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


@pytest.mark.parametrize("asked", ["i.addRows([{index: 0, row: {n: {value: '9'}}}])", "i.removeRows(['row-0'])"])
def test_a_step_that_moves_rows_at_the_submit_does_not_move_what_a_person_dropped(asked):
    hooks = {"stepHooks": [{"type": "REVIEW_STEP_PRE_SUBMIT", "callback": f"(i) => {asked}"}]}
    outcome = corrected("N\n1\n2\n3\n", N, hooks=hooks, dropped=frozenset({1}))
    assert 2 not in [row["n"] for row in outcome.rows]
    assert 3 in [row["n"] for row in outcome.rows]


def test_a_date_that_a_hook_writes_is_read_as_it_is_displayed():
    hooks = {
        "rowHooks": ["(r) => ({row: {day: {value: r.row.day.value.replace('27', '4')}}})"],
        "stepHooks": [
            {"type": "REVIEW_STEP", "callback": "(i) => i.addRows([{row: {day: {value: '3/5/2024'}}}])"},
        ],
    }
    outcome = corrected("Day\n27/03/2024\n28/03/2024\n", DAY, hooks=hooks)
    assert [row["day"] for row in outcome.rows] == ["2024-03-04", "2024-03-28", "2024-03-05"]


def test_options_that_are_no_objects_are_left_out():
    kind = {"key": "name", "label": "Name", "type": "select", "selectOptions": [{"label": "A", "value": "a"}]}
    hook = "() => ({row: {name: {selectOptions: ['b', {label: 'B', value: 'b'}]}}})"
    outcome = corrected("Name\nB\n", kind, hooks={"rowHooks": [hook]})
    assert outcome.rows == [{"name": "b"}]


def test_a_warning_of_each_row_does_not_make_the_metadata_as_long_as_the_data():
    hook = "(r) => ({row: {n: {info: [{message: `odd ${r.index}`, level: 'warning'}]}}})"
    source = "N\n" + "".join(f"{row}\n" for row in range(1_500))
    outcome = corrected(source, N, hooks={"rowHooks": [hook]})
    assert (outcome.status, len(outcome.metadata["warnings"])) == ("SUCCESSFUL", 1_000)
