"""Step hooks and beforeFinish: their data, and what their instance asks of the import."""

from typing import Any

import pytest

from sandbox.hooks import AddedCell, AddedField, AddedRow, CellMessage, Finish, HookFailed, HookRunner, Orders
from tests.support.hooks import batch, start, texts


def review(callback: str) -> Orders:
    with start({"stepHooks": [{"type": "REVIEW_STEP", "callback": callback}]}) as runner:
        return reviewed(runner)


def reviewed(runner: HookRunner) -> Orders:
    return runner.review_step(raw_headers=["Name"], header_mapping={"Name": "name"}, fields={"name": {}})


def finished(callback: str, rows: list[dict[str, Any]]) -> Finish:
    with start({"beforeFinishCallback": callback}) as runner:
        return runner.before_finish(rows, metadata={"filename": "a.csv"})


def test_the_upload_step_gets_filename_preview_and_session() -> None:
    callback = "(instance, data) => instance.setUser({id: JSON.stringify(data)})"
    with start({"stepHooks": [{"type": "UPLOAD_STEP", "callback": callback}]}) as runner:
        orders = runner.upload_step(filename="a.csv", preview=[["Name"], ["Ada"]], session=None)
    assert orders.user == {"id": '{"filename":"a.csv","dataPreview":[["Name"],["Ada"]],"sessionId":null}'}


def test_the_review_step_gets_headers_mapping_and_fields() -> None:
    orders = review("(instance, data) => instance.setUser({id: JSON.stringify(data)})")
    assert orders.user == {"id": '{"rawHeaders":["Name"],"headerMapping":{"Name":"name"},"fields":{"name":{}}}'}


