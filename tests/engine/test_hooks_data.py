"""Column, bulk and row hooks in a whole import: what they see, and what their answers change."""

import pytest

from tests.support.engine import marks, run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
AGE = {"key": "age", "label": "Age", "type": "number"}
N = {"key": "n", "label": "N", "type": "number"}
BORN = {"key": "born", "label": "Born", "type": "date"}
DAY = {"key": "day", "label": "Day", "type": "date"}
PLAN = {"key": "plan", "label": "Plan", "type": "select", "selectOptions": [{"label": "Free", "value": "free"}]}
KIND = {"key": "kind", "label": "Kind", "type": "select", "selectOptions": [{"label": "A", "value": "a"}]}
MANY = {"key": "tags", "label": "Tag", "manyToOne": True}
EXTRA = {"key": "extra", "label": "Extra"}
BLOCK = {"invalidDataBehavior": "BLOCK_SUBMIT"}
TEXT = "Name,Age\nAda,36\nBob,x\n"


def append(mark):
    return f"(r) => ({{row: {{name: {{value: r.row.name.value + ' {mark}'}}}}}})"


def say(message, level="error", key="name"):
    return f"() => ({{row: {{{key}: {{info: [{{message: '{message}', level: '{level}'}}]}}}}}})"


def test_column_bulk_and_row_hooks_run_in_this_order_and_see_what_the_former_left():
    hooks = {
        "rowHooks": [append("row"), append("row too")],
        "bulkRowHooks": ["(rows) => rows.map((r) => { r.row.name.value += ' bulk'; return r; })"],
        "columnHooks": [{"fieldName": "name", "callback": "(v) => v.map((c) => ({...c, value: c.value + ' col'}))"}],
    }
    outcome = run("Name\nAda\nBob\n", NAME, hooks=hooks)
    assert [row["name"] for row in outcome.rows] == ["Ada col bulk row row too", "Bob col bulk row row too"]


def test_hooks_see_the_displayed_text_and_the_result_value():
    spend = {"key": "spend", "label": "Spend", "type": ["number", "usd"]}
    hook = "(r) => ({row: {name: {value: JSON.stringify([r.row.spend.value, r.row.spend.resultValue, r.index])}}})"
    outcome = run("Name,Spend\nAda,1234.5\nBob,junk\n", NAME, spend, hooks={"rowHooks": [hook]})
    assert [row["name"] for row in outcome.rows] == ['["$ 1,234.50",1234.5,0]']
    kept = run("Name,Spend\nBob,junk\n", NAME, spend, hooks={"rowHooks": [hook]}, allowInvalidSubmit=True)
    assert kept.rows == [{"name": '["junk",null,0]', "spend": None}]


def test_a_changed_value_is_parsed_and_checked_again():
    repair = "(r) => r.row.age.value === 'x' ? {row: {age: {value: '40'}}} : {row: {age: {value: 'none'}}}"
    outcome = run(TEXT, NAME, AGE, hooks={"rowHooks": [repair]})
    assert outcome.rows == [{"name": "Bob", "age": 40}]
    assert marks(outcome) == [(0, "age")]


def test_uniqueness_looks_at_what_hooks_left():
    unique = {**NAME, "validators": [{"validate": "unique"}]}
    outcome = run("Name\nAda\nBob\nCy\n", unique, hooks={"rowHooks": [
        "(r) => r.index < 2 ? {row: {name: {value: 'same'}}} : undefined"]})  # fmt: skip
    assert marks(outcome) == [(0, "name"), (1, "name")]
    assert outcome.rows == [{"name": "Cy"}]


def test_messages_of_level_error_make_a_row_invalid_and_others_are_warnings():
    for level, kept in (("error", 0), ("warning", 2), ("info", 2)):
        outcome = run(TEXT, NAME, hooks={"rowHooks": [say("look", level)]})
        assert len(outcome.rows) == kept
        assert outcome.metadata["errorCount"] == 2 - kept
        assert ("Name: look (2 cells)" in outcome.metadata["warnings"]) is bool(kept)


def test_messages_of_hooks_follow_those_of_the_type_and_the_validators():
    strict = {**AGE, "validators": [{"validate": "regex_match", "regex": "^9", "errorMessage": "rule"}]}
    outcome = run("Age\nx\n", strict, hooks={"rowHooks": [say("hook", key="age")]}, invalidDataBehavior="BLOCK_SUBMIT")
    assert [error["message"] for error in outcome.errors][1:] == ["rule", "hook"]
    assert outcome.status == "NEEDS_REVIEW"


def test_a_warning_of_each_row_does_not_make_the_metadata_as_long_as_the_data():
    hook = "(r) => ({row: {n: {info: [{message: `odd ${r.index}`, level: 'warning'}]}}})"
    source = "N\n" + "".join(f"{row}\n" for row in range(1_500))
    outcome = run(source, N, hooks={"rowHooks": [hook]}, **BLOCK)
    assert (outcome.status, len(outcome.metadata["warnings"])) == ("SUCCESSFUL", 1_000)


