"""The numbered rules of docs/engine.md on hooks, each with a test of the same number."""

import json

import pytest

from sandbox.engine import run_import, schema_problems
from sandbox.hooks import HookLimits
from tests.support.engine import marks, run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
AGE = {"key": "age", "label": "Age", "type": "number"}
TEXT = "Name,Age\nAda,36\nBob,x\n"


def say(expression):
    """A row hook that puts an expression's JSON into the name."""
    return {"rowHooks": [f"(r, mode) => ({{row: {{name: {{value: JSON.stringify({expression})}}}}}})"]}


def names(outcome):
    return [row["name"] for row in outcome.rows]


def test_rule_05_the_upload_step_gets_the_file_s_name_and_first_rows():
    callback = "(i, d) => i.setUser({id: JSON.stringify([d.filename, d.dataPreview.length, d.dataPreview[1]])})"
    outcome = run("Name\n" + "x\n" * 40, NAME, hooks=step("UPLOAD_STEP", callback))
    assert json.loads(outcome.metadata["user"]["id"]) == ["a.csv", 20, ["x"]]


def test_rule_06_step_hooks_are_of_four_types():
    kinds = ("UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT")
    assert [schema_problems({"hooks": step(kind, "() => {}")}) for kind in kinds] == [[]] * 4
    assert schema_problems({"hooks": step("LAST_STEP", "() => {}")})


@pytest.mark.parametrize("name", ["addInfoMessages", "updateInfoMessages"])
@pytest.mark.parametrize("content", ["level: 'error', message: 'm'", "messages: [{level: 'error', message: 'm'}]"])
def test_rule_07_messages_have_two_names_and_two_forms(name, content):
    callback = f"(i) => i.{name}([{{rowIndex: 1, fieldKey: 'name', {content}}}])"
    assert marks(run(TEXT, NAME, hooks=step("REVIEW_STEP", callback))) == [(1, "name")]


@pytest.mark.parametrize("name", ["fieldName", "fieldKey"])
def test_rule_08_a_column_hook_names_its_field_in_two_ways(name):
    hook = {name: "name", "callback": "(values) => values.map((v) => ({...v, value: v.value + '!'}))"}
    assert names(run(TEXT, NAME, hooks={"columnHooks": [hook]})) == ["Ada!", "Bob!"]


def test_rule_45_hooks_run_in_their_order():
    mark = "(globalThis.seen ??= []).push"
    kinds = ("UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT")
    hooks = {
        "beforeFinishCallback": "(rows) => ({cancel: true, message: seen.join() + JSON.stringify(rows)})",
        "rowHooks": [f"() => {{ {mark}('row'); }}"],
        "bulkRowHooks": [f"(rows) => {{ {mark}('bulk'); return rows; }}"],
        "columnHooks": [{"fieldName": "name", "callback": f"(v) => {{ {mark}('column'); return v; }}"}],
        "stepHooks": [{"type": kind, "callback": f"() => {{ {mark}('{kind}'); }}"} for kind in reversed(kinds)],
    }
    (error,) = run("Name,Age\nAda,1\n", NAME, AGE, hooks=hooks).errors
    order = "UPLOAD_STEP,REVIEW_STEP,column,bulk,row,REVIEW_STEP_POST_HOOKS,REVIEW_STEP_PRE_SUBMIT"
    assert error == {"type": "CANCELLED", "message": order + '[{"name":"Ada","age":1}]'}


def test_rule_46_the_mode_is_init_and_hooks_of_deleted_rows_do_not_run():
    assert names(run("Name\nAda\n", NAME, hooks=say("mode"))) == ['"init"']
    hooks = {"rowDeleteHooks": ["() => { throw 1; }"]}
    assert names(run(TEXT, NAME, AGE, hooks=hooks)) == ["Ada"]


def test_rule_47_hooks_see_what_is_displayed_and_a_value_given_back_is_no_change():
    spend = {"key": "age", "label": "Age", "type": ["number", {"preset": "usd", "round": 4}]}
    outcome = run("Name,Age\nAda,1234.5678\n", NAME, spend, hooks=say("r.row.age.value"))
    assert outcome.rows == [{"name": '"$ 1,234.57"', "age": 1234.5678}]
    same = {"rowHooks": ["(r) => ({row: {age: {value: r.row.age.value}}})"]}
    assert run("Name,Age\nAda,1234.5678\n", NAME, spend, hooks=same).rows[0]["age"] == 1234.5678
    other = {"rowHooks": ["(r) => ({row: {age: {value: '$ 5'}}})"]}
    assert run("Name,Age\nAda,1234.5678\n", NAME, spend, hooks=other).rows[0]["age"] == 5


