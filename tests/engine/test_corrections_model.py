"""An import with corrections ends like that of a file that already contains them."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sandbox.engine import Outcome, run_import
from sandbox.engine.corrections import Corrections

FIELDS = [
    {"key": "code", "label": "Code", "validators": [{"validate": "unique"}]},
    {"key": "age", "label": "Age", "type": "number"},
    {"key": "plan", "label": "Plan", "type": "select", "selectOptions": [{"label": "Free", "value": "f"}]},
    {"key": "mail", "label": "Mail", "type": "email", "validators": [{"validate": "required"}]},
]
KEYS = [field["key"] for field in FIELDS]
BEHAVIORS = ["REMOVE_INVALID_ROWS", "INCLUDE_INVALID_ROWS", "INCLUDE_INVALID_ROWS_AND_VALUES", "BLOCK_SUBMIT"]
TEXTS = st.sampled_from(["", "a", "b", "1", "2.5", "x y", "Free", "gold", "a@b.example", '"q"', "é\n1"])
ROWS = st.lists(st.lists(TEXTS, min_size=4, max_size=4).filter(any), min_size=1, max_size=8)


@st.composite
def reviews(draw: st.DrawFn) -> tuple[list[list[str]], dict[int, dict[tuple[str, int], str]], frozenset[int]]:
    rows = draw(ROWS)
    places = st.tuples(st.integers(0, len(rows) - 1), st.sampled_from(KEYS))
    cells: dict[int, dict[tuple[str, int], str]] = {}
    for (row, key), text in draw(st.dictionaries(places, TEXTS, max_size=6)).items():
        cells.setdefault(row, {})[key, 0] = text
    return rows, cells, draw(st.frozensets(st.integers(0, len(rows) - 1), max_size=3))


def imported(rows: Sequence[Sequence[str]], behavior: str, corrections: Corrections | None = None) -> Outcome:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows([[field["label"] for field in FIELDS], *rows])
    schema: dict[str, Any] = {"fields": FIELDS, "settings": {"invalidDataBehavior": behavior}}
    return run_import(stream.getvalue().encode(), schema=schema, filename="a.csv", corrections=corrections)


@pytest.mark.parametrize("behavior", BEHAVIORS)
@settings(max_examples=60, deadline=None)
@given(review=reviews())
def test_a_corrected_import_equals_that_of_the_fixed_file(behavior: str, review: Any) -> None:
    rows, cells, dropped = review
    repaired = [[cells.get(at, {}).get((key, 0), text) for key, text in zip(KEYS, row, strict=True)]
              for at, row in enumerate(rows)]  # fmt: skip
    kept = [at for at in range(len(rows)) if at not in dropped and any(map(str.strip, repaired[at]))]
    emptied = frozenset(at for at in range(len(rows)) if at not in dropped and at not in kept)
    assume(kept)
    corrected = imported(rows, behavior, Corrections(cells=cells, dropped=dropped | emptied))
    expected = imported([repaired[at] for at in kept], behavior)
    assert corrected.rows == expected.rows
    assert corrected.status == expected.status
    assert corrected.errors == [
        {**error, "rowIndex": kept[error["rowIndex"]]} if "rowIndex" in error else error for error in expected.errors
    ]
    assert corrected.metadata["totalRows"] == expected.metadata["totalRows"]
