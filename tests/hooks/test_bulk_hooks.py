"""Bulk row hooks: one call with all rows, sent and received in batches."""

import pytest

from sandbox.hooks import HookFailed, HookLimits
from tests.support.hooks import batch, start, texts

FIRST = batch([("a", ""), ("b", "")])
SECOND = batch([("c", ""), ("d", "")], first=2)


def bulk_texts(source: str, limits: HookLimits | None = None) -> list[dict[str, dict[int, str]]]:
    with start({"bulkRowHooks": [source]}, limits=limits) as runner:
        return [texts(changes) for changes in runner.bulk(runner.hooks.bulk[0], iter([FIRST, SECOND]))]


def test_a_bulk_hook_sees_all_rows_at_once_and_its_changes_are_returned_by_batch() -> None:
    source = "(rows, mode) => rows.map((r) => { r.row.email.value = `${rows.length}${mode}${r.index}`; return r; })"
    assert bulk_texts(source) == [{"email": {0: "4init0", 1: "4init1"}}, {"email": {0: "4init2", 1: "4init3"}}]


def test_rows_are_identified_by_their_index_and_omitted_ones_stay() -> None:
    source = "async (rows) => [{index: 3, row: {email: {value: 'x'}}}, {index: 0, row: {email: {value: 'y'}}}]"
    assert bulk_texts(source) == [{"email": {0: "y"}}, {"email": {1: "x"}}]


def test_rows_without_an_index_are_taken_in_order() -> None:
    assert bulk_texts("(rows) => [{row: {email: {value: 'x'}}}]") == [{"email": {0: "x"}}, {}]


def test_a_bulk_hook_may_return_nothing() -> None:
    assert bulk_texts("() => {}") == [{}, {}]


def test_a_second_bulk_hook_gets_rows_of_its_own() -> None:
    double = "(rows) => [{index: 1, row: {email: {value: String(rows.length)}}}]"
    with start({"bulkRowHooks": [double, double]}) as runner:
        both = [[texts(part) for part in runner.bulk(hook, [FIRST])] for hook in runner.hooks.bulk]
    assert both == [[{"email": {1: "2"}}], [{"email": {1: "2"}}]]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("() => ({})", "returned an object; it must return an array of {row, index}."),
        ("() => [1]", "returned a number among its rows; each must be {row, index}."),
        ("() => [{index: 99, row: {}}]", "returned a row with an index that it was not given."),
        ("() => [{index: 0}]", "returned an object without a row; it must return {row}."),
    ],
)
def test_a_wrong_shape_fails_the_import(source: str, sentence: str) -> None:
    with pytest.raises(HookFailed) as caught:
        bulk_texts(source)
    assert str(caught.value) == f"bulkRowHooks[0] {sentence}"


def test_more_rows_than_allowed_fail_the_import_before_the_hook_runs() -> None:
    with pytest.raises(HookFailed, match="would get more than the 3 rows allowed for a bulk hook"):
        bulk_texts("() => {}", HookLimits(bulk_max_rows=3))
