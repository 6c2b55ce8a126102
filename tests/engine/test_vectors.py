"""The table of inputs and their expected outcomes, one test per line: types, validators, whole imports."""

import json
from pathlib import Path

import pytest

from sandbox.engine import run_import
from sandbox.engine.types import CellMemo, Invalid, make_kind
from tests.support.engine import marks

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
CELLS = [v for v in VECTORS if ":" not in v["type"] or v["type"] == "date:column"]
RULES = [v for v in VECTORS if v["type"].startswith("validator:")]
IMPORTS = [v for v in VECTORS if v["type"].startswith("import:")]


def name_of(vector):
    return f"{vector['type']} {vector.get('options', '')} {vector['input']!r}"[:100]


def field_of(vector):
    name = vector["type"].partition(":")[0]
    field = {"key": "a", "label": "A", "type": [name, vector["options"]] if "options" in vector else name}
    return field | ({"selectOptions": vector["selectOptions"]} if "selectOptions" in vector else {})


@pytest.mark.parametrize("vector", CELLS, ids=name_of)
def test_a_cell_becomes_what_the_table_says(vector):
    texts = vector["input"] if isinstance(vector["input"], list) else [vector["input"]]
    kind = make_kind(field_of(vector))
    kind.prepare(texts)
    values = list(kind.column(texts, CellMemo(kind)))
    wrong = [row for row, value in enumerate(values) if isinstance(value, Invalid)]
    outputs = [None if isinstance(value, Invalid) else kind.output(value) for value in values]
    expected = vector["expect"]
    if isinstance(vector["input"], list):
        assert (outputs, wrong) == (expected["value"], expected.get("error", []))
    elif "error" in expected:
        assert wrong == [0]
    elif "value" in expected:
        assert (outputs[0], type(outputs[0]), wrong) == (expected["value"], type(expected["value"]), [])
    if "display" in vector:
        assert kind.display(values[0]) == vector["display"]


@pytest.mark.parametrize("vector", RULES, ids=name_of)
def test_a_validator_marks_the_cells_the_table_says(vector):
    schema = {**vector["options"], "settings": {"invalidDataBehavior": "BLOCK_SUBMIT"}}
    outcome = run_import(vector["input"], schema=schema, filename="")
    marked = [[error["rowIndex"], error["fieldKey"]] for error in outcome.errors]
    assert marked == vector["expect"].get("error", [])
    assert outcome.status == ("NEEDS_REVIEW" if marked else "SUCCESSFUL")


@pytest.mark.parametrize("vector", IMPORTS, ids=name_of)
def test_an_import_ends_as_the_table_says(vector):
    if "hooks" in vector["options"]:
        pytest.importorskip("deno")
    source = vector["input"] if isinstance(vector["input"], list) else vector["input"].encode()
    outcome = run_import(source, schema=vector["options"], filename="a.csv")
    expected = vector["expect"]["value"]
    assert outcome.status == expected["status"]
    if "data" in expected:
        assert outcome.rows == expected["data"]
        assert [list(row) for row in outcome.rows] == [list(row) for row in expected["data"]]
    if "rows" in expected:
        assert len(outcome.rows) == expected["rows"]
    if "marked" in expected:
        assert [list(mark) for mark in marks(outcome)] == expected["marked"]
    told = outcome.errors or outcome.metadata.get("errors", [])
    if "error" in expected:
        assert expected["error"] in [error["type"] for error in told]
    if "message" in expected:
        assert expected["message"] in [error["message"] for error in told]
    for key in ("rawHeaders", "fields"):
        assert outcome.metadata.get(key) == expected.get(key, outcome.metadata.get(key))
