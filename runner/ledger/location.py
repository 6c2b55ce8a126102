"""Where a ledger lies: a file of this machine, or a table that several share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SCHEME = "dynamodb://"
_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """A table of DynamoDB, written `dynamodb://NAME`."""

    name: str

    def __str__(self) -> str:
        return _SCHEME + self.name


def ledger_place(text: str) -> Path | LedgerTable:
    """Read a path, `sqlite:///PATH` or `dynamodb://TABLE`. Raises ValueError."""
    scheme, found, rest = text.partition("://")
    if not found:
        return Path(text)
    if scheme == "dynamodb":
        if not _NAME.fullmatch(rest):
            raise ValueError("write dynamodb://TABLE; a table's name has 3 to 255 letters, digits, dots, - and _")
        return LedgerTable(rest)
    if scheme != "sqlite" or not rest.startswith("/") or len(rest) < len("/x"):
        raise ValueError("write a path, sqlite:///PATH or dynamodb://TABLE")
    return Path(rest[1:])


def files_of(place: Path | LedgerTable) -> list[Path]:
    """Return the files in which a ledger lies: none where it is a table."""
    if isinstance(place, LedgerTable):
        return []
    return [place.with_name(place.name + ending) for ending in ("", "-wal", "-shm", ".lock")]
