"""Reads what the pages' forms send."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from multidict import MultiMapping

from sandbox.review.decisions import CellEdit
from sandbox.review.draft_reader import ALL_ROWS, Show
from sandbox.review.draft_writer import ERRORS

TEXT_MAX_LENGTH = 100_000
_ROW_MAX = 1 << 40
_PAGE_MAX_DIGITS = 9
_KINDS = ("errors", "all", "field", "message")

Shown = Mapping[str, Mapping[str, list[str]]]


class BadForm(Exception):
    """The pages cannot have sent this form."""


@dataclass(frozen=True)
class Place:
    """Which rows a page shows (None: the default), and the page number, from 0."""

    show: Show | None = None
    page: int = 0

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Place":
        """Read a query or a form; invalid values count as absent."""
        page = str(given.get("page", ""))
        is_number = page.isascii() and page.isdigit() and len(page) <= _PAGE_MAX_DIGITS
        return cls(_show(str(given.get("show", ""))), int(page) if is_number else 0)

    @property
    def query(self) -> str:
        parts = ({"show": show_text(self.show)} if self.show else {}) | ({"page": str(self.page)} if self.page else {})
        return f"?{urlencode(parts)}" if parts else ""


def show_text(show: Show) -> str:
    """Return a choice of rows as a form's value."""
    return show[0] if show in {ERRORS, ALL_ROWS} else orjson.dumps(show).decode()


def whole(form: Mapping[str, Any], name: str) -> int:
    """Return a number of at most 40 bits. Raises BadForm."""
    text = str(form.get(name, ""))
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) < _ROW_MAX):
        raise BadForm(name)
    return int(text)


def text_of(form: Mapping[str, Any], name: str) -> str:
    """Return a text. Raises BadForm if it is missing, too long, or a file."""
    text = form.get(name)
    if not isinstance(text, str) or len(text) > TEXT_MAX_LENGTH:
        raise BadForm(name)
    return as_sent(text)


def as_sent(text: str) -> str:
    """Return a text as a browser sends it back unedited: unencodable characters replaced, line ends unified."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return plain.encode("utf-8", "replace").decode()


def digest(text: str) -> str:
    """Return a short digest that identifies a text in a form."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def cell_name(row: int, part: int, field: str) -> str:
    return f"cell.{row}.{part}.{field}"


def cell_edits(form: Mapping[str, Any]) -> list[CellEdit]:
    """Return the cells whose text differs from the shown one. Raises BadForm."""
    return list(_edits(form, _shown(form)))


def column_choices(form: MultiMapping[Any], *, column_count: int) -> dict[str, list[int]]:
    """Return the places of the columns that a person gave to each field, by field key."""
    chosen: dict[str, list[int]] = {}
    for at in range(column_count):
        key = str(form.get(f"column.{at}", ""))
        if key:
            chosen.setdefault(key, []).append(at)
    return chosen


def _edits(form: Mapping[str, Any], shown: Shown) -> Iterator[CellEdit]:
    for name in form:
        if name.startswith("cell."):
            row, part, field = _cell(name)
            try:
                before = shown[str(row)][field][part]
            except (KeyError, IndexError):
                raise BadForm(name) from None
            text = text_of(form, name)
            if text != as_sent(before):
                yield CellEdit(row=row, field=field, part=part, text=text, before=before)


def _cell(name: str) -> tuple[int, int, str]:
    _, row, part, field = name.split(".", 3) if name.count(".") >= 3 else ("", "", "", "")
    numbers = {"row": row, "part": part}
    return whole(numbers, "row"), whole(numbers, "part"), field


def _shown(form: Mapping[str, Any]) -> Shown:
    try:
        shown = orjson.loads(str(form.get("shown", "{}")))
        if all(isinstance(text, str) for row in shown.values() for texts in row.values() for text in texts):
            return dict(shown)
    except (ValueError, AttributeError, TypeError):
        pass
    raise BadForm("shown")


def _show(text: str) -> Show | None:
    if text in {"errors", "all"}:
        return (text, "", "")
    try:
        kind, field, message = orjson.loads(text)
    except (ValueError, TypeError):
        return None
    known = kind in _KINDS and isinstance(field, str) and isinstance(message, str)
    return (kind, field, message) if known else None
