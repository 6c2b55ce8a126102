"""What a review shows of an import: its layout, and every row with its messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.engine.reading.sheet import Row

PREVIEW_ROWS = 100
SAMPLES_MAX_COUNT = 3


@dataclass(frozen=True, kw_only=True)
class DraftColumn:
    """A column of the file: its header ("" without one), some of its texts, and fields it may belong to, best first."""

    at: int
    header: str
    samples: Sequence[str]
    suggestions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the file was understood.

    `preview` are its first physical rows, blank ones among them; `header_row` is None where the header was not found,
    NO_HEADER where a person has said that there is none. `columns` is field key -> places of its columns; `fields`
    are the definitions in force, those that hooks added too.
    """

    preview: Sequence[Row]
    header_row: int | None
    file_columns: Sequence[DraftColumn]
    columns: Mapping[str, tuple[int, ...]]
    fields: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DraftMessage:
    """A message at a cell; `level` is info, warning or error."""

    key: str
    part: int
    message: str
    level: str = "error"


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A row as a person edits it: field key -> the text displayed in each of its parts, and all messages in order."""

    index: int
    texts: Mapping[str, Sequence[str]]
    messages: Sequence[DraftMessage]


class Draft(Protocol):
    """Is told of an import while it runs: its layout, then its rows in order, dropped ones left out; each once."""

    def begin(self, layout: Layout) -> None: ...

    def add(self, rows: Sequence[DraftRow]) -> None: ...
