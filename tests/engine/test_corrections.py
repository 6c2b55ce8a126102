"""What a person decided in a review: the next run does it, and judges what it makes."""

from collections.abc import Sequence
from typing import Any

import pytest

from sandbox.engine import Outcome, run_import
from sandbox.engine.corrections import NO_HEADER, Corrections
from sandbox.engine.draft import DraftRow, Layout
from tests.support.engine import marks

NAME = {"key": "name", "label": "Name", "validators": [{"validate": "required"}]}
AGE = {"key": "age", "label": "Age", "type": "number"}
TAGS = {"key": "tags", "label": "Tag", "manyToOne": True}
STRICT = {"invalidDataBehavior": "BLOCK_SUBMIT"}


class Recorder:
    """A draft that keeps what it is told."""

    def __init__(self) -> None:
        self.layout: Layout | None = None
        self.rows: list[DraftRow] = []

    def begin(self, layout: Layout) -> None:
        assert self.layout is None
        self.layout = layout

    def add(self, rows: Sequence[DraftRow]) -> None:
        self.rows += rows


def correct(
    text: str, *fields: Any, settings: Any = STRICT, hooks: Any = None, draft: Recorder | None = None, **decided: Any
) -> Outcome:
    schema = {"fields": list(fields), "settings": settings, "hooks": hooks or {}}
    return run_import(text.encode(), schema=schema, filename="a.csv", corrections=Corrections(**decided), draft=draft)


def test_a_corrected_cell_is_parsed_and_lets_the_import_through() -> None:
    outcome = correct("Name,Age\nAda,x\nBob,2\n", NAME, AGE, cells={0: {("age", 0): "36"}})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 2}]


def test_a_wrong_correction_keeps_the_review_open() -> None:
    outcome = correct("Name,Age\nAda,x\n", NAME, AGE, cells={0: {("age", 0): "still no number"}})
    assert outcome.status == "NEEDS_REVIEW"
    assert [(error["rowIndex"], error["value"]) for error in outcome.errors] == [(0, "still no number")]


def test_dropped_rows_are_gone_and_the_others_keep_their_indexes() -> None:
    outcome = correct("Name,Age\nAda,x\nBob,2\nCy,y\n", NAME, AGE, dropped=frozenset({0}))
    assert marks(outcome) == [(2, "age")]
    assert [row["name"] for row in outcome.rows] == ["Bob", "Cy"]
    assert outcome.metadata["totalRows"] == 2


def test_uniqueness_does_not_see_dropped_rows_and_sees_corrected_ones() -> None:
    unique = {"key": "name", "label": "Name", "validators": [{"validate": "unique"}]}
    assert correct("Name\nAda\nAda\n", unique, dropped=frozenset({0})).status == "SUCCESSFUL"
    outcome = correct("Name\nAda\nBob\n", unique, cells={1: {("name", 0): "Ada"}})
    assert marks(outcome) == [(0, "name"), (1, "name")]


def test_a_person_may_point_at_the_header() -> None:
    text = "1,2\n3,4\nWho,Years\nAda,36\n"
    fields = ({**NAME, "alternateMatches": ["Who"]}, {**AGE, "alternateMatches": ["Years"]})
    outcome = correct(text, *fields, header_row=2)
    assert outcome.rows == [{"name": "Ada", "age": 36}]


def test_a_persons_mapping_replaces_the_matching() -> None:
    outcome = correct("Name,Other\nAda,Bob\n", NAME, AGE, columns={"name": (1,)})
    assert outcome.rows == [{"name": "Bob"}]
    assert outcome.metadata["fields"]["name"]["fileHeader"] == "Other"


def test_what_a_person_leaves_unmapped_though_it_is_needed_stays_an_error() -> None:
    outcome = correct("Name,Other\nAda,Bob\n", NAME, AGE, columns={"age": (1,)})
    assert (outcome.errors[0]["type"], outcome.errors[0]["fieldKey"]) == ("FIELD_NOT_MAPPED", "name")


def test_a_person_may_say_that_a_file_has_no_header() -> None:
    outcome = correct("1,2\n3,4\n", NAME, AGE, columns={"age": (0,), "name": (1,)})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "2", "age": 1}, {"name": "4", "age": 3}]


def test_without_a_header_the_columns_are_the_fields_in_order_as_far_as_they_go() -> None:
    text = "Ada,5\nBob,6\n"
    outcome = correct(text, NAME, AGE, header_row=NO_HEADER)
    assert outcome.rows == [{"name": "Ada", "age": 5}, {"name": "Bob", "age": 6}]
    assert outcome.metadata["headerRow"] is None
    short = correct(text, {"key": "a"}, AGE, NAME, header_row=NO_HEADER)
    assert [(error["type"], error["fieldKey"]) for error in short.errors] == [("FIELD_NOT_MAPPED", "name")]


def test_one_part_of_a_many_to_one_field_is_corrected() -> None:
    outcome = correct("Tag,Tag,Name\na,b,Ada\n", TAGS, NAME, cells={0: {("tags", 1): "B"}})
    assert outcome.rows == [{"tags": ["a", "B"], "name": "Ada"}]


def test_corrections_of_what_is_not_there_change_nothing() -> None:
    outcome = correct("Name\nAda\n", NAME, cells={7: {("name", 0): "x"}, 0: {("gone", 0): "y"}}, dropped=frozenset({9}))
    assert outcome.rows == [{"name": "Ada"}]


