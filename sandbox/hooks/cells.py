"""What row and column hooks get, and the changed cells that they return, column by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sandbox.hooks.orders import Orders
from sandbox.hooks.wire import shallow

LEVELS = ("info", "warning", "error")


class Message(NamedTuple):
    """A message at a cell; `level` is one of LEVELS."""

    message: str
    level: str = "error"

    @classmethod
    def of_wire(cls, given: Any) -> Self:
        message, level = given
        if not isinstance(message, str) or level not in LEVELS:
            raise TypeError("not a message")
        return cls(message, level)


@dataclass(frozen=True, kw_only=True)
class HookColumn:
    """One field's cells in a batch or, with `part`, those of one column of a manyToOne field.

    `texts` are the displayed texts and `results` the typed values (None: the same as `texts`); `infos` and `options`
    are by position.
    """

    key: str
    texts: Sequence[str]
    results: Sequence[Any] | None = None
    infos: Mapping[int, Sequence[Message]] = field(default_factory=dict)
    options: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    part: int | None = None

    def to_wire(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "part": self.part,
            "texts": self.texts,
            "results": self.results,
            "infos": {str(at): [tuple(message) for message in messages] for at, messages in self.infos.items()} or None,
            "options": {str(at): list(options) for at, options in self.options.items()} or None,
        }


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows for hooks: columns of equal length, each row's index in the data, and its id if that is not row_id()."""

    columns: Sequence[HookColumn]
    indexes: Sequence[int]
    ids: Sequence[str] | None = None

    def to_wire(self) -> dict[str, Any]:
        return {
            "columns": [column.to_wire() for column in self.columns],
            "count": len(self.indexes),
            "ids": self.ids,
            **_indexes_to_wire(self.indexes),
        }

    def __getitem__(self, at: slice) -> "Batch":
        """Return a slice of the rows as a batch."""
        start = at.indices(len(self.indexes))[0]
        return Batch(
            columns=[_cut(column, at, start) for column in self.columns],
            indexes=self.indexes[at],
            ids=self.ids[at] if self.ids is not None else None,
        )


@dataclass(frozen=True, kw_only=True)
class ColumnChange:
    """The changed cells of one field (or of one part of a manyToOne field), by position in the batch.

    `texts` are new values to parse; `infos` and `options` replace those of the cell (a column hook's add to them).
    """

    key: str
    part: int | None
    texts: Mapping[int, str]
    infos: Mapping[int, Sequence[Message]]
    options: Mapping[int, Sequence[Any]]

    @classmethod
    def of_wire(cls, given: Mapping[str, Any], *, count: int) -> Self:
        """Read the driver's answer. Raises TypeError, ValueError, KeyError, or OverflowError if it is malformed."""
        texts = _by_position(given["texts"], count)
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("not a text")
        infos = {
            at: tuple(map(Message.of_wire, messages)) for at, messages in _by_position(given["infos"], count).items()
        }
        part = given["part"]
        return cls(
            key=str(given["key"]),
            part=part if part is None else int(part),
            texts=texts,
            infos=infos,
            options=_by_position(shallow(given["options"]), count),
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a hook changed in a batch, and what it asked for through an instance that it kept from a step."""

    columns: Sequence[ColumnChange]
    orders: Orders

    @classmethod
    def of_wire(cls, reply: Mapping[str, Any], *, count: int) -> Self:
        return cls(
            columns=[ColumnChange.of_wire(column, count=count) for column in reply["columns"]],
            orders=Orders.of_wire(reply.get("orders")),
        )


def row_id(index: int) -> str:
    """Return the id of a data row for hooks, unless a batch has another one."""
    return f"row-{index}"


def _indexes_to_wire(indexes: Sequence[int]) -> dict[str, Any]:
    if isinstance(indexes, range) and indexes.step == 1:
        return {"first": indexes.start}
    return {"indexes": list(indexes)}


def _cut(column: HookColumn, at: slice, start: int) -> HookColumn:
    texts = column.texts[at]
    here = range(start, start + len(texts))
    return HookColumn(
        key=column.key,
        part=column.part,
        texts=texts,
        results=column.results[at] if column.results is not None else None,
        infos={row - start: infos for row, infos in column.infos.items() if row in here},
        options={row - start: options for row, options in column.options.items() if row in here},
    )


def _by_position(given: tuple[list[int], list[Any]], count: int) -> dict[int, Any]:
    positions, values = given
    if positions and (min(positions) < 0 or max(positions) >= count):
        raise ValueError("a position outside the batch")
    return dict(zip(positions, values, strict=True))
