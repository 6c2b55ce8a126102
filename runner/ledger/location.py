"""Where a ledger is: in a file on this machine, or in a table that several machines share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SCHEME = "dynamodb://"
_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """A DynamoDB table, written `dynamodb://NAME`."""

    name: str

    def __str__(self) -> str:
        return _SCHEME + self.name


def parse_location(text: str) -> Path | LedgerTable:
    """Parse a path, `sqlite:///PATH`, or `dynamodb://TABLE`. Raises ValueError."""
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


def files_of(location: Path | LedgerTable) -> list[Path]:
    """Return the files that a ledger consists of; none for a table."""
    if isinstance(location, LedgerTable):
        return []
    return [location.with_name(location.name + ending) for ending in ("", "-wal", "-shm", ".lock")]
