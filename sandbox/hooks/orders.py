"""Orders: what hooks ask of the import through their `instance`: fields, rows, messages, the header row, the user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sandbox.hooks.wire import shallow

_LARGEST_INDEX = 2**53 - 1


@dataclass(frozen=True, kw_only=True)
class AddedField:
    """A field object as in a schema, and the key of the field to put it before or after, if any."""

    field: Mapping[str, Any]
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddedCell:
    """A cell of an added row: displayed text, (message, level) pairs, select options, or a manyToOne field's parts."""

    text: str = ""
    infos: tuple[tuple[str, str], ...] = ()
    options: tuple[Any, ...] | None = None
    parts: tuple["AddedCell", ...] | None = None

    @classmethod
    def of_wire(cls, given: Mapping[str, Any]) -> Self:
        parts = given.get("parts")
        options = given.get("options")
        return cls(
            text=str(given["text"]),
            infos=tuple((str(message), str(level)) for message, level in given["infos"]),
            options=None if options is None else tuple(options),
            parts=None if parts is None else tuple(AddedCell.of_wire(part) for part in parts),
        )


@dataclass(frozen=True, kw_only=True)
class AddedRow:
    """A row to insert at `index` (None: at the end); the hook knows it by `id`."""

    id: str
    index: int | None
    cells: Mapping[str, AddedCell]


@dataclass(frozen=True, kw_only=True)
class CellMessage:
    """A message to add at a cell."""

    row_index: int
    key: str
    message: str
    level: str


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Everything asked during one call, each kind in order; empty or None if nothing was asked."""

    added_fields: tuple[AddedField, ...] = ()
    removed_fields: tuple[str, ...] = ()
    added_rows: tuple[AddedRow, ...] = ()
    removed_rows: tuple[str, ...] = ()
    messages: tuple[CellMessage, ...] = ()
    header_row: int | None = None
    header_row_given: bool = False
    user: Mapping[str, Any] | None = None
    development_mode: bool | None = None

    def __bool__(self) -> bool:
        return self != Orders()

    def __add__(self, later: "Orders") -> "Orders":
        """Combine both in order; of single values, the later wins."""
        return Orders(
            added_fields=self.added_fields + later.added_fields,
            removed_fields=self.removed_fields + later.removed_fields,
            added_rows=self.added_rows + later.added_rows,
            removed_rows=self.removed_rows + later.removed_rows,
            messages=self.messages + later.messages,
            header_row=later.header_row if later.header_row_given else self.header_row,
            header_row_given=self.header_row_given or later.header_row_given,
            user=self.user if later.user is None else later.user,
            development_mode=self.development_mode if later.development_mode is None else later.development_mode,
        )

    @classmethod
    def of_wire(cls, given: Mapping[str, Any] | None) -> Self:
        """Read the driver's answer. Raises TypeError, ValueError, KeyError, or OverflowError if it is malformed."""
        if given is None:
            return cls()
        shallow(given)
        return cls(
            added_fields=tuple(AddedField(field=dict(item.pop("field")), **item) for item in given["addedFields"]),
            removed_fields=tuple(map(str, given["removedFields"])),
            added_rows=tuple(_row(item) for item in given["addedRows"]),
            removed_rows=tuple(map(str, given["removedRows"])),
            messages=tuple(
                CellMessage(row_index=_index(row), key=str(key), message=str(message), level=str(level))
                for row, key, message, level in given["messages"]
            ),
            header_row=None if given["headerRow"] is None else _index(given["headerRow"]),
            header_row_given=bool(given["headerRowGiven"]),
            user=None if given["user"] is None else dict(given["user"]),
            development_mode=given["developmentMode"],
        )


def _index(given: Any) -> int:
    if abs(given) > _LARGEST_INDEX:
        raise ValueError("not an index")
    return int(given)


def _row(given: Mapping[str, Any]) -> AddedRow:
    index = given["index"]
    return AddedRow(
        id=str(given["id"]),
        index=None if index is None else _index(index),
        cells={str(key): AddedCell.of_wire(cell) for key, cell in given["cells"].items()},
    )