@pytest.mark.parametrize("step", ["REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_the_later_steps_get_mapping_and_fields(step: str) -> None:
    callback = "(instance, data) => instance.setUser({id: JSON.stringify(data)})"
    with start({"stepHooks": [{"type": step, "callback": callback}]}) as runner:
        run = runner.review_step_post_hooks if step.endswith("HOOKS") else runner.review_step_pre_submit
        orders = run(header_mapping={"Name": "name"}, fields={})
    assert orders.user == {"id": '{"headerMapping":{"Name":"name"},"fields":{}}'}


def test_hooks_of_one_step_run_in_order_and_others_do_not() -> None:
    steps = [
        {"type": "REVIEW_STEP", "callback": "(i) => i.removeField('a')"},
        {"type": "UPLOAD_STEP", "callback": "(i) => i.removeField('never')"},
        {"type": "REVIEW_STEP", "callback": "async (i) => { await i.removeField('b'); }"},
    ]
    with start({"stepHooks": steps}) as runner:
        assert reviewed(runner).removed_fields == ("a", "b")


def test_a_step_without_hooks_asks_for_nothing() -> None:
    with start({"rowHooks": ["(r) => r"]}) as runner:
        assert not reviewed(runner)


def test_a_field_is_added_where_the_hook_wants_it() -> None:
    orders = review(
        "(i) => { i.addField({key: 'full', label: 'Full Name'}, {before: 'name'}); i.addField({key: 'last'}); }"
    )
    assert orders.added_fields == (
        AddedField(field={"key": "full", "label": "Full Name"}, before="name"),
        AddedField(field={"key": "last"}),
    )


def test_a_field_that_a_step_added_can_be_set_by_a_row_hook_and_a_removed_one_cannot() -> None:
    hooks = {
        "stepHooks": [
            {"type": "REVIEW_STEP", "callback": "(i) => { i.addField({key: 'full'}); i.removeField('gone'); }"}
        ],
        "rowHooks": ["() => ({row: {full: {value: 'x'}, gone: {value: 'y'}}})"],
    }
    with start(hooks, keys=("name", "email", "gone")) as runner:
        reviewed(runner)
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch([("", "")]))
    assert texts(changes) == {"full": {0: "x"}}


def test_added_rows_get_ids_at_once_and_keep_place_text_and_messages() -> None:
    orders = review("""async (i) => {
        const ids = await i.addRows([
            {index: 0, row: {name: {value: 1, info: [{message: 'm', level: 'info'}]}, nowhere: {value: 'x'}}},
            {row: {email: {manyToOne: [{value: 'a'}, {}]}}},
        ]);
        i.setUser({id: ids.join(' ')});
    }""")
    assert orders.user == {"id": "added-1 added-2"}
    assert orders.added_rows == (
        AddedRow(id="added-1", index=0, cells={"name": AddedCell(text="1", infos=(("m", "info"),))}),
        AddedRow(id="added-2", index=None, cells={"email": AddedCell(parts=(AddedCell(text="a"), AddedCell()))}),
    )


def test_a_row_added_and_removed_by_one_hook_is_not_asked_for() -> None:
    orders = review("""async (i) => {
        const [one, two] = await i.addRows([{row: {}}, {row: {}}]);
        i.removeRows([one, 'row-3']);
    }""")
    assert [row.id for row in orders.added_rows] == ["added-2"]
    assert orders.removed_rows == ("row-3",)


@pytest.mark.parametrize("method", ["updateInfoMessages", "addInfoMessages"])
def test_messages_are_accepted_flat_and_nested(method: str) -> None:
    orders = review(f"""(i) => i.{method}([
        {{rowIndex: 0, fieldKey: 'name', level: 'warning', message: 'flat'}},
        {{rowIndex: 1, fieldKey: 'name', messages: [{{message: 'one', level: 'info'}}, {{message: 'two'}}]}},
    ])""")
    assert orders.messages == (
        CellMessage(row_index=0, key="name", message="flat", level="warning"),
        CellMessage(row_index=1, key="name", message="one", level="info"),
        CellMessage(row_index=1, key="name", message="two", level="error"),
    )


def test_header_row_development_mode_and_user_are_settings_of_which_the_last_wins() -> None:
    orders = review("""(i) => {
        i.setHeaderRowOverride(4); i.setHeaderRowOverride(2);
        i.setDevelopmentMode(true); i.setConfirmationMessage('Sure?');
    }""")
    assert (orders.header_row, orders.header_row_given, orders.development_mode) == (2, True, True)


def test_the_header_row_can_be_given_back_to_detection() -> None:
    orders = review("(i) => i.setHeaderRowOverride(null)")
    assert (orders.header_row, orders.header_row_given) == (None, True)


def test_orders_of_two_steps_add_up() -> None:
    first = Orders(removed_fields=("a",), header_row=3, header_row_given=True, user={"id": "1"})
    both = first + Orders(removed_fields=("b",), header_row_given=True)
    assert both == Orders(removed_fields=("a", "b"), header_row=None, header_row_given=True, user={"id": "1"})


def test_an_instance_kept_from_a_step_works_in_a_later_hook() -> None:
    hooks = {
        "stepHooks": [{"type": "REVIEW_STEP", "callback": "(i) => { globalThis.kept = i; }"}],
        "rowHooks": ["(record) => { kept.removeRows([record.rowId]); }"],
    }
    with start(hooks) as runner:
        assert not reviewed(runner)
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch([("a", "")], first=5))
    assert changes.orders.removed_rows == ("row-5",)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("addField({})", "addField needs a field with a key"),
        ("removeField(1)", "removeField needs the key of a field"),
        ("addRows({})", "addRows needs an array of rows, not an object"),
        ("addRows([{index: 'x', row: {}}])", "a row's index is a whole number"),
        ("removeRows('row-1')", "removeRows needs an array of row ids, not a string"),
        ("updateInfoMessages([{}])", "updateInfoMessages needs messages of the form"),
        ("setHeaderRowOverride('first')", "setHeaderRowOverride needs the number of a row, or null"),
        ("setUser('me')", "setUser needs a user object, not a string"),
    ],
)
def test_a_method_called_wrongly_throws_at_once(call: str, message: str) -> None:
    with pytest.raises(HookFailed) as caught:
        review(f"(i) => {{ i.{call}; }}")
    assert str(caught.value).startswith(f"stepHooks[0] threw an error: TypeError: {message}")


def test_before_finish_gets_all_rows_and_the_metadata_and_can_cancel() -> None:
    callback = "(data, metadata) => ({cancel: true, message: `${data.length} ${data[5999].n} ${metadata.filename}`})"
    finish = finished(callback, [{"n": at} for at in range(6000)])
    assert (finish.cancelled, finish.message) == (True, "6000 5999 a.csv")


@pytest.mark.parametrize("answer", ["undefined", "null", "false", "{cancel: false, message: 'x'}", "{}"])
def test_before_finish_continues_unless_cancel_is_true(answer: str) -> None:
    assert finished(f"(data) => ({answer})", []).cancelled is False


def test_a_cancel_without_a_message_gets_one() -> None:
    assert finished("() => ({cancel: true})", []).message == "The beforeFinish callback cancelled the import."


def test_before_finish_can_use_the_instance() -> None:
    callback = "(data, metadata, instance) => { instance.setUser({id: '7'}); }"
    assert finished(callback, []).orders.user == {"id": "7"}


def test_without_before_finish_nothing_is_cancelled() -> None:
    with start({"rowHooks": ["(r) => r"]}) as runner:
        assert not runner.before_finish([{}], metadata={}).cancelled
