"""Step hooks and the beforeFinish callback in a whole import."""

import pytest

from tests.support.engine import marks, run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
AGE = {"key": "age", "label": "Age", "type": "number"}
N = {"key": "n", "label": "N", "type": "number"}
TEXT = "Name,Age\nAda,36\nBob,x\n"


def test_the_upload_step_may_set_the_header_row_the_user_and_development_mode():
    callback = "(i) => { i.setHeaderRowOverride(1); i.setUser({id: 'u'}); i.setDevelopmentMode(true); }"
    outcome = run("Name\nName\n" + "x\n" * 101, NAME, hooks=step("UPLOAD_STEP", callback))
    assert outcome.metadata["headerRow"] == 1
    assert outcome.metadata["user"] == {"id": "u"}
    assert len(outcome.rows) == 100


def test_a_date_column_of_an_added_field_is_read_as_the_whole_column_says() -> None:
    callback = "(i) => i.addField({key: 'born', label: 'Born', type: 'date'})"
    outcome = run("Name,Born\nAda,27/03/2024\nBob,03/04/2024\n", NAME, hooks=step("UPLOAD_STEP", callback))
    assert [row["born"] for row in outcome.rows] == ["2024-03-27", "2024-04-03"]


def test_a_field_added_in_the_upload_step_finds_its_column():
    callback = "(i) => i.addField({key: 'more', label: 'More', type: 'number'}, {before: 'name'})"
    outcome = run("Name,More\nAda,5\n", NAME, hooks=step("UPLOAD_STEP", callback))
    assert outcome.rows == [{"more": 5, "name": "Ada"}]


def test_the_review_step_may_add_and_remove_fields_and_rows():
    callback = """(i) => {
      i.removeField('age');
      i.addField({key: 'more', label: 'More'}, {after: 'name'});
      i.addRows([{index: 0, row: {name: {value: 'First'}}}, {row: {name: {value: 'Last'}, more: {value: 'm'}}}]);
    }"""
    outcome = run(TEXT, NAME, AGE, hooks=step("REVIEW_STEP", callback))
    assert [row["name"] for row in outcome.rows] == ["First", "Ada", "Bob", "Last"]
    assert outcome.rows[3] == {"name": "Last", "more": "m"}
    assert "age" not in outcome.rows[1]


@pytest.mark.parametrize("kind", ["UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_a_field_removed_in_any_step_is_not_in_the_result(kind):
    hooks = step(kind, "async (i) => { await i.removeField('n'); }")
    outcome = run("Name,N\nAda,x\n", NAME, N, hooks=hooks)
    assert (outcome.rows, outcome.metadata["errorCount"]) == ([{"name": "Ada"}], 0)


@pytest.mark.parametrize("kind", ["REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_rows_are_added_where_they_are_asked_for_and_removed_by_their_ids(kind):
    callback = """async (i) => {
      const [id] = await i.addRows([{row: {name: {value: 'gone'}}}]);
      await i.addRows([{index: 0, row: {name: {value: 'first'}}}]);
      await i.removeRows([id, 'row-1']);
    }"""
    outcome = run("Name\nAda\nBob\nEve\n", NAME, hooks=step(kind, callback))
    assert [row["name"] for row in outcome.rows] == ["first", "Ada", "Eve"]


def test_an_added_row_has_its_messages():
    cell = "{value: '1', info: [{message: 'look', level: 'error'}]}"
    hooks = step("REVIEW_STEP", f"(i) => i.addRows([{{row: {{n: {cell}}}}}])")
    outcome = run("N\n2\n", N, hooks=hooks)
    assert (marks(outcome), outcome.rows) == ([(1, "n")], [{"n": 2}])


def test_development_mode_set_in_the_review_step_keeps_to_its_rows():
    hooks = step("REVIEW_STEP", "async (i) => { i.setDevelopmentMode(true); }")
    outcome = run("N\n" + "1\n" * 150, N, hooks=hooks)
    assert len(outcome.rows) == 100


@pytest.mark.parametrize("kind", ["REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_messages_of_the_review_steps_count_as_those_of_rows(kind):
    callback = "(i) => i.addInfoMessages([{rowIndex: 1, fieldKey: 'name', level: 'error', message: 'no'}])"
    outcome = run("Name\nAda\nBob\n", NAME, hooks=step(kind, callback))
    assert outcome.rows == [{"name": "Ada"}]
    assert outcome.metadata["errors"][0]["message"] == "no"


def test_the_later_steps_see_headers_and_fields():
    callback = "(i, data) => i.setUser({id: JSON.stringify([data.headerMapping, Object.keys(data.fields)])})"
    outcome = run("Full name,Age\nAda,3\n", {**NAME, "alternateMatches": ["Full name"]}, AGE,
                  hooks=step("REVIEW_STEP_POST_HOOKS", callback))  # fmt: skip
    assert outcome.metadata["user"] == {"id": '[{"Full name":"name","Age":"age"},["name","age"]]'}


def test_before_finish_gets_the_rows_that_would_be_submitted():
    callback = "(rows, meta) => ({cancel: true, message: JSON.stringify([rows, meta.totalRows])})"
    outcome = run(TEXT, NAME, AGE, hooks={"beforeFinishCallback": callback})
    assert outcome.status == "NEEDS_REVIEW"
    assert outcome.errors == [{"type": "CANCELLED", "message": '[[{"name":"Ada","age":36}],2]'}]


def test_before_finish_is_not_asked_while_errors_block():
    outcome = run(TEXT, NAME, AGE, hooks={"beforeFinishCallback": "() => { throw 1; }"},
                  invalidDataBehavior="BLOCK_SUBMIT")  # fmt: skip
    assert [error["type"] for error in outcome.errors] == ["VALIDATION"]
