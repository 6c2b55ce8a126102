"""Column hooks: one call with a whole column."""

import pytest

from sandbox.hooks import Changes, HookColumn, HookFailed
from tests.support.hooks import infos, start, texts


def column_changes(source: str, values: list[str], *, indexes: list[int] | None = None) -> Changes:
    hooks = {"columnHooks": [{"fieldName": "email", "callback": source}]}
    with start(hooks) as runner:
        return runner.column(runner.hooks.column[0], HookColumn(key="email", texts=values), indexes=indexes)


@pytest.mark.parametrize("name", ["fieldName", "fieldKey"])
def test_a_column_hook_names_its_field_either_way(name: str) -> None:
    with start({"columnHooks": [{name: "email", "callback": "(v) => v"}]}) as runner:
        assert [hook.target for hook in runner.hooks.column] == ["email"]


def test_only_values_that_differ_are_returned() -> None:
    source = "(values) => values.map((v) => ({...v, value: v.value.trim()}))"
    assert texts(column_changes(source, ["a", " b ", "c"])) == {"email": {1: "b"}}


def test_a_column_hook_sees_index_value_and_row_id() -> None:
    source = "(values) => [{index: 9, value: JSON.stringify(values)}]"
    assert texts(column_changes(source, ["a", "b"], indexes=[4, 9])) == {
        "email": {1: '[{"index":4,"value":"a","rowId":"row-4"},{"index":9,"value":"b","rowId":"row-9"}]'}
    }


def test_an_answer_for_some_values_leaves_the_others() -> None:
    source = "async (values) => [{index: 1, info: [{message: 'taken', level: 'error'}]}]"
    changes = column_changes(source, ["a", "b", "c"])
    assert infos(changes) == {"email": {1: [("taken", "error")]}}
    assert texts(changes) == {}


def test_nothing_returned_changes_nothing() -> None:
    assert column_changes("() => {}", ["a"]).columns == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("() => 'x'", "returned a string; it must return an array of {index, value}."),
        ("() => ['x']", "returned a string among its values; each must be {index, value}."),
        ("() => [{index: 5, value: 'x'}]", "returned a value with an index that it was not given."),
        ("() => [{value: 'x'}]", "returned a value with an index that it was not given."),
    ],
)
def test_a_wrong_shape_fails_the_import(source: str, sentence: str) -> None:
    with pytest.raises(HookFailed) as caught:
        column_changes(source, ["a"])
    assert str(caught.value) == f"columnHooks[0] {sentence}"
