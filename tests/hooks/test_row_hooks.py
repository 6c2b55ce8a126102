"""Row hooks: what they get, and what counts as a change."""

import pytest

from sandbox.hooks import Batch, HookColumn, HookRunner, Message
from tests.support.hooks import batch, infos, row_changes, row_failure, start, texts

ROW = [("Ada", "ada@x.io")]
ECHO = "(record, mode) => ({row: {name: {value: JSON.stringify([record, mode])}}})"


def test_a_returned_value_replaces_the_cells_text() -> None:
    source = '(record, mode) => { return { row: { name: { value: "Updated from row hook" } } }; }'
    assert texts(row_changes(source, ROW)) == {"name": {0: "Updated from row hook"}}


def test_a_returned_value_equal_to_the_given_one_is_no_change() -> None:
    assert row_changes("(record) => record", ROW).columns == []


def test_a_record_changed_in_place_and_returned_counts() -> None:
    source = "function (record) { const r = record; r.row.name.value = r.row.name.value.toUpperCase(); return r; }"
    assert texts(row_changes(source, ROW)) == {"name": {0: "ADA"}}


def test_a_record_changed_in_place_but_not_returned_is_no_change() -> None:
    assert row_changes("(record) => { record.row.name.value = 'x'; }", ROW).columns == []


@pytest.mark.parametrize("answer", ["undefined", "null", "{row: {}}", "{row: {name: null, email: {}}}"])
def test_nothing_returned_for_a_cell_leaves_it(answer: str) -> None:
    assert row_changes(f"() => ({answer})", ROW).columns == []


def test_a_spread_copy_of_the_row_works_like_the_row() -> None:
    source = "(record) => ({...record, row: {...record.row, email: {...record.row.email, value: 'new'}}})"
    assert texts(row_changes(source, ROW)) == {"email": {0: "new"}}


def test_a_hook_sees_value_result_info_index_row_id_and_mode() -> None:
    column = HookColumn(
        key="name", texts=["$ 1,234.57"], results=[1234.57], infos={0: [Message("odd", "warning")]}, options={0: ["a"]}
    )
    with start({"rowHooks": [ECHO]}) as runner:
        given = Batch(columns=[column], indexes=[41], ids=["added-1"])
        [(_, changes)] = runner.rows(runner.hooks.row[0], given, mode="update")
    assert texts(changes)["name"][0] == (
        '[{"row":{"name":{"value":"$ 1,234.57","resultValue":1234.57,'
        '"info":[{"message":"odd","level":"warning"}],"selectOptions":["a"]}},"index":41,"rowId":"added-1"},"update"]'
    )


def test_a_row_of_the_data_has_an_id_made_of_its_index() -> None:
    source = "(record) => ({row: {name: {value: record.rowId + '/' + record.index}}})"
    with start({"rowHooks": [source]}) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch(ROW, first=7))
    assert texts(changes) == {"name": {0: "row-7/7"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12.50", "12.5"),
        ("true", "true"),
        ("null", ""),
        ("10n", "10"),
        ("new Date(0)", "1970-01-01T00:00:00.000Z"),
        ("['a', 'b']", "a,b"),
        ("'\\ud800'", "\ufffd"),
    ],
)
def test_values_that_are_not_texts_become_texts(value: str, text: str) -> None:
    assert texts(row_changes(f"() => ({{row: {{name: {{value: {value}}}}}}})", ROW)) == {"name": {0: text}}


def test_an_array_is_joined_by_the_delimiter_of_a_multi_select_field() -> None:
    pytest.importorskip("deno")
    fields = [{"key": "name", "type": ["multi-select", {"delimiter": ";"}]}]
    with HookRunner.start({"rowHooks": ["() => ({row: {name: {value: ['a', 'b']}}})"]}, fields=fields) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch(ROW))
    assert texts(changes) == {"name": {0: "a;b"}}


def test_info_replaces_a_cells_messages_and_its_level_is_error_by_default() -> None:
    source = "() => ({row: {name: {info: [{message: 'bad'}, {message: 'hm', level: 'info'}]}}})"
    assert infos(row_changes(source, ROW)) == {"name": {0: [("bad", "error"), ("hm", "info")]}}


def test_info_pushed_onto_the_cells_own_array_counts() -> None:
    source = "(r) => { r.row.name.info.push({message: 'm', level: 'warning'}); return r; }"
    assert infos(row_changes(source, ROW)) == {"name": {0: [("m", "warning")]}}


def test_an_empty_info_clears_the_messages_that_a_cell_had() -> None:
    column = HookColumn(key="name", texts=["a", "b"], infos={1: [Message("old")]})
    with start({"rowHooks": ["() => ({row: {name: {info: []}}})"]}) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], Batch(columns=[column], indexes=range(2)))
    assert infos(changes) == {"name": {1: []}}


def test_select_options_of_one_cell_are_returned() -> None:
    source = "() => ({row: {name: {selectOptions: [{label: 'A', value: 'a'}]}}})"
    [change] = row_changes(source, ROW).columns
    assert change.options == {0: [{"label": "A", "value": "a"}]}


