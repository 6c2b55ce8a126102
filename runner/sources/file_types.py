"""File types: a file's kind, and whether it is rejected, by its name and size alone."""

from __future__ import annotations

from runner.errors import ItemRejected
from runner.formatting import shown
from runner.models import MAX_FILE_BYTES, MAX_JSON_BYTES, ItemKind

ARRAY_SUFFIXES = frozenset({".json"})
LINES_SUFFIXES = frozenset({".ndjson", ".jsonl"})
FILE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods"})
MAX_LINES_BYTES = 2 * MAX_JSON_BYTES
"""Limit of files with one row per line, which may shrink when they become one array of MAX_JSON_BYTES (choice)."""

_LIMITS = {
    **dict.fromkeys(FILE_SUFFIXES, (ItemKind.FILE, MAX_FILE_BYTES)),
    **dict.fromkeys(ARRAY_SUFFIXES, (ItemKind.JSON, MAX_JSON_BYTES)),
    **dict.fromkeys(LINES_SUFFIXES, (ItemKind.JSON, MAX_LINES_BYTES)),
}
_KNOWN = ", ".join(sorted(_LIMITS))


def suffix_of(name: str) -> str:
    """Return the last suffix of a base name or path in lower case, with its dot; empty if there is none."""
    dot = name.rfind(".")
    if dot <= 0 or name[dot - 1] == "/":
        return ""
    suffix = name[dot:]
    return "" if "/" in suffix else suffix.lower()


def kind_of(name: str) -> ItemKind:
    """Tell how a file's data reaches the vendor."""
    return _LIMITS.get(suffix_of(name), (ItemKind.FILE, 0))[0]


def rejection_of(name: str, size_bytes: int) -> ItemRejected | None:
    """Return why a regular file is rejected: `unsupported_type`, `empty`, `too_large`, `json_too_large`; or None."""
    return kind_and_rejection(name, size_bytes)[1]


def kind_and_rejection(name: str, size_bytes: int) -> tuple[ItemKind, ItemRejected | None]:
    """Return `kind_of` and `rejection_of` together."""
    dot = name.rfind(".")
    known = _LIMITS.get(name[dot:]) if dot > 0 and name[dot - 1] != "/" else None
    known = known or _LIMITS.get(suffix_of(name))
    if known is None:
        return ItemKind.FILE, _unsupported(suffix_of(name))
    kind, limit = known
    if 0 < size_bytes <= limit:
        return kind, None
    if size_bytes == 0:
        return kind, empty()
    return kind, json_too_large(size_bytes) if kind is ItemKind.JSON else _too_large(size_bytes)


def _unsupported(suffix: str) -> ItemRejected:
    is_odd = not suffix.isprintable() or suffix != suffix.strip()
    named = f'"{shown(suffix)}"' if is_odd else suffix
    what = f"{named} is" if suffix else "a name without a suffix is"
    return ItemRejected("unsupported_type", f"{what} not a file type that is imported; those are {_KNOWN}")


def empty(what: str = "the file is empty (0 bytes)") -> ItemRejected:
    """Return the rejection of an input without data."""
    return ItemRejected("empty", what)


def json_too_large(size_bytes: int) -> ItemRejected:
    """Return the rejection of JSON rows that do not fit into a create."""
    return ItemRejected(
        "json_too_large",
        f"{size_bytes:,} bytes of JSON; the limit is {MAX_JSON_BYTES:,}. Split it, or convert it to CSV",
    )


def _too_large(size_bytes: int) -> ItemRejected:
    return ItemRejected("too_large", f"{size_bytes:,} bytes; the limit is {MAX_FILE_BYTES:,} (1 GiB). Split it")
