"""What holds for any input: nothing is raised, and what a type writes it reads back."""

import math
from datetime import date, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.engine.reading import package
from sandbox.engine.types import CellMemo, Invalid, make_kind
from sandbox.engine.types.number import PRESETS
from tests.support.engine import run, workbook
from tests.support.hostile import ods, ods_row, xls, xlsb, xlsx

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
BOOKS = [
    workbook(["a", "n", "d"], ["x", 1, "3/4/2024"]),
    ods(ods_row("a", "n", "d") + ods_row("x", "1", "3/4/2024")),
    xlsb([(0, 0, "a"), (0, 1, "n"), (1, 0, "x")]),
    xls([(0, 0, "a"), (0, 1, "n"), (1, 0, "x")]),
]
HEADED = st.binary(max_size=300).map(lambda data: b"a,n,d,t,m,u,p,w\n" + data)
# In Thai dates a year after 2400 is one of the Buddhist calendar.
DAYS = st.dates(date(1858, 1, 1), date(2399, 12, 31))
LOCALES = ["en-US", "de-DE", "pt-BR", "ar-SY", "th-TH", "ja-JP", "zh-CN", "hu-HU", "sv-SE", "en-GB", "fr-FR"]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=400), HEADED, HEADED.map(lambda data: b"\xff\xfe" + data)))
@example(b"\xff\xfe\x00")
@example(b"a,n\n\xed\xa0\x80,1\n")
def test_no_bytes_make_an_import_raise(data):
    assert run(data, *FIELDS, passThroughUnmappedColumns=True).status in ("SUCCESSFUL", "NEEDS_REVIEW", "FAILED")


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(BOOKS), st.booleans())
def test_no_damage_to_a_workbook_makes_an_import_raise(data, book, is_large):
    broken = bytearray(book)
    for at in data.draw(st.lists(st.integers(0, len(book) - 1), max_size=8)):
        broken[at] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(book)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "HELD_XML_MAX_BYTES", 0 if is_large else 1 << 20)
        outcome = run(bytes(broken[:length] if length % 3 == 0 else broken), *FIELDS)
    assert outcome.status in ("SUCCESSFUL", "NEEDS_REVIEW", "FAILED")


@settings(max_examples=100, deadline=None)
@given(st.data(), st.booleans())
def test_no_xml_of_a_sheet_makes_an_import_raise(data, is_large):
    tags = ["<row>", '<row r="2">', "</row>", '<c r="A1">', '<c r="b2" t="s">', '<c t="e">', "</c>", "<v>", "</v>", "1"]
    tags += ["x", "<is><t>", "</t></is>", "&amp;", "&l;", "<!--", "-->", "<![CDATA[", "]]>", '<c r="ZZ">', "\x00", '"']
    xml = "".join(data.draw(st.lists(st.sampled_from(tags), max_size=25)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "HELD_XML_MAX_BYTES", 0 if is_large else 1 << 20)
        outcome = run(xlsx(xml), *FIELDS)
    assert outcome.status in ("SUCCESSFUL", "NEEDS_REVIEW", "FAILED")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8), st.lists, max_leaves=5
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([field["key"] for field in FIELDS]), JSON), max_size=4))
def test_no_json_rows_make_an_import_raise(rows):
    outcome = run(rows, *FIELDS, invalidDataBehavior="INCLUDE_INVALID_ROWS")
    assert len(outcome.rows) == len(rows)


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e15, 1e15), st.sampled_from(sorted(PRESETS)))
def test_a_number_is_read_back_from_what_is_displayed(value, preset):
    kind = make_kind({"key": "a", "type": ["number", preset]})
    (read,) = kind.column([repr(value)], CellMemo(kind))
    (again,) = kind.column([kind.display(read)], CellMemo(kind))
    assert math.isclose(again, read, rel_tol=1e-15, abs_tol=0)


# Formats that write all of a value.
FORMATS = [
    {"mantissa": 15, "trimMantissa": True},
    {"thousandSeparated": True, "negative": "parenthesis"},
    {"prefix": "~ ", "postfix": " kg", "forceSign": True},
    {"output": "percent", "prefixSymbol": True},
    {"output": "percent", "spaceSeparated": True, "negative": "parenthesis"},
    {"output": "currency", "currencySymbol": "kr", "currencyPosition": "postfix", "spaceSeparated": True},
    {"output": "currency", "currencySymbol": "¥", "spaceSeparatedCurrency": True, "negative": "parenthesis"},
    {"characteristic": 5},
    {"exponential": True},
]


@settings(max_examples=300, deadline=None)
@given(st.decimals(-(10**9), 10**9, places=6).map(float), st.sampled_from(FORMATS))
def test_a_number_is_read_back_from_every_format_that_keeps_it(value, spec):
    kind = make_kind({"key": "a", "type": ["number", {"displayFormat": spec}]})
    (read,) = kind.column([repr(value)], CellMemo(kind))
    assert kind.column([kind.display(read)], CellMemo(kind)) == [read]


@settings(max_examples=300, deadline=None)
@given(
    st.from_regex(r"[-+(]?\$? ?\d{1,17}(,\d{3}){0,2}(\.\d{0,17})?[%kmb)]?", fullmatch=True),
    st.sampled_from([0, 2, None]),
)
def test_the_quick_way_of_reading_numbers_reads_what_the_slow_one_reads(text, decimals):
    kind = make_kind({"key": "a", "type": ["number", {"round": decimals}]})
    (quick,) = kind.column([text], CellMemo(kind))
    slow = CellMemo(kind)[text]
    assert (quick, type(quick)) == (slow, type(slow)) or isinstance(quick, Invalid) == isinstance(slow, Invalid) is True


@settings(max_examples=300, deadline=None)
@given(
    DAYS,
    st.sampled_from(LOCALES),
    st.sampled_from(
        ["DD", "DDD", "DDDD", "dd.MM.yyyy", "yyyyMMdd", "ddMMyyyy", "d MMM yyyy", "EEEE, d. MMMM yyyy", "M/d/y"]
    ),
)
def test_a_date_is_read_back_from_every_format_that_names_its_day(day, locale, form):
    kind = make_kind({"key": "a", "type": ["date", {"locale": locale, "displayFormat": form}]})
    shown = kind.display(day.isoformat())
    assert kind.column([shown], CellMemo(kind)) == [day.isoformat()], shown


@settings(max_examples=200, deadline=None)
@given(DAYS, st.sampled_from(LOCALES))
def test_a_date_is_read_back_from_what_is_displayed(day, locale):
    kind = make_kind({"key": "a", "type": ["date", {"locale": locale}]})
    shown = kind.display(day.isoformat())
    assert kind.column([shown], CellMemo(kind)) == [day.isoformat()]


@settings(max_examples=200, deadline=None)
@given(st.builds(datetime.combine, DAYS, st.times()), st.sampled_from(LOCALES))
def test_a_moment_is_read_back_from_what_is_displayed(moment, locale):
    for type_, value in (("datetime", f"{moment:%Y-%m-%dT%H:%M:%S}"), ("time", f"{moment:%H:%M:%S}")):
        kind = make_kind({"key": "a", "type": [type_, {"locale": locale, "withSeconds": True}]})
        assert kind.column([kind.display(value)], CellMemo(kind)) == [value]
