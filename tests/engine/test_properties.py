"""What holds for any input: nothing is raised, and what a type writes it reads back."""

import math
from datetime import date, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.engine.types import CellMemo, make_kind
from sandbox.engine.types.number import PRESETS
from tests.support.engine import run, workbook

FIELDS = [
    {"key": "a", "label": "a", "validators": [{"validate": "required"}, {"validate": "regex_match", "regex": "^\\w"}]},
    {"key": "n", "label": "n", "type": "number", "validators": [{"validate": "unique"}]},
    {"key": "d", "label": "d", "type": ["date", {"outputFormat": "DDDD"}], "manyToOne": True},
    {"key": "t", "label": "t", "type": ["datetime", {"locale": "th-TH"}]},
    {"key": "m", "label": "m", "type": "multi-select", "selectOptions": [{"label": "x", "value": 1}]},
    {"key": "u", "label": "u", "type": "url"},
    {"key": "p", "label": "p", "type": "phone-number"},
    {"key": "w", "label": "w", "type": "domain"},
]
BOOK = workbook(["a", "n", "d"], ["x", 1, "3/4/2024"])
HEADED = st.binary(max_size=300).map(lambda data: b"a,n,d,t,m,u,p,w\n" + data)
# In Thai dates a year after 2400 is one of the Buddhist calendar.
DAYS = st.dates(date(1858, 1, 1), date(2399, 12, 31))
LOCALES = ["en-US", "de-DE", "pt-BR", "ar-SY", "th-TH", "ja-JP", "zh-CN", "hu-HU", "sv-SE", "en-GB", "fr-FR"]


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=400), HEADED, HEADED.map(lambda data: b"\xff\xfe" + data)))
@example(b"\xff\xfe\x00")
@example(b"a,n\n\xed\xa0\x80,1\n")
def test_no_bytes_make_an_import_raise(data):
    assert run(data, *FIELDS, passThroughUnmappedColumns=True).status in ("SUCCESSFUL", "NEEDS_REVIEW", "FAILED")


@settings(max_examples=60)
@given(st.data())
def test_no_damage_to_a_workbook_makes_an_import_raise(data):
    broken = bytearray(BOOK)
    for at in data.draw(st.lists(st.integers(0, len(BOOK) - 1), max_size=8)):
        broken[at] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(BOOK)))
    outcome = run(bytes(broken[:length] if length % 3 else broken), *FIELDS)
    assert outcome.status in ("SUCCESSFUL", "NEEDS_REVIEW", "FAILED")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8), st.lists, max_leaves=5
)


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.sampled_from([field["key"] for field in FIELDS]), JSON), max_size=4))
def test_no_json_rows_make_an_import_raise(rows):
    outcome = run(rows, *FIELDS, invalidDataBehavior="INCLUDE_INVALID_ROWS")
    assert len(outcome.rows) == len(rows)


@settings(max_examples=200)
@given(st.floats(-1e15, 1e15), st.sampled_from(sorted(PRESETS)))
def test_a_number_is_read_back_from_what_is_displayed(value, preset):
    kind = make_kind({"key": "a", "type": ["number", preset]})
    (read,) = kind.column([repr(value)], CellMemo(kind))
    (again,) = kind.column([kind.display(read)], CellMemo(kind))
    assert math.isclose(again, read, rel_tol=1e-15, abs_tol=0)


@settings(max_examples=200)
@given(DAYS, st.sampled_from(LOCALES))
def test_a_date_is_read_back_from_what_is_displayed(day, locale):
    kind = make_kind({"key": "a", "type": ["date", {"locale": locale}]})
    shown = kind.display(day.isoformat())
    assert kind.column([shown], CellMemo(kind)) == [day.isoformat()]


@settings(max_examples=200)
@given(st.builds(datetime.combine, DAYS, st.times()), st.sampled_from(LOCALES))
def test_a_moment_is_read_back_from_what_is_displayed(moment, locale):
    for type_, value in (("datetime", f"{moment:%Y-%m-%dT%H:%M:%S}"), ("time", f"{moment:%H:%M:%S}")):
        kind = make_kind({"key": "a", "type": [type_, {"locale": locale, "withSeconds": True}]})
        assert kind.column([kind.display(value)], CellMemo(kind)) == [value]