def test_each_part_of_a_many_to_one_field_changes_alone() -> None:
    columns = [HookColumn(key="name", texts=[text], part=part) for part, text in enumerate(["x", "y"])]
    source = "(r) => { r.row.name.manyToOne[1].value += r.row.name.value.length; return r; }"
    with start({"rowHooks": [source]}) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], Batch(columns=columns, indexes=range(1)))
    assert [(change.key, change.part, change.texts) for change in changes.columns] == [("name", 1, {0: "y2"})]


def test_a_field_without_a_column_can_be_set_and_an_unknown_key_is_ignored() -> None:
    source = "() => ({row: {hidden: {value: 'set'}, nowhere: {value: 'lost'}}})"
    assert texts(row_changes(source, ROW, keys=("name", "email", "hidden"))) == {"hidden": {0: "set"}}


def test_an_async_hook_is_awaited_one_row_after_the_other() -> None:
    source = """async (record) => {
        globalThis.running = (globalThis.running ?? 0) + 1;
        await new Promise((done) => setTimeout(done, 1));
        const seen = globalThis.running--;
        return {row: {name: {value: `${seen}`}}};
    }"""
    assert texts(row_changes(source, ROW * 3)) == {"name": {0: "1", 1: "1", 2: "1"}}


def test_all_hooks_of_an_import_share_one_global_object_and_imports_do_not() -> None:
    count = "() => { globalThis.n = (globalThis.n ?? 0) + 1; return {row: {name: {value: String(n)}}}; }"
    with start({"rowHooks": [count, count]}) as runner:
        numbers = [texts(changes) for hook in runner.hooks.row for _, changes in runner.rows(hook, batch(ROW))]
    assert numbers == [{"name": {0: "1"}}, {"name": {0: "2"}}]
    assert texts(row_changes(count, ROW)) == {"name": {0: "1"}}


def test_more_rows_than_a_message_holds_keep_their_positions() -> None:
    rows = [(f"n{at}", "") for at in range(2500)]
    source = "(r) => r.index % 1000 === 499 ? {row: {email: {value: r.row.name.value}}} : undefined"
    with start({"rowHooks": [source]}) as runner:
        found = {
            start_at + at: text
            for start_at, changes in runner.rows(runner.hooks.row[0], batch(rows))
            for at, text in texts(changes).get("email", {}).items()
        }
    assert found == {499: "n499", 1499: "n1499", 2499: "n2499"}


def test_text_that_is_no_unicode_passes_through_a_hook() -> None:
    source = "(r) => ({row: {email: {value: String(r.row.name.value.length)}}})"
    assert texts(row_changes(source, [("\ud800x", "")])) == {"email": {0: "2"}}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("() => 1", "rowHooks[0] returned a number; it must return {row}."),
        ("() => []", "rowHooks[0] returned an array; it must return {row}."),
        ("() => ({name: 'x'})", "rowHooks[0] returned an object without a row; it must return {row}."),
        ("() => ({row: {name: 'x'}})", "rowHooks[0] gave a string as the cell name; it must be an object."),
        ("() => ({row: {name: {value: {}}}})", "rowHooks[0] gave an object as the value of the field name."),
        ("() => ({row: {name: {value: () => 1}}})", "rowHooks[0] gave a function as the value of the field name."),
        ("() => ({row: {name: {info: 'x'}}})", "rowHooks[0] gave a string as the info of the field name;"),
        ("() => ({row: {name: {info: [1]}}})", "rowHooks[0] gave an info for the field name that is no"),
        ("() => ({row: {name: {selectOptions: 1}}})", "rowHooks[0] gave a number as the selectOptions of the field"),
    ],
)
def test_a_wrong_shape_fails_the_import_with_a_sentence(source: str, sentence: str) -> None:
    failure = row_failure(source)
    assert str(failure).startswith(sentence)
    assert failure.reason == "shape"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("(r) => { throw new Error('x') }", "rowHooks[0] threw an error: x"),
        ("async () => { throw new Error('late') }", "rowHooks[0] threw an error: late"),
        ("() => Promise.reject('plain')", "rowHooks[0] threw an error: plain"),
        ("() => { throw {message: 'object'} }", "rowHooks[0] threw an error: object"),
        ("() => null.x", "rowHooks[0] threw an error: TypeError: Cannot read properties of null (reading 'x')"),
        ("() => { throw null }", "rowHooks[0] threw an error: null"),
        ("() => { Promise.reject(new Error('left behind')) }", "rowHooks[0] threw an error: left behind"),
        ("() => { queueMicrotask(() => { throw new Error('later') }) }", "rowHooks[0] threw an error: later"),
        ("() => { throw {get message() { throw 1 }} }", "rowHooks[0] threw an error: an error that cannot be shown"),
    ],
)
def test_a_hook_that_throws_or_rejects_fails_the_import_with_its_message(source: str, sentence: str) -> None:
    failure = row_failure(source)
    assert str(failure) == sentence
    assert (failure.path, failure.reason) == ("rowHooks[0]", "threw")
