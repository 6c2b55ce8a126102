"""A batch: some thousand rows of the mapped columns as texts, values, and displayed texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sandbox.engine.types import Invalid, Kind
from sandbox.hooks import Message


@dataclass
class Part:
    """One column of the file in one field: most fields have one part, a manyToOne field several.

    `values` holds canonical values, or Invalid for a text that is not a value; `has_invalid` False guarantees that
    there is none. `messages` are those that hooks added at cells, by row. `kinds` replace `kind` at cells that have
    options of their own.
    """

    kind: Kind
    texts: Sequence[str]
    values: Sequence[Any]
    has_invalid: bool
    messages: Mapping[int, Sequence[Message]] = field(default_factory=dict)
    kinds: dict[int, Kind] = field(default_factory=dict)

    @cached_property
    def is_empty(self) -> list[bool]:
        """Whether each cell is empty: only blanks, or a list without items."""
        if self.kind.empty == ():
            return [value == () for value in self.values]
        if "" not in self.texts and not any(map(str.isspace, self.texts)):
            return [False] * len(self.texts)
        return [not text or text.isspace() for text in self.texts]

    @cached_property
    def displayed(self) -> Sequence[str]:
        """What a person sees in each cell: the value as its type writes it, or the text if it is invalid."""
        if self.values is self.texts:
            return self.texts
        if self.kind.to_display is None and not self.has_invalid and not self.kinds:
            return ["" if value is None else str(value) for value in self.values]
        return [self.display(row) for row in range(len(self.texts))]

    def display(self, row: int) -> str:
        value = self.values[row]
        if type(value) is Invalid:
            return self.texts[row]
        if self.is_empty[row] and self.values is not self.texts:
            return ""
        return self.kinds.get(row, self.kind).display(value)

    def output(self, row: int) -> Any:
        value = self.values[row]
        return None if type(value) is Invalid else self.kind.output(value)


@dataclass(frozen=True)
class Batch:
    """Rows by their `indexes` in the data: field key -> the parts of that field."""

    indexes: Sequence[int]
    fields: Mapping[str, list[Part]]

    @property
    def size(self) -> int:
        return len(self.indexes)

    def parts(self, key: str) -> list[Part]:
        """Return the parts of a field; none if it is not mapped."""
        return self.fields.get(key, [])
