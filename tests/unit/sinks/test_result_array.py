"""What counts as one complete JSON array, however it is cut into chunks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ResultInvalid
from runner.sinks import result_array
from runner.sinks.result_array import ResultArray

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def rows_of(data, size=1 << 16):
    array = ResultArray()
    for start in range(0, len(data), size):
        array.feed(data[start : start + size])
    array.finish()
    return array.row_count


@given(
    rows=st.lists(VALUES, max_size=8),
    size=st.integers(1, 40),
    indent=st.none() | st.integers(0, 2),
    ascii_=st.booleans(),
)
def test_every_array_is_counted_in_whatever_chunks_it_comes(rows, size, indent, ascii_):
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_)
    assert rows_of(f" {text}\r\n\t".encode("utf-8", "replace"), size) == len(rows)


@given(rows=st.lists(VALUES, max_size=6), size=st.integers(1, 40), data=st.data())
def test_every_true_beginning_of_an_array_is_refused(rows, size, data):
    whole = json.dumps(rows).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ResultInvalid):
        rows_of(whole[:cut], size)


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"null",
        b'{"a": 1}',
        b'{"item": [1]}',
        b"[1] x",
        b"[1][2]",
        b"[1]]",
        b"[1],",
        b"[1]\0",
        b"[1]\x0b",
        b"[,]",
        b"[1,]",
        b"[1 2]",
        b"[1,,2]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b'[{"a": NaN}]',
        b"[nul]",
        b"[truefalse]",
        b"[01]",
        b"[1.]",
        b"[.5]",
        b"[+1]",
        b"[1e]",
        b"[-]",
        b'["a\tb"]',
        b'["\\x"]',
        b'["\xff"]',
        b'["\xc3"]',
        b'["\xed\xa0\x80"]',
        b"\xef\xbb\xbf[1]",
        b"[/* */1]",
        b"[1}",
        b"{",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=lambda value: repr(value[:16]) if isinstance(value, bytes) else str(value),
)
def test_anything_else_is_refused(data, size):
    with pytest.raises(ResultInvalid):
        rows_of(data, max(size, len(data) // 1000))


@pytest.mark.parametrize("number", [b"9" * 10_000, b"1e99999999999999999999", b"-0.0", b"1E+2", b"12.50"])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_number_of_any_size_is_a_row(number, size):
    assert rows_of(b"[" + number + b"," + number + b"]", size) == 2


def test_a_refusal_never_shows_content():
    for data in (b'["secret', b'["secret"] secret', b"secret", b'["secret\xff"]', b'["secret" secret]'):
        with pytest.raises(ResultInvalid) as caught:
            rows_of(data)
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_garbage_after_a_good_start_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(result_array, "MAX_ROW_CHARS", 10_000)
    array = ResultArray()
    array.feed(b"[1, 2, oops, ")
    for _ in range(8):
        array.feed(b"3, " * 400)
    with pytest.raises(ResultInvalid):
        array.feed(b"3, " * 400)


def test_what_was_counted_is_not_kept():
    array = ResultArray()
    array.feed(b"[")
    for _ in range(100):
        array.feed(b'{"a": "%s"},' % (b"x" * 1000))
        assert len(array._text) < 5000
    assert array.row_count >= 95
