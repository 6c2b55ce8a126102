"""A schema's hooks inside a whole import: when each kind runs, and what its answers change."""

from typing import Any

import pytest

from sandbox.engine import Outcome, run_import
from sandbox.hooks import HookLimits
from tests.support.engine import marks, run

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
EMAIL = {"key": "email", "label": "Email", "type": "email"}
AGE = {"key": "age", "label": "Age", "type": "number"}
BORN = {"key": "born", "label": "Born", "type": "date"}
PLAN = {"key": "plan", "label": "Plan", "type": "select", "selectOptions": [{"label": "Free", "value": "free"}]}
MANY = {"key": "tags", "label": "Tag", "manyToOne": True}
EXTRA = {"key": "extra", "label": "Extra"}
TEXT = "Name,Age\nAda,36\nBob,x\n"


def append(mark: str) -> str:
    return f"(r) => ({{row: {{name: {{value: r.row.name.value + ' {mark}'}}}}}})"


def say(message: str, level: str = "error", key: str = "name") -> str:
    return f"() => ({{row: {{{key}: {{info: [{{message: '{message}', level: '{level}'}}]}}}}}})"


def step(kind: str, callback: str) -> dict[str, Any]:
    return {"stepHooks": [{"type": kind, "callback": callback}]}


def failure(outcome: Outcome) -> str:
    assert outcome.status == "FAILED"
    assert outcome.rows is None
    return str(outcome.errors[0]["message"])


def test_column_bulk_and_row_hooks_run_in_this_order_and_see_what_the_former_left() -> None:
    hooks = {
        "rowHooks": [append("row"), append("row too")],
        "bulkRowHooks": ["(rows) => rows.map((r) => { r.row.name.value += ' bulk'; return r; })"],
        "columnHooks": [{"fieldName": "name", "callback": "(v) => v.map((c) => ({...c, value: c.value + ' col'}))"}],
    }
    outcome = run("Name\nAda\nBob\n", NAME, hooks=hooks)
    assert [row["name"] for row in outcome.rows] == ["Ada col bulk row row too", "Bob col bulk row row too"]


def test_hooks_run_in_mode_init() -> None:
    outcome = run("Name\nAda\n", NAME, hooks={"rowHooks": ["(r, mode) => ({row: {name: {value: mode}}})"]})
    assert outcome.rows == [{"name": "init"}]


def test_hooks_see_what_is_displayed_and_the_result_value_beside_it() -> None:
    spend = {"key": "spend", "label": "Spend", "type": ["number", "usd"]}
    hook = "(r) => ({row: {name: {value: JSON.stringify([r.row.spend.value, r.row.spend.resultValue, r.index])}}})"
    outcome = run("Name,Spend\nAda,1234.5\nBob,junk\n", NAME, spend, hooks={"rowHooks": [hook]})
    assert [row["name"] for row in outcome.rows] == ['["$ 1,234.50",1234.5,0]']
    kept = run("Name,Spend\nBob,junk\n", NAME, spend, hooks={"rowHooks": [hook]}, allowInvalidSubmit=True)
    assert kept.rows == [{"name": '["junk",null,0]', "spend": None}]


def test_a_changed_value_is_parsed_and_checked_anew() -> None:
    mend = "(r) => r.row.age.value === 'x' ? {row: {age: {value: '40'}}} : {row: {age: {value: 'none'}}}"
    outcome = run(TEXT, NAME, AGE, hooks={"rowHooks": [mend]})
    assert outcome.rows == [{"name": "Bob", "age": 40}]
    assert marks(outcome) == [(0, "age")]


def test_uniqueness_looks_at_what_hooks_left() -> None:
    unique = {**NAME, "validators": [{"validate": "unique"}]}
    outcome = run("Name\nAda\nBob\nCy\n", unique, hooks={"rowHooks": [
        "(r) => r.index < 2 ? {row: {name: {value: 'same'}}} : undefined"]})  # fmt: skip
    assert marks(outcome) == [(0, "name"), (1, "name")]
    assert outcome.rows == [{"name": "Cy"}]


def test_messages_of_level_error_make_a_row_invalid_and_others_are_warnings() -> None:
    for level, kept in (("error", 0), ("warning", 2), ("info", 2)):
        outcome = run(TEXT, NAME, hooks={"rowHooks": [say("look", level)]})
        assert len(outcome.rows) == kept
        assert outcome.metadata["errorCount"] == 2 - kept
        assert ("Name: look (2 cells)" in outcome.metadata["warnings"]) is bool(kept)


def test_messages_of_hooks_come_after_the_type_and_the_validators() -> None:
    strict = {**AGE, "validators": [{"validate": "regex_match", "regex": "^9", "errorMessage": "rule"}]}
    outcome = run("Age\nx\n", strict, hooks={"rowHooks": [say("hook", key="age")]}, invalidDataBehavior="BLOCK_SUBMIT")
    assert [error["message"] for error in outcome.errors][1:] == ["rule", "hook"]
    assert outcome.status == "NEEDS_REVIEW"