def test_a_row_hook_may_give_a_cell_options_of_its_own():
    give = "(r) => ({row: {plan: {selectOptions: [{label: 'Gold', value: 'g'}]}}})"
    outcome = run("Plan\nGold\nFree\n", PLAN, hooks={"rowHooks": [give]})
    assert outcome.rows == [{"plan": "g"}]
    assert marks(outcome) == [(1, "plan")]


def test_a_later_row_hook_sees_the_value_that_a_cells_own_options_give():
    hooks = {
        "rowHooks": [
            "() => ({row: {kind: {selectOptions: [{label: 'B', value: 'b'}]}}})",
            "(r) => ({row: {name: {value: `${r.row.kind.value}/${r.row.kind.resultValue}`}}})",
        ]
    }
    outcome = run("Name,Kind\nAda,B\n", NAME, KIND, hooks=hooks)
    assert outcome.rows == [{"name": "B/b", "kind": "b"}]


def test_a_validator_that_shows_a_value_knows_its_own_options():
    kind = {**KIND, "validators": [{"validate": "regex_match", "regex": "^Bee$"}]}
    hooks = {"rowHooks": ["() => ({row: {kind: {selectOptions: [{label: 'Bee', value: 'b'}]}}})"]}
    assert run("Name,Kind\nAda,b\n", NAME, kind, hooks=hooks).rows == [{"name": "Ada", "kind": "b"}]


def test_options_that_are_no_objects_are_left_out():
    kind = {"key": "name", "label": "Name", "type": "select", "selectOptions": [{"label": "A", "value": "a"}]}
    hook = "() => ({row: {name: {selectOptions: ['b', {label: 'B', value: 'b'}]}}})"
    outcome = run("Name\nB\n", kind, hooks={"rowHooks": [hook]}, **BLOCK)
    assert outcome.rows == [{"name": "b"}]


def test_a_field_that_a_hook_fills_needs_no_column_and_is_last():
    required = {**EXTRA, "validators": [{"validate": "required"}]}
    fill = "() => ({row: {extra: {value: 'filled'}}})"
    outcome = run("Name\nAda\n", required, NAME, hooks={"rowHooks": [fill]})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "Ada", "extra": "filled"}]
    assert list(outcome.rows[0]) == ["name", "extra"]
    unfilled = run("Name\nAda\n", required, NAME, hooks={"rowHooks": ["() => undefined"]})
    assert [error["type"] for error in unfilled.errors] == ["FIELD_NOT_MAPPED"]


def test_a_date_that_only_hooks_set_is_read_like_one_of_the_file():
    outcome = run("Name\nAda\n", NAME, BORN, hooks={"rowHooks": ["() => ({row: {born: {value: '03/27/2024'}}})"]})
    assert outcome.rows == [{"name": "Ada", "born": "2024-03-27"}]


def test_a_date_that_a_hook_writes_is_read_as_it_is_displayed():
    hooks = {
        "rowHooks": ["(r) => ({row: {day: {value: r.row.day.value.replace('27', '4')}}})"],
        "stepHooks": [
            {"type": "REVIEW_STEP", "callback": "(i) => i.addRows([{row: {day: {value: '3/5/2024'}}}])"},
        ],
    }
    outcome = run("Day\n27/03/2024\n28/03/2024\n", DAY, hooks=hooks, **BLOCK)
    assert [row["day"] for row in outcome.rows] == ["2024-03-04", "2024-03-28", "2024-03-05"]


def test_a_many_to_one_field_reaches_hooks_part_by_part():
    shout = "(r) => ({row: {tags: {manyToOne: r.row.tags.manyToOne.map((c) => ({value: c.value.toUpperCase()}))}}})"
    outcome = run("Tag,Name,Tag\na,Ada,b\n", MANY, NAME, hooks={"rowHooks": [shout]})
    assert outcome.rows == [{"tags": ["A", "B"], "name": "Ada"}]


def test_columns_that_are_passed_through_stay_with_their_rows():
    hooks = step("REVIEW_STEP", "(i) => i.removeRows(['row-0'])")
    outcome = run("Name,Else\nAda,1\nBob,2\n", NAME, hooks=hooks, passThroughUnmappedColumns=True)
    assert outcome.rows == [{"name": "Bob", "$unmapped": {"1": "2"}}]


def test_json_rows_go_through_hooks_too():
    outcome = run([{"name": "Ada"}, {"name": "Bob"}], NAME, hooks={"rowHooks": [append("!")]})
    assert outcome.rows == [{"name": "Ada !"}, {"name": "Bob !"}]


def test_many_rows_go_through_row_and_bulk_hooks():
    text = "Name\n" + "".join(f"n{n}\n" for n in range(20_000))
    last = "(rows) => rows.slice(-1).map((r) => ({...r, row: {name: {value: 'last'}}}))"
    hooks = {"rowHooks": [append("r")], "bulkRowHooks": [last]}
    outcome = run(text, NAME, hooks=hooks)
    assert [outcome.rows[at]["name"] for at in (0, 5000, 19_998, 19_999)] == ["n0 r", "n5000 r", "n19998 r", "last r"]
    assert outcome.metadata["totalRows"] == 20_000
