"""The boundary to the terminal: all texts become visible, and JSON keeps its values."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from runner.cli.errors import reported
from runner.cli.ndjson import JsonEvents
from runner.cli.styles import VisibleConsole, logging_to
from runner.cli.terminal import guard_terminal, unguarded, visible
from runner.clock import SystemClock
from runner.events import Notice

NASTY = "\x1b]0;pwned\x07\x7f\x9b31m\u202e\u200b\u2028\xad\U000e0041\r\udcff"
SIGNED = f"https://b.s3.example/k?X-Amz-Signature={'3f9a' * 16}"


def is_visible(text: str) -> bool:
    return all(char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs" for char in text)


@contextmanager
def guarded() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Guard streams in place of stdout and stderr, and yield what is behind them."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        guard_terminal()
        yield out, err


def written(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()


@given(text=st.text())
def test_a_text_becomes_visible_and_stays_so(text):
    assert is_visible(visible(text))
    assert visible(visible(text)) == visible(text)


def test_all_code_that_writes_to_the_streams_writes_visible_text():
    with guarded() as streams:
        sys.stdout.write(NASTY)
        sys.stderr.writelines([NASTY, "\n"])
        print(NASTY)
    assert [is_visible(written(stream)) and "\\x1b" in written(stream) for stream in streams] == [True, True]


@given(value=st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_keeps_its_values(value):
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    with guarded() as (out, _):
        assert sys.stdout.buffer.write(data + b"\n") == len(data) + 1
    assert is_visible(written(out))
    assert json.loads(written(out)) == json.loads(data)


def test_lines_of_a_table_keep_their_ends():
    with guarded() as (out, _):
        sys.stdout.buffer.write(b'"a\rb"\r\n"c"\r\n')
    assert written(out) == '"a\\u000db"\r\n"c"\r\n'


def test_events_are_visible():
    message = NASTY.removesuffix("\udcff")
    with guarded() as (out, _):
        JsonEvents(now=SystemClock().now).take(Notice(code="x", message=message))
    assert is_visible(written(out))
    assert json.loads(written(out))["message"] == message


def test_several_lines_of_bytes_are_guarded_as_one_is():
    with guarded() as (out, _):
        sys.stdout.buffer.writelines([b'"\x1b[31m"\n', b'"\xe2\x80\xae"\n'])
    assert written(out) == '"\\u001b[31m"\n"\\u202e"\n'


def test_guarding_twice_guards_once():
    with guarded() as (out, _):
        guard_terminal()
        assert unguarded(sys.stdout) is out


def test_a_console_writes_only_control_sequences_of_its_own():
    stream = io.StringIO()
    VisibleConsole(file=stream, force_terminal=True, color_system="standard").print(Text(NASTY, style="red"))
    assert is_visible(stream.getvalue().replace("\x1b[31m", "").replace("\x1b[0m", ""))
    assert "\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize("name", ["runner.x", "asyncio", "botocore.x"])
def test_no_logger_writes_control_characters_or_secrets(name):
    stream, nasty = io.StringIO(), NASTY.removesuffix("\udcff")  # pytest sends what is logged, which it can't encode
    with logging_to(VisibleConsole(file=stream, width=500), verbose=True):
        logging.getLogger(name).warning("%s at %s", nasty, SIGNED, extra={"item": nasty, "url": SIGNED})
    assert is_visible(stream.getvalue())
    assert stream.getvalue().count("https://b.s3.example/k***") == 2


def test_a_trace_has_no_control_characters_and_no_secrets(capsys):
    with pytest.raises(typer.Exit), reported(verbose=True):
        raise OSError(f"{NASTY} {SIGNED}")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert is_visible(said)
    assert "3f9a3f9a" not in said