def test_a_row_hook_may_give_a_cell_options_of_its_own() -> None:
    give = "(r) => ({row: {plan: {selectOptions: [{label: 'Gold', value: 'g'}]}}})"
    outcome = run("Plan\nGold\nFree\n", PLAN, hooks={"rowHooks": [give]})
    assert outcome.rows == [{"plan": "g"}]
    assert marks(outcome) == [(1, "plan")]


def test_a_field_that_a_hook_fills_needs_no_column_and_comes_last() -> None:
    required = {**EXTRA, "validators": [{"validate": "required"}]}
    fill = "() => ({row: {extra: {value: 'filled'}}})"
    outcome = run("Name\nAda\n", required, NAME, hooks={"rowHooks": [fill]})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "Ada", "extra": "filled"}]
    assert list(outcome.rows[0]) == ["name", "extra"]
    unfilled = run("Name\nAda\n", required, NAME, hooks={"rowHooks": ["() => undefined"]})
    assert [error["type"] for error in unfilled.errors] == ["FIELD_NOT_MAPPED"]


def test_a_date_that_only_hooks_set_is_read_like_one_of_the_file() -> None:
    outcome = run("Name\nAda\n", NAME, BORN, hooks={"rowHooks": ["() => ({row: {born: {value: '03/27/2024'}}})"]})
    assert outcome.rows == [{"name": "Ada", "born": "2024-03-27"}]


def test_a_many_to_one_field_reaches_hooks_part_by_part() -> None:
    shout = "(r) => ({row: {tags: {manyToOne: r.row.tags.manyToOne.map((c) => ({value: c.value.toUpperCase()}))}}})"
    outcome = run("Tag,Name,Tag\na,Ada,b\n", MANY, NAME, hooks={"rowHooks": [shout]})
    assert outcome.rows == [{"tags": ["A", "B"], "name": "Ada"}]


def test_columns_that_are_passed_through_come_with_their_rows() -> None:
    hooks = step("REVIEW_STEP", "(i) => i.removeRows(['row-0'])")
    outcome = run("Name,Else\nAda,1\nBob,2\n", NAME, hooks=hooks, passThroughUnmappedColumns=True)
    assert outcome.rows == [{"name": "Bob", "$unmapped": {"1": "2"}}]


def test_json_rows_go_through_hooks_too() -> None:
    outcome = run([{"name": "Ada"}, {"name": "Bob"}], NAME, hooks={"rowHooks": [append("!")]})
    assert outcome.rows == [{"name": "Ada !"}, {"name": "Bob !"}]


def test_many_rows_go_through_row_and_bulk_hooks() -> None:
    text = "Name\n" + "".join(f"n{n}\n" for n in range(20_000))
    last = "(rows) => rows.slice(-1).map((r) => ({...r, row: {name: {value: 'last'}}}))"
    hooks = {"rowHooks": [append("r")], "bulkRowHooks": [last]}
    outcome = run(text, NAME, hooks=hooks)
    assert [outcome.rows[at]["name"] for at in (0, 5000, 19_998, 19_999)] == ["n0 r", "n5000 r", "n19998 r", "last r"]
    assert outcome.metadata["totalRows"] == 20_000


def test_the_upload_step_may_set_the_header_row_the_user_and_development_mode() -> None:
    callback = "(i) => { i.setHeaderRowOverride(1); i.setUser({id: 'u'}); i.setDevelopmentMode(true); }"
    outcome = run("Name\nName\n" + "x\n" * 101, NAME, hooks=step("UPLOAD_STEP", callback))
    assert outcome.metadata["headerRow"] == 1
    assert outcome.metadata["user"] == {"id": "u"}
    assert len(outcome.rows) == 100


def test_a_field_added_in_the_upload_step_finds_its_column() -> None:
    callback = "(i) => i.addField({key: 'more', label: 'More', type: 'number'}, {before: 'name'})"
    outcome = run("Name,More\nAda,5\n", NAME, hooks=step("UPLOAD_STEP", callback))
    assert outcome.rows == [{"more": 5, "name": "Ada"}]


def test_the_review_step_may_add_and_remove_fields_and_rows() -> None:
    callback = """(i) => {
      i.removeField('age');
      i.addField({key: 'more', label: 'More'}, {after: 'name'});
      i.addRows([{index: 0, row: {name: {value: 'First'}}}, {row: {name: {value: 'Last'}, more: {value: 'm'}}}]);
    }"""
    outcome = run(TEXT, NAME, AGE, hooks=step("REVIEW_STEP", callback))
    assert [row["name"] for row in outcome.rows] == ["First", "Ada", "Bob", "Last"]
    assert outcome.rows[3] == {"name": "Last", "more": "m"}
    assert "age" not in outcome.rows[1]


