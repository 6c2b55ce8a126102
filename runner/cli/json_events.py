"""Events as NDJSON: one object a line on stdout, and nothing else there."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, BinaryIO

import orjson

from runner.events import BytesUploaded, Event
from runner.formatting import storable
from runner.local.outcome import ExitCode
from runner.models import iso

BYTES_EVERY_S = 1.0
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def event_name(kind: type) -> str:
    """Return the name of an event in the stream: `ItemMoved` is `item_moved`."""
    return _WORD_START.sub("_", kind.__name__).lower()


class JsonEvents:
    """Writes each event as it comes; upload progress is summed up to about a line a second."""

    def __init__(self, *, now: Callable[[], datetime], stream: BinaryIO | None = None) -> None:
        self._now = now
        self._stream: BinaryIO = sys.stdout.buffer if stream is None else stream
        self._unsaid_bytes = 0
        self._bytes_said_at: datetime | None = None
        self._closed = False

    def take(self, event: Event) -> None:
        """Write an event; once the reader has gone, nothing more is written and the run goes on."""
        if isinstance(event, BytesUploaded):
            self._unsaid_bytes += event.count
            if self._is_time_for_bytes():
                self._say_bytes()
            return
        self._say_bytes()
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        self._write(event_name(type(event)), fields)

    def error(self, message: str, hint: str | None, code: ExitCode) -> None:
        """Write the error that ends the command."""
        self._write("error", {"message": message, "hint": hint, "exit_code": int(code)})

    def _is_time_for_bytes(self) -> bool:
        last = self._bytes_said_at
        return last is None or (self._now() - last).total_seconds() >= BYTES_EVERY_S

    def _say_bytes(self) -> None:
        if self._unsaid_bytes:
            count, self._unsaid_bytes = self._unsaid_bytes, 0
            self._bytes_said_at = self._now()
            self._write("bytes_uploaded", {"count": count})

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        if self._closed:
            return
        line = {"event": name, "at": iso(self._now()), **{key: _plain(value) for key, value in fields.items()}}
        try:
            self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._stream.flush()
        except BrokenPipeError:
            self._closed = True


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return storable(str(value))
    return value
