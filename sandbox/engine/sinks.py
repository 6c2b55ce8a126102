"""Where result rows go: a list, or a stream that becomes a JSON array."""

from typing import Any, Protocol

import orjson

ResultRow = dict[str, Any]


class Writable(Protocol):
    """A binary stream's one method that matters here."""

    def write(self, data: bytes, /) -> object: ...


class ListSink:
    """Keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[ResultRow] = []

    def add(self, rows: list[ResultRow]) -> None:
        self.rows += rows

    def finish(self) -> None:
        """Nothing is left to do."""

    @property
    def row_count(self) -> int:
        return len(self.rows)


class JsonSink:
    """Writes the rows as one JSON array, some at a time; nothing is written before the first row or the end."""

    rows: list[ResultRow] | None = None

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.row_count = 0

    def add(self, rows: list[ResultRow]) -> None:
        if rows:
            self._stream.write(b"," if self.row_count else b"[")
            self._stream.write(memoryview(orjson.dumps(rows))[1:-1].tobytes())
            self.row_count += len(rows)

    def finish(self) -> None:
        self._stream.write(b"]" if self.row_count else b"[]")


Sink = ListSink | JsonSink