def test_a_field_that_cannot_be_used_fails_the_import_that_adds_it() -> None:
    outcome = run(TEXT, NAME, hooks=step("REVIEW_STEP", "(i) => i.addField({key: 'z', type: 'nonsense'})"))
    assert "added a field that cannot be used" in failure(outcome)


@pytest.mark.parametrize("kind", ["REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_messages_of_the_review_steps_count_as_those_of_rows(kind: str) -> None:
    callback = "(i) => i.addInfoMessages([{rowIndex: 1, fieldKey: 'name', level: 'error', message: 'no'}])"
    outcome = run("Name\nAda\nBob\n", NAME, hooks=step(kind, callback))
    assert outcome.rows == [{"name": "Ada"}]
    assert outcome.metadata["errors"][0]["message"] == "no"


def test_the_later_steps_see_headers_and_fields() -> None:
    callback = "(i, data) => i.setUser({id: JSON.stringify([data.headerMapping, Object.keys(data.fields)])})"
    outcome = run("Full name,Age\nAda,3\n", {**NAME, "alternateMatches": ["Full name"]}, AGE,
                  hooks=step("REVIEW_STEP_POST_HOOKS", callback))  # fmt: skip
    assert outcome.metadata["user"] == {"id": '[{"Full name":"name","Age":"age"},["name","age"]]'}


def test_before_finish_gets_the_rows_that_would_be_submitted() -> None:
    callback = "(rows, meta) => ({cancel: true, message: JSON.stringify([rows, meta.totalRows])})"
    outcome = run(TEXT, NAME, AGE, hooks={"beforeFinishCallback": callback})
    assert outcome.status == "NEEDS_REVIEW"
    assert outcome.errors == [{"type": "CANCELLED", "message": '[[{"name":"Ada","age":36}],2]'}]


def test_before_finish_is_not_asked_while_errors_block() -> None:
    outcome = run(TEXT, NAME, AGE, hooks={"beforeFinishCallback": "() => { throw 1; }"},
                  invalidDataBehavior="BLOCK_SUBMIT")  # fmt: skip
    assert [error["type"] for error in outcome.errors] == ["VALIDATION"]


def test_async_hooks_are_awaited_one_after_another() -> None:
    hook = "async (r) => { globalThis.n ??= 0; await null; return {row: {name: {value: `${globalThis.n++}`}}}; }"
    outcome = run("Name\na\nb\nc\n", NAME, hooks={"rowHooks": [hook]})
    assert [row["name"] for row in outcome.rows] == ["0", "1", "2"]


THROW = "() => { throw new Error('told so'); }"


@pytest.mark.parametrize(
    "hooks",
    [
        step("UPLOAD_STEP", THROW),
        step("REVIEW_STEP", THROW),
        {"columnHooks": [{"fieldName": "name", "callback": THROW}]},
        {"bulkRowHooks": [THROW]},
        {"rowHooks": [THROW]},
        step("REVIEW_STEP_POST_HOOKS", THROW),
        step("REVIEW_STEP_PRE_SUBMIT", THROW),
        {"beforeFinishCallback": THROW},
    ],
    ids=["upload", "review", "column", "bulk", "row", "post", "pre-submit", "finish"],
)
def test_a_hook_that_throws_fails_the_import_with_its_words(hooks: dict[str, Any]) -> None:
    assert "told so" in failure(run("Name\nAda\n", NAME, hooks=hooks))


def test_a_hook_over_its_time_fails_the_import() -> None:
    schema = {"fields": [NAME], "hooks": {"rowHooks": ["() => { for (;;); }"]}}
    outcome = run_import(b"Name\nAda\n", schema=schema, filename="a.csv", hook_limits=HookLimits(call_s=0.5))
    assert "rowHooks[0]" in failure(outcome)


def test_a_hook_may_not_fetch() -> None:
    hook = "async () => { await fetch('http://127.0.0.1:8123/'); }"
    assert "Hooks may not do this here" in failure(run("Name\nAda\n", NAME, hooks={"rowHooks": [hook]}))


def test_a_missing_header_asks_for_a_person_before_the_data_hooks_run() -> None:
    outcome = run("1,2\n3,4\n", NAME, AGE, hooks={"rowHooks": [THROW]})
    assert [error["type"] for error in outcome.errors] == ["HEADER_NOT_FOUND"]


def test_row_delete_hooks_alone_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.engine.hooks.HookRunner.start", lambda *_args, **_options: pytest.fail("started"))
    assert run("Name\nAda\n", NAME, hooks={"rowDeleteHooks": [THROW]}).status == "SUCCESSFUL"


def test_without_the_extra_a_schema_with_hooks_fails_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deno", None)
    sentence = failure(run("Name\nAda\n", NAME, hooks={"rowHooks": [append("x")]}))
    assert "pip install 'dromo-bulkhead[hooks]'" in sentence
