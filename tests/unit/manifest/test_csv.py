"""The table for spreadsheets: it reads back, and no cell is a formula."""

from __future__ import annotations

import csv as stdlib_csv
import io
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.formatting import shown
from runner.manifest import FIELDS, csv, line
from runner.models import Batch, Item

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BATCH = Batch(batch_id="b", source_uri="file:///in", account="a", out="o", config="{}", started_at=NOW)
ITEM = Item(batch_id="b", source="a.csv", created_at=NOW, attempts=1)
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
SEPARATORS = ",;\t|:^~ "
BLANKS = "".join(map(chr, range(33))) + '\x7f\x85\xa0\u200b\u2028\u202e\u2060\u3000\u3164\ufeff"`'
NASTY = st.text(st.sampled_from(list("=+-@\uff1d\uff0b'\"x0" + SEPARATORS + BLANKS)), max_size=12)


async def stream(*items):
    for item in items:
        yield item


async def table(*items):
    data = b"".join([chunk async for chunk in csv(stream(*items), BATCH)])
    header, *rows = stdlib_csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    assert header == list(FIELDS)
    return rows


async def test_the_table_has_the_columns_of_the_lines_and_empty_cells_for_null():
    (row,) = await table(ITEM)
    assert row == ["" if value is None else str(value) for value in line(ITEM, BATCH).values()]


async def test_lines_end_in_crlf_and_every_cell_is_quoted():
    data = b"".join([chunk async for chunk in csv(stream(ITEM), BATCH)])
    header, row, rest = data.split(b"\r\n")
    assert header.startswith(b'"source","size_bytes",')
    assert row.startswith(b'"a.csv","",')
    assert rest == b""


def is_formula(cell):
    return cell.lstrip(BLANKS).startswith(FORMULA_STARTS) or cell.startswith(FORMULA_STARTS)


def cells_by(separator, data, **how):
    rows = stdlib_csv.reader(io.StringIO(data, newline=""), delimiter=separator, **how)
    return [cell for row in rows for cell in row]


FIRST_LINES = ("", "\ufeff", "sep={}\r\n", "\ufeffsep={}\r\n")
READERS = (
    {},
    {"skipinitialspace": True},
    {"quoting": stdlib_csv.QUOTE_NONE},
    {"quoting": stdlib_csv.QUOTE_NONE, "skipinitialspace": True},
    {"escapechar": "\\"},
)


@pytest.mark.parametrize("blank", ["", " ", "\t", "\n", "\u00a0", "\u3000", "\ufeff", "\u200b", "\0", " \u202e "])
@pytest.mark.parametrize("start", FORMULA_STARTS)
async def test_a_cell_that_starts_like_a_formula_does_so_no_longer(blank, start):
    (row,) = await table(replace(ITEM, source=f"{blank}{start}cmd|'/c calc'!A0"))
    assert not is_formula(row[0])
    assert row[0].endswith("cmd|'/c calc'!A0")


@pytest.mark.parametrize(
    "text", ["a=b", "a-b.csv", "'=x", "0+1", "e@mail", 'quo"ted', "a,b", "a;b", "a b", "日本　語", ""]
)
async def test_any_other_cell_stays_as_it_is(text):
    (row,) = await table(replace(ITEM, source=text))
    assert row[0] == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("Orders - May.csv", "Orders '- May.csv"),
        ("a\t=1", "a\\t=1"),
        ("line\nbreak", "line\\nbreak"),
        ("a\x1b[31m\u202egpj.exe", "a\\x1b[31m\\u202egpj.exe"),
    ],
)
async def test_what_changes_stays_recognizable(text, cell):
    (row,) = await table(replace(ITEM, source=text))
    assert row[0] == cell


@pytest.mark.parametrize("separator", SEPARATORS)
@given(texts=st.lists(NASTY, min_size=5, max_size=5))
@example(texts=["a;=1+1", "b\t=1+1", "c|=1+1", 'd;"=1+1', "e\n=1+1"])
@example(texts=["a;\t=1", "b; =1", "c;\u200b=1", "d;\uff1d1", 'e\\",=1'])
@example(texts=["a;", "=1", "", ";", "-1"])
@settings(max_examples=30)
async def test_no_reader_sees_a_formula_whatever_it_takes_for_the_separator(separator, texts):
    source, message, status, name, url = texts
    item = replace(ITEM, source=source, error_message=message, status=status, original_filename=name, review_url=url)
    data = b"".join([chunk async for chunk in csv(stream(item, item), BATCH)]).decode()
    for first_line, how in product(FIRST_LINES, READERS):
        cells = cells_by(separator, first_line.format(separator) + data, **how)
        assert [cell for cell in cells if is_formula(cell)] == [], how


@given(text=st.text())
async def test_a_cell_is_one_line_without_control_characters(text):
    (row,) = await table(replace(ITEM, source=text))
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in row[0])


async def test_our_own_numbers_stay_numbers():
    (row,) = await table(replace(ITEM, size_bytes=-1, row_count=5))
    assert (row[1], row[11]) == ("-1", "5")


@given(texts=st.lists(st.text(), min_size=4, max_size=4))
@example(texts=["=1", '","=1', "\r\n=1", '"'])
async def test_whatever_the_texts_the_table_reads_back_and_is_inert(texts):
    source, message, status, name = texts
    rows = await table(replace(ITEM, source=source, error_message=message, status=status, original_filename=name), ITEM)
    assert len(rows) == 2
    for cell, field in zip(rows[0], FIELDS, strict=True):
        assert not is_formula(cell)
        value = line(replace(ITEM, source=source, error_message=message, status=status, original_filename=name), BATCH)
        assert cell.replace("'", "") == shown(str("" if value[field] is None else value[field]), spaces=True).replace(
            "'", ""
        )


async def test_a_spreadsheet_made_of_the_table_has_no_formula():
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.Workbook().active
    for row in await table(
        *(replace(ITEM, source=f"{start}1+1", error_message=f" {start}x") for start in "=+-@\uff1d")
    ):
        sheet.append(row)
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}
    assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)


async def test_chunks_are_of_moderate_size():
    chunks = [chunk async for chunk in csv(stream(*[ITEM] * 3000), BATCH)]
    assert len(chunks) > 3
    assert all(64 << 10 <= len(chunk) < 66 << 10 for chunk in chunks[:-1])
