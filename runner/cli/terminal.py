"""The boundary to the terminal: whatever is written there, no character of a name or text can control it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO, cast
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TEXT_BYTES = bytes(range(0x20, 0x7F)) + b"\n"


def guard_terminal() -> None:
    """Guard stdout and stderr for the rest of the process, from all code that writes to them."""
    sys.stdout = _guarded(sys.stdout)
    sys.stderr = _guarded(sys.stderr)


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream behind a guarded one, for a writer that makes texts visible itself and controls the screen."""
    return getattr(stream, "unguarded", stream)


def visible(text: str) -> str:
    r"""Return a text that only moves to the next line: other control and invisible characters become `\x1b`."""
    return _escaped(text, _as_in_python)


def _guarded(stream: TextIO) -> TextIO:
    return cast("TextIO", _GuardedText(unguarded(stream)))


class _GuardedText:
    """A text stream that makes texts visible; its `buffer` does the same to JSON and to tables."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)

    @property
    def buffer(self) -> _GuardedBytes:
        return _GuardedBytes(self.unguarded)

    def write(self, text: str) -> int:
        self.unguarded.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


class _GuardedBytes:
    """A binary stream for UTF-8, given in whole lines.

    Characters that are not visible become escapes of JSON, which in a JSON string have the same meaning.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream.buffer, name)

    def write(self, data: bytes) -> int:
        if data.translate(None, _TEXT_BYTES):
            lines = data.decode("utf-8", "backslashreplace").split("\r\n")
            self._stream.buffer.write("\r\n".join(_escaped(line, _as_in_json) for line in lines).encode())
        else:
            self._stream.buffer.write(data)
        return len(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.write(line)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else escape(char) for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or char == "\n" or category(char) == "Zs"


def _as_in_python(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _as_in_json(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
