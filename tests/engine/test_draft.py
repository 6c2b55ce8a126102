"""What a review gets from an import: its layout, then every row with all its messages."""

import pytest

from sandbox.engine import run_import
from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import DraftMessage

NAME = {"key": "first_name", "label": "First name"}
N = {"key": "n", "label": "N", "type": ["number", {"preset": "usd"}]}


class Notes:
    """Records what it gets."""

    def __init__(self):
        self.layouts = []
        self.rows = []

    def begin(self, layout):
        self.layouts.append(layout)

    def add(self, rows):
        self.rows += rows


def drafted(source, *fields, hooks=None, corrections=None, **settings):
    notes = Notes()
    data = source.encode() if isinstance(source, str) else source
    schema = {"fields": list(fields), "settings": settings, "hooks": hooks or {}}
    run_import(data, schema=schema, filename="a.csv", draft=notes, corrections=corrections)
    return notes


def test_the_layout_names_the_header_the_columns_and_their_first_texts():
    layout = drafted("Title\nFirst name,N\nAda,1\n,2\nBob,3\n", NAME, N).layouts[0]
    assert (layout.header_row, layout.columns) == (1, {"first_name": (0,), "n": (1,)})
    assert layout.preview[:3] == [["Title"], ["First name", "N"], ["Ada", "1"]]
    assert [(column.at, column.header, column.samples) for column in layout.file_columns] == [
        (0, "First name", ["Ada", "Bob"]),
        (1, "N", ["1", "2", "3"]),
    ]
    assert [field["key"] for field in layout.fields] == ["first_name", "n"]


def test_a_column_that_no_field_took_suggests_the_likeliest_fields_first():
    pytest.importorskip("rapidfuzz")
    layout = drafted("Frist nam,N\nAda,1\n", NAME, {"key": "firm", "label": "Firm"}, N).layouts[0]
    assert layout.file_columns[0].suggestions[:2] == ["first_name", "firm"]


def test_without_a_header_the_preview_is_shown_and_columns_are_mapped_by_position():
    notes = drafted("1,2\n3,4\n", NAME, N)
    assert notes.layouts[0].header_row is None
    assert notes.layouts[0].preview == [["1", "2"], ["3", "4"]]
    assert [row.texts["first_name"] for row in notes.rows] == [("1",), ("3",)]


def test_rows_are_shown_as_displayed_with_messages_of_all_levels():
    long = {**NAME, "validators": [{"validate": "length", "max": 2, "level": "warning", "errorMessage": "long"}]}
    notes = drafted("First name,N\nAda,x\nEd,1234.5\n", long, N, invalidDataBehavior="BLOCK_SUBMIT")
    assert [row.index for row in notes.rows] == [0, 1]
    assert notes.rows[0].texts == {"first_name": ("Ada",), "n": ("x",)}
    assert notes.rows[1].texts["n"][0].startswith("$")
    assert notes.rows[0].messages == [
        DraftMessage("first_name", 0, "long", "warning"),
        DraftMessage("n", 0, "This is not a number."),
    ]
    assert list(notes.rows[1].messages) == []


def test_dropped_rows_are_not_shown_the_others_keep_their_index_and_corrected_texts_are_shown():
    decided = Corrections(dropped=frozenset({0}), cells={2: {("n", 0): "4"}})
    notes = drafted("N\n1\n2\n3\n", N, corrections=decided)
    assert [(row.index, row.texts["n"]) for row in notes.rows] == [(1, ("$ 2.00",)), (2, ("$ 4.00",))]


def test_invalid_rows_that_the_result_leaves_out_are_shown():
    assert len(drafted("N\nx\n2\n", N).rows) == 2


def test_rows_are_shown_once_even_if_none_is_left_to_submit():
    mail = {"key": "mail", "label": "Mail", "type": "email"}
    notes = drafted("Mail,N\nAda,1\n", mail, N, allowEmptySubmit=False)
    assert (len(notes.layouts), len(notes.rows)) == (1, 1)


def test_fields_that_hooks_add_and_their_messages_are_shown():
    pytest.importorskip("deno")
    hooks = {
        "stepHooks": [{"type": "REVIEW_STEP", "callback": "(i) => i.addField({key: 'more', label: 'More'})"}],
        "rowHooks": ["() => ({row: {more: {value: 'm', info: [{message: 'look', level: 'info'}]}}})"],
    }
    notes = drafted("N\n1\n", N, hooks=hooks)
    assert [field["key"] for field in notes.layouts[0].fields] == ["n", "more"]
    assert notes.rows[0].texts["more"] == ("m",)
    assert notes.rows[0].messages == [DraftMessage("more", 0, "look", "info")]
