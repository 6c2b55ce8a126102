"""The same cells as text of any delimiter and encoding, as a workbook or as JSON end alike."""

import csv
import io
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.engine import run_import
from sandbox.engine.schema import BEHAVIORS
from tests.support.engine import workbook
from tests.support.hostile import ods, ods_row

COLUMNS = {
    "string": ["x", " a ", "línea", "1,5", "a\tb", "a;b|c", 'q"q', "日本", "007", "TRUE", "3/4/2024", "<&>"],
    "number": ["1", "1,234.5", "$5", "12%", "bad", "(5)", "1e3", " 7 "],
    "date": ["2024-03-27", "3/27/2024", "27/03/2024", "x", "27 Mar 2024", "01/02/2024"],
    "datetime": ["2024-03-27T10:30", "3/27/2024, 3:20 PM", "x"],
    "time": ["15:20", "3:20 PM", "x"],
    "checkbox": ["yes", "no", "0", "false"],
    "email": ["a@x.io", "bad", " a@x.io "],
    "us-zip-code": ["342", "12345-6789", "x"],
    "country": ["us", "USA"],
}
VALIDATORS = [[], [{"validate": "required"}], [{"validate": "unique"}], [{"validate": "alphabetical"}]]


@st.composite
def tables(draw):
    """A schema, and rows whose first cell is never blank."""
    types = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=5))
    fields = [{"key": "k", "label": "Key Name"}]
    for at, name in enumerate(types):
        rules = draw(st.sampled_from(VALIDATORS))
        fields.append({"key": f"f{at}", "label": f"Label {'ABCDE'[at]}", "type": name, "validators": rules})
    row = st.tuples(st.just("row"), *(st.sampled_from(["", *COLUMNS[name]]) for name in types))
    schema = {"fields": fields, "settings": {"invalidDataBehavior": draw(st.sampled_from(BEHAVIORS))}}
    return schema, [list(cells) for cells in draw(st.lists(row, min_size=1, max_size=8))]


def text(rows, delimiter=",", encoding="utf-8", **style):
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, **style).writerows(rows)
    return written.getvalue().encode(encoding)


def sources(schema, rows):
    keys = [field["key"] for field in schema["fields"]]
    table = [[field["label"] for field in schema["fields"]], *rows]
    yield "quoted", text(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
    yield "tab", text(table, "\t")
    yield "semicolon", text(table, ";")
    yield "bar", text(table, "|")
    yield "sep", b"sep=;\r\n" + text(table, ";")
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        yield encoding, text(table, encoding=encoding)
    yield "xlsx", workbook(*([cell or None for cell in row] for row in table))
    yield "ods", ods("".join(ods_row(*map(escape, row)) for row in table))
    yield "objects", [dict(zip(keys, row, strict=True)) for row in rows]
    yield "arrays", rows


def end_of(source, schema):
    outcome = run_import(source, schema=schema, filename="")
    totals = [outcome.metadata[name] for name in ("totalRows", "invalidRows", "rowsWithError", "errors")]
    return outcome.status, outcome.rows, outcome.errors, totals


@settings(max_examples=60, deadline=None)
@given(tables())
def test_every_form_of_the_same_cells_ends_alike(drawn):
    schema, rows = drawn
    expected = end_of(text([[field["label"] for field in schema["fields"]], *rows]), schema)
    for name, source in sources(schema, rows):
        assert (name, *end_of(source, schema)) == (name, *expected)


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        (0.5, "number", 0.5),
        (True, "checkbox", True),
        (False, "checkbox", False),
        (0, "checkbox", False),
        (342, "us-zip-code", "00342"),
        (123456789, "ssn", "123456789"),
        (42, "string", "42"),
    ],
)
def test_a_typed_cell_ends_alike_in_a_workbook_and_in_json(cell, kind, value):
    schema = {"fields": [{"key": "k", "label": "Key"}, {"key": "v", "label": "Val", "type": kind}]}
    from_workbook = run_import(workbook(["Key", "Val"], ["x", cell]), schema=schema, filename="")
    from_json = run_import([{"k": "x", "v": cell}], schema=schema, filename="")
    assert from_workbook.rows == from_json.rows == [{"k": "x", "v": value}]