def test_rule_47_column_hooks_get_and_give_back_texts_of_the_file():
    spend = {"key": "age", "label": "Age", "type": ["number", {"preset": "usd"}]}
    shown = "(v) => v.map((c) => ({...c, info: [{level: 'error', message: c.value}]}))"
    hooks = {"columnHooks": [{"fieldName": "age", "callback": shown}]}
    outcome = run("Name,Age\nAda,1234.50\n", NAME, spend, hooks=hooks)
    assert [error["message"] for error in outcome.metadata["errors"]] == ["1234.50"]
    day = {"key": "day", "label": "Day", "type": ["date", {"displayFormat": "LL/dd/yyyy"}]}
    same = "(v) => v.map((c) => ({...c, value: c.value + ' '}))"
    hooks = {"columnHooks": [{"fieldName": "day", "callback": same}]}
    outcome = run("Name,Day\nAda,03/04/2024\nBob,31/12/2024\n", NAME, day, hooks=hooks)
    assert [row["day"] for row in outcome.rows] == ["2024-04-03", "2024-12-31"]


@pytest.mark.parametrize(
    ("text", "status"), [("Name,Age\nAda,5\n", "SUCCESSFUL"), ("foo,bar\nAda,5\n", "NEEDS_REVIEW")]
)
@pytest.mark.parametrize("kind", ["UPLOAD_STEP", "REVIEW_STEP"])
def test_rule_22_a_file_is_mapped_although_a_step_hook_removes_the_fields(kind, text, status):
    hooks = step(kind, "(i) => { i.removeField('name'); i.addField({key: 'z', label: 'Z'}); }")
    assert run(text, NAME, hooks=hooks).status == status


def test_rule_48_records_have_an_index_and_an_id_by_which_rows_go():
    outcome = run("Name\nAda\nBob\n", NAME, hooks=say("[r.index, typeof r.rowId]"))
    assert names(outcome) == ['[0,"string"]', '[1,"string"]']
    callback = """async (i) => {
      const ids = await i.addRows([{row: {name: {value: 'New'}}}, {row: {name: {value: 'Gone'}}}]);
      await i.removeRows([ids[1]]);
      i.addField({key: 'more', label: 'More'});
    }"""
    outcome = run("Name\nAda\n", NAME, hooks=step("REVIEW_STEP", callback))
    assert names(outcome) == ["Ada", "New"]


def test_rule_49_a_hook_that_returns_nothing_changes_nothing_and_a_message_is_an_error():
    for nothing in ("() => undefined", "() => null", "() => ({row: {nobody: {value: 'x'}}})"):
        assert names(run("Name\nAda\n", NAME, hooks={"rowHooks": [nothing]})) == ["Ada"]
    plain = {"rowHooks": ["() => ({row: {name: {info: [{message: 'm'}]}}})"]}
    assert marks(run("Name\nAda\n", NAME, hooks=plain)) == [(0, "name")]


def test_rule_50_row_hooks_wait_for_each_other_and_are_kept_in_bounds():
    slow = "async (r) => { globalThis.n ??= 0; const at = n; await new Promise((f) => setTimeout(f, 1)); n = at + 1; "
    outcome = run("Name\na\nb\nc\n", NAME, hooks={"rowHooks": [slow + "return {row: {name: {value: `${n}`}}}; }"]})
    assert names(outcome) == ["1", "2", "3"]
    fetching = {"rowHooks": ["async () => { await fetch('http://127.0.0.1:9/'); }"]}
    assert run("Name\na\n", NAME, hooks=fetching).status == "FAILED"
    schema = {"fields": [NAME], "hooks": {"rowHooks": ["() => { for (;;); }"]}}
    assert run_import(b"Name\na\n", schema=schema, filename="", hook_limits=HookLimits(call_s=0.3)).status == "FAILED"
    assert (HookLimits().call_s, HookLimits().import_s) == (30.0, 600.0)