def test_without_block_submit_what_is_still_invalid_is_removed() -> None:
    outcome = correct("Name,Age\nAda,x\nBob,y\n", NAME, AGE, settings={}, cells={0: {("age", 0): "1"}})
    assert outcome.rows == [{"name": "Ada", "age": 1}]


def test_many_corrections_in_many_rows_find_their_places() -> None:
    text = "Name,Age\n" + "".join(f"n{n},x\n" for n in range(12_000))
    outcome = correct(text, NAME, AGE, cells={n: {("age", 0): str(n)} for n in range(12_000)})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows[11_999] == {"name": "n11999", "age": 11_999}


class TestHooks:
    """Corrected rows go through the hooks again; deleted ones are told."""

    @pytest.fixture(autouse=True)
    def _deno(self) -> None:
        pytest.importorskip("deno")

    def test_row_and_bulk_hooks_run_again_on_the_corrected_rows_alone_in_mode_update(self) -> None:
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

    def test_a_message_of_a_row_hook_goes_once_its_reason_has_gone(self) -> None:
        hook = "(r) => r.row.name.value === 'bad' ? {row: {age: {info: [{message: 'no', level: 'error'}]}}} : undefined"
        text = "Name,Age\nbad,1\nbad,2\n"
        outcome = correct(text, NAME, AGE, hooks={"rowHooks": [hook]}, cells={0: {("name", 0): "good"}})
        assert marks(outcome) == [(1, "age")]

    def test_a_message_of_a_column_hook_goes_with_its_cell_alone(self) -> None:
        callback = "(v) => v.map((c) => ({...c, info: [{message: 'col', level: 'error'}]}))"
        hooks = {
            "columnHooks": [{"fieldName": key, "callback": callback} for key in ("name", "age")],
            "rowHooks": ["() => undefined"],
        }
        outcome = correct("Name,Age\nAda,1\n", NAME, AGE, hooks=hooks, cells={0: {("name", 0): "Eve"}})
        assert marks(outcome) == [(0, "age")]

    def test_row_delete_hooks_are_told_of_the_dropped_rows(self) -> None:
        hooks = {
            "rowDeleteHooks": ["(r) => { globalThis.gone = (globalThis.gone ?? '') + r.row.name.value + r.index; }"],
            "beforeFinishCallback": "() => ({cancel: true, message: globalThis.gone})",
        }
        outcome = correct("Name\nAda\nBob\nCy\n", NAME, hooks=hooks, dropped=frozenset({0, 2}))
        assert outcome.errors == [{"type": "CANCELLED", "message": "Ada0Cy2"}]

    def test_a_row_delete_hook_that_throws_fails_the_import(self) -> None:
        hooks = {"rowDeleteHooks": ["() => { throw new Error('kept'); }"]}
        assert correct("Name\nAda\nBob\n", NAME, hooks=hooks, dropped=frozenset({0})).status == "FAILED"


class TestDrafts:
    """A draft is told of the layout and of every row."""

    def test_it_sees_texts_as_displayed_with_everything_that_is_said_of_them(self) -> None:
        warned = {**AGE, "validators": [{"validate": "required", "level": "warning", "errorMessage": "hm"}]}
        draft = Recorder()
        correct('Name,Age\nAda,x\nBob,\n,"1,000"\n', NAME, warned, draft=draft)
        assert [row.index for row in draft.rows] == [0, 1, 2]
        assert [row.texts["age"] for row in draft.rows] == [("x",), ("",), ("1,000",)]
        said = [(row.index, m.key, m.level) for row in draft.rows for m in row.messages]
        assert said == [(0, "age", "error"), (1, "age", "warning"), (2, "name", "error")]

    def test_it_sees_how_the_file_was_understood(self) -> None:
        draft = Recorder()
        correct("Title\nName,Agee,Notes\nAda,1,\nBob,2,n\n", NAME, AGE, draft=draft)
        layout = draft.layout
        assert layout is not None
        assert layout.header_row == 1
        assert layout.preview[:2] == [["Title"], ["Name", "Agee", "Notes"]]
        assert layout.columns["name"] == (0,)
        assert [column.header for column in layout.file_columns] == ["Name", "Agee", "Notes"]
        assert layout.file_columns[1].suggestions[0] == "age"
        assert layout.file_columns[2].samples == ["n"]

    def test_where_no_header_is_found_it_sees_the_first_rows_and_fields_by_position(self) -> None:
        draft = Recorder()
        outcome = correct("1,2\n3,4\n", NAME, AGE, draft=draft)
        assert outcome.errors[0]["type"] == "HEADER_NOT_FOUND"
        assert draft.layout is not None
        assert (draft.layout.header_row, draft.layout.preview[0]) == (None, ["1", "2"])
        assert [row.texts["age"] for row in draft.rows] == [("2",), ("4",)]

    def test_it_sees_no_dropped_rows_and_corrected_texts(self) -> None:
        draft = Recorder()
        decided = {"dropped": frozenset({0}), "cells": {1: {("age", 0): "7"}}}
        correct("Name,Age\nAda,x\nBob,y\n", NAME, AGE, draft=draft, **decided)
        assert [(row.index, row.texts["age"]) for row in draft.rows] == [(1, ("7",))]

    def test_it_is_told_once_though_no_row_is_left_to_submit(self) -> None:
        draft = Recorder()
        outcome = correct("Name\n\"\"\n,\nAda\n", {"key": "name", "label": "Name", "type": "email"}, draft=draft,
                          settings={"allowEmptySubmit": False})  # fmt: skip
        assert outcome.status == "NEEDS_REVIEW"
        assert len(draft.rows) == 1
