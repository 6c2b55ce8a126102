"""Hooks of an import that a person corrected: they run again on corrected rows, and get the dropped ones."""

import pytest

from sandbox.engine.corrections import Corrections
from tests.support.engine import marks, run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
AGE = {"key": "age", "label": "Age", "type": "number"}
N = {"key": "n", "label": "N", "type": "number"}
STRICT = {"invalidDataBehavior": "BLOCK_SUBMIT"}


def correct(source, *fields, settings=STRICT, hooks=None, **decided):
    """Import with what was decided in a review, under BLOCK_SUBMIT or other settings."""
    return run(source, *fields, hooks=hooks, corrections=Corrections(**decided), **settings)


def test_row_and_bulk_hooks_run_again_only_on_the_corrected_rows_in_mode_update():
    hooks = {
        "rowHooks": ["(r, mode) => ({row: {name: {value: r.row.name.value + ' ' + mode + r.index}}})"],
        "bulkRowHooks": ["(rows, mode) => rows.map((r) => ({...r, row: {age: {value: `${rows.length}`}}}))"],
    }
    outcome = correct("Name,Age\nAda,\nBob,\nCy,\n", NAME, AGE, hooks=hooks, cells={1: {("name", 0): "Rob"}})
    assert outcome.rows == [
        {"name": "Ada init0", "age": 3},
        {"name": "Rob update1", "age": 1},
        {"name": "Cy init2", "age": 3},
    ]


def test_bulk_hooks_run_again_before_row_hooks_and_see_only_the_corrected_rows():
    hooks = {
        "bulkRowHooks": ["(rows, mode) => rows.map((r) => (r.row.name.value += ` ${mode}${rows.length}`, r))"],
        "rowHooks": ["(r) => ({row: {name: {value: r.row.name.value + '!'}}})"],
    }
    outcome = correct("Name\nAda\nBob\n", NAME, hooks=hooks, cells={0: {("name", 0): "Eve"}})
    assert outcome.rows == [{"name": "Eve update1!"}, {"name": "Bob init2!"}]


def test_a_corrected_cell_loses_the_messages_of_its_old_text():
    hook = "(r) => r.row.n.value > '5' ? {row: {n: {info: [{message: 'too large'}]}}} : undefined"
    source, hooks = "N\n7\n8\n", {"rowHooks": [hook]}
    outcome = correct(source, N, hooks=hooks, cells={0: {("n", 0): "1"}})
    assert marks(outcome) == [(1, "n")]
    assert correct(source, N, hooks=hooks, cells={0: {("n", 0): "9"}}).metadata["errorCount"] == 2


def test_a_message_of_a_column_hook_goes_with_its_cell_alone():
    callback = "(v) => v.map((c) => ({...c, info: [{message: 'col', level: 'error'}]}))"
    hooks = {
        "columnHooks": [{"fieldName": key, "callback": callback} for key in ("name", "age")],
        "rowHooks": ["() => undefined"],
    }
    outcome = correct("Name,Age\nAda,1\n", NAME, AGE, hooks=hooks, cells={0: {("name", 0): "Eve"}})
    assert marks(outcome) == [(0, "age")]


def test_row_delete_hooks_get_the_dropped_rows():
    hooks = {
        "rowDeleteHooks": ["(r) => { globalThis.gone = (globalThis.gone ?? '') + r.row.name.value + r.index; }"],
        "beforeFinishCallback": "() => ({cancel: true, message: globalThis.gone})",
    }
    outcome = correct("Name\nAda\nBob\nCy\n", NAME, hooks=hooks, dropped=frozenset({0, 2}))
    assert outcome.errors == [{"type": "CANCELLED", "message": "Ada0Cy2"}]


def test_a_row_delete_hook_that_throws_fails_the_import():
    hooks = {"rowDeleteHooks": ["() => { throw new Error('kept'); }"]}
    assert correct("Name\nAda\nBob\n", NAME, hooks=hooks, dropped=frozenset({0})).status == "FAILED"


def test_rows_that_the_submit_step_adds_can_be_corrected_and_dropped():
    hook = "(i) => i.addRows([{row: {n: {value: 'x'}}}, {row: {n: {value: 'y'}}}])"
    hooks = step("REVIEW_STEP_PRE_SUBMIT", hook)
    first = correct("N\n1\n2\n", N, hooks=hooks, dropped=frozenset({0}))
    assert marks(first) == [(2, "n"), (3, "n")]
    second = correct("N\n1\n2\n", N, hooks=hooks, dropped=frozenset({0, 3}), cells={2: {("n", 0): "5"}})
    assert (second.status, second.rows) == ("SUCCESSFUL", [{"n": 2}, {"n": 5}])


@pytest.mark.parametrize("asked", ["i.addRows([{index: 0, row: {n: {value: '9'}}}])", "i.removeRows(['row-0'])"])
def test_a_step_that_moves_rows_at_the_submit_does_not_move_what_a_person_dropped(asked):
    hooks = step("REVIEW_STEP_PRE_SUBMIT", f"(i) => {asked}")
    outcome = correct("N\n1\n2\n3\n", N, hooks=hooks, dropped=frozenset({1}))
    assert 2 not in [row["n"] for row in outcome.rows]
    assert 3 in [row["n"] for row in outcome.rows]
