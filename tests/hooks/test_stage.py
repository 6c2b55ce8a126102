"""The data hooks in their order over pages of rows, and what step hooks do to the rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox.hooks import HookFailed, HookStage, Message, Page, PageColumn, Pages, row_id
from tests.support.hooks import start


def read(key: str, texts: Sequence[str], _options: Mapping[int, Sequence[Any]]) -> tuple[Sequence[str], Sequence[Any]]:
    """Numbers are shown with a dollar sign; anything else as it is."""
    if key != "n":
        return texts, texts
    return [f"$ {text}" if text else "" for text in texts], [int(text) if text else None for text in texts]


def pages_of(rows: Sequence[tuple[str, str]], *, page_rows: int = 2) -> Pages:
    pages = Pages()
    for first in range(0, len(rows), page_rows):
        part = rows[first : first + page_rows]
        pages.append(
            Page(
                ids=[row_id(first + at) for at in range(len(part))],
                tails=[f"tail {first + at}" for at in range(len(part))],
                columns={
                    ("name", None): PageColumn([a for a, _ in part]),
                    ("n", None): PageColumn([b for _, b in part]),
                },
            )
        )
    return pages


@contextmanager
def staged(
    hooks: Mapping[str, Any], rows: Sequence[tuple[str, str]] = (("a", "1"), ("b", "2"), ("c", "3"))
) -> Iterator[HookStage]:
    with start(hooks, keys=("name", "n", "extra")) as runner:
        stage = HookStage(runner, pages_of(rows), read=read)
        yield stage
        stage.close()


def texts_of(stage: HookStage, key: str = "name") -> list[str]:
    return [text for page in stage.pages for text in page.columns[key, None].texts]


def test_column_hooks_run_before_bulk_hooks_and_those_before_row_hooks() -> None:
    hooks = {
        "rowHooks": ["(r) => ({row: {name: {value: r.row.name.value + ' row'}}})"],
        "bulkRowHooks": ["(rows) => rows.map((r) => { r.row.name.value += ' bulk'; return r; })"],
        "columnHooks": [{"fieldName": "name", "callback": "(v) => v.map((c) => ({...c, value: c.value + ' column'}))"}],
    }
    with staged(hooks) as stage:
        stage.run()
        assert texts_of(stage) == [f"{name} column bulk row" for name in "abc"]


def test_each_row_hook_sees_what_the_one_before_it_left_parsed_again() -> None:
    hooks = {
        "rowHooks": [
            "(r) => ({row: {n: {value: r.row.n.resultValue + 1}}})",
            "(r) => ({row: {name: {value: `${r.row.n.value} ${typeof r.row.n.resultValue}`}}})",
        ]
    }
    with staged(hooks) as stage:
        stage.run()
        assert texts_of(stage) == ["$ 2 number", "$ 3 number", "$ 4 number"]


def test_a_displayed_text_returned_as_it_was_leaves_the_text_of_the_file() -> None:
    with staged({"rowHooks": ["(r) => r"]}) as stage:
        stage.run()
        assert texts_of(stage, "n") == ["1", "2", "3"]


def test_indexes_run_on_over_pages() -> None:
    with staged({"rowHooks": ["(r) => ({row: {name: {value: `${r.index} ${r.rowId}`}}})"]}) as stage:
        stage.run()
        assert texts_of(stage) == ["0 row-0", "1 row-1", "2 row-2"]


def test_messages_of_a_column_hook_add_up_and_those_of_a_row_hook_replace() -> None:
    column = "(values) => [{index: 2, info: [{message: 'c'}]}]"
    hooks = {
        "columnHooks": [{"fieldName": "name", "callback": column}, {"fieldName": "name", "callback": column}],
        "rowHooks": ["(r) => r.index === 2 ? {row: {name: {info: [...r.row.name.info.slice(1), {message: 'r'}]}}} : r"],
    }
    with staged(hooks) as stage:
        stage.run()
        [_, page] = stage.pages
        assert page.columns["name", None].infos == {0: [Message("c"), Message("r")]}


def test_a_field_set_in_some_rows_is_empty_in_the_others() -> None:
    with staged({"rowHooks": ["(r) => r.index === 2 ? {row: {extra: {value: 'x'}}} : null"]}) as stage:
        stage.run()
        assert texts_of(stage, "extra") == ["", "", "x"]


def test_rows_are_added_in_place_and_at_the_end_and_removed_by_id() -> None:
    step = """(i) => {
        i.addRows([{index: 1, row: {name: {value: 'new', info: [{message: 'm'}]}}}, {row: {name: {value: 'last'}}}]);
        i.removeRows(['row-1', 'row-77']);
        i.updateInfoMessages([{rowIndex: 2, fieldKey: 'name', message: 'at c'}]);
        i.setUser({id: '7'});
    }"""
    with staged({"stepHooks": [{"type": "REVIEW_STEP_POST_HOOKS", "callback": step}]}) as stage:
        stage.apply_orders(stage._runner.review_step_post_hooks(header_mapping={}, fields={}))
        pages = list(stage.pages)
        assert texts_of(stage) == ["a", "new", "c", "last"]
        assert [row for page in pages for row in page.ids] == ["row-0", "added-1", "row-2", "added-2"]
        assert [tail for page in pages for tail in page.tails] == ["tail 0", None, "tail 2", None]
        assert [page.columns["name", None].infos for page in pages] == [
            {1: [Message("m")]},
            {0: [Message("at c")]},
            {},
        ]
        assert stage.orders.user == {"id": "7"}


def test_a_row_removed_by_a_row_hook_is_gone_afterwards() -> None:
    hooks = {
        "stepHooks": [{"type": "REVIEW_STEP", "callback": "(i) => { globalThis.kept = i; }"}],
        "rowHooks": ["(r) => { if (r.row.name.value === 'b') kept.removeRows([r.rowId]); }"],
    }
    with staged(hooks) as stage:
        stage.apply_orders(stage._runner.review_step(raw_headers=[], header_mapping={}, fields={}))
        stage.run()
        assert texts_of(stage) == ["a", "c"]


def test_an_added_row_may_set_a_field_that_no_column_is_mapped_to() -> None:
    step = "(i) => { i.addRows([{index: 3, row: {extra: {value: 'x'}}}]); }"
    with staged({"stepHooks": [{"type": "REVIEW_STEP", "callback": step}]}) as stage:
        stage.apply_orders(stage._runner.review_step(raw_headers=[], header_mapping={}, fields={}))
        assert texts_of(stage, "extra") == ["", "", "", "x"]


def test_a_column_hook_for_a_field_without_a_column_does_not_run() -> None:
    hooks = {"columnHooks": [{"fieldName": "extra", "callback": "() => { throw new Error('ran') }"}]}
    with staged(hooks) as stage:
        stage.run()
        assert texts_of(stage) == ["a", "b", "c"]


def test_a_failing_hook_leaves_the_pages_as_they_were() -> None:
    hook = "(r) => { if (r.index) throw new Error('second'); return {row: {name: {value: 'x'}}}; }"
    with staged({"rowHooks": [hook]}) as stage:
        with pytest.raises(HookFailed, match="second"):
            stage.run()
        assert texts_of(stage) == ["a", "b", "c"]


def test_pages_beyond_memory_are_read_back_from_disk() -> None:
    rows = [("x" * 200_000, str(at)) for at in range(200)]
    with pages_of(rows, page_rows=50) as pages:
        assert pages.row_count == 200
        assert [text for page in pages for text in page.columns["n", None].texts] == [str(at) for at in range(200)]
