"""Result rows: how the rows of a batch become them, and where they go."""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from sandbox.engine.batch import Batch, Part
from sandbox.engine.cell_errors import Finding
from sandbox.engine.schema import Field
from sandbox.engine.types import Invalid

ResultRow = dict[str, Any]

_COSTLY_MEMO_MAX = 10_000


class Writable(Protocol):
    """A binary stream to write to."""

    def write(self, data: bytes, /) -> object: ...


class ListSink:
    """Keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[ResultRow] = []

    def add(self, rows: list[ResultRow]) -> None:
        self.rows += rows

    def finish(self) -> None:
        """Do nothing: the rows are complete."""

    @property
    def row_count(self) -> int:
        return len(self.rows)


class JsonSink:
    """Writes the rows as one JSON array in pieces. Nothing is written before the first row or `finish`."""

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


class RowMaker:
    """Makes result rows from batches. With `keeps_text`, an invalid cell keeps its text instead of becoming null."""

    def __init__(self, fields: Sequence[Field], *, keeps_text: bool) -> None:
        self._fields = fields
        self._keys = [each.key for each in fields]
        self._keeps_text = keeps_text
        self._memos: dict[str, dict[Any, Any]] = {each.key: {} for each in fields}

    def rows(self, batch: Batch, found: Sequence[Finding]) -> list[ResultRow]:
        bad: dict[tuple[int, int], set[int]] = {}
        for each in found:
            bad.setdefault((each.field_at, each.part_at), set()).add(each.row)
        columns = [self._column(at, each, batch, bad) for at, each in enumerate(self._fields)]
        if not columns:
            return [{} for _ in range(batch.size)]
        keys = self._keys
        return [dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True)]

    def _column(self, at: int, of_field: Field, batch: Batch, bad: dict[tuple[int, int], set[int]]) -> Sequence[Any]:
        parts = [
            self._cells(part, bad.get((at, part_at), set()), self._memos[of_field.key])
            for part_at, part in enumerate(batch.parts(of_field.key))
        ]
        if not of_field.many_to_one:
            return parts[0]
        if of_field.type == "multi-select":
            return [_flat(cells) for cells in zip(*parts, strict=True)]
        return [list(cells) for cells in zip(*parts, strict=True)]

    def _cells(self, part: Part, bad: set[int], memo: dict[Any, Any]) -> Sequence[Any]:
        if part.kind.to_output is None and not bad:
            return part.values
        cells = list(part.values) if part.kind.to_output is None else _converted(part, memo)
        for row in bad:
            cells[row] = part.texts[row] if self._keeps_text else None
        return cells


def _converted(part: Part, memo: dict[Any, Any]) -> list[Any]:
    convert = part.kind.output
    if not part.kind.output_is_costly:
        return [None if type(value) is Invalid else convert(value) for value in part.values]
    if len(memo) > _COSTLY_MEMO_MAX:
        memo.clear()
    for value in part.values:
        if value not in memo:
            memo[value] = None if type(value) is Invalid else convert(value)
    return [memo[value] for value in part.values]


def _flat(cells: Sequence[Any]) -> list[Any]:
    items = [item for cell in cells for item in (cell if isinstance(cell, list) else [cell]) if item is not None]
    return [item for at, item in enumerate(items) if item not in items[:at]]
