"""Which row is the header, and which column belongs to which field."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandbox.engine.reading import widths

HEADER_SEARCH_ROWS = 20
_MIN_HEADER_WIDTH_SHARE = 0.6
_LOOKS_LIKE_DATA = re.compile(r"@|^[-+$€£(]?\s*\d[\d.,:/ -]*\s*%?\)?$|^\d{4}-\d\d-\d\d")

Field = Mapping[str, Any]


def find_header(rows: Sequence[list[str]], *, fields: Sequence[Field]) -> int | None:
    """The index of the header among the non-blank `rows`, None when no row will do.

    The row with most field names among the first 20 (at least two, or half of its cells); else the first row that is
    nearly as wide as the widest, has distinct texts, and none that looks like data.
    """
    candidates = rows[:HEADER_SEARCH_ROWS]
    known = {normalised(name) for field in fields for name in names(field)}
    hits = [len({normalised(cell) for cell in row} & known) for row in candidates]
    best = max(range(len(candidates)), key=hits.__getitem__, default=None)
    if best is None:
        return None
    cell_counts = widths(candidates)
    if hits[best] >= 2 or (hits[best] and hits[best] * 2 >= cell_counts[best]):
        return best
    wide = max(widths(rows)) * _MIN_HEADER_WIDTH_SHARE
    return next((at for at, row in enumerate(candidates) if cell_counts[at] >= wide and _is_title_row(row)), None)


def match_columns(header: Sequence[str], *, fields: Sequence[Field], fuzzy: bool) -> dict[str, int]:
    """Field key -> column, for each field that finds one: label, key, alternate names, then (fuzzy) normalised ones.

    Exact names are case-sensitive; the leftmost column and the first field win; hidden fields take no column.
    """
    visible = [field for field in fields if not field.get("hidden")]
    found: dict[str, int] = {}
    for name_of in (_labels, _keys, _alternates):
        _claim(found, header, visible, name_of=name_of)
    if fuzzy:
        plain = [normalised(cell) for cell in header]
        _claim(found, plain, visible, name_of=lambda field: [normalised(name) for name in names(field)])
    return found


def names(field: Field) -> list[str]:
    return [*_labels(field), *_keys(field), *_alternates(field)]


def normalised(name: str) -> str:
    """Letters and digits only, without case: "First_Name" and "first name" are one."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _claim(found: dict[str, int], header: Sequence[str], fields: Iterable[Field], *, name_of: Any) -> None:
    for field in fields:
        if field["key"] in found:
            continue
        free = (at for at, cell in enumerate(header) if at not in found.values())
        wanted = [name for name in name_of(field) if name]
        column = next((at for at in free if header[at].strip() in wanted), None)
        if column is not None:
            found[field["key"]] = column


def _labels(field: Field) -> list[str]:
    return [str(field.get("label") or "")]


def _keys(field: Field) -> list[str]:
    return [str(field["key"])]


def _alternates(field: Field) -> list[str]:
    return [str(name) for name in field.get("alternateMatches") or ()]


def _is_title_row(row: list[str]) -> bool:
    texts = [cell.strip() for cell in row if cell.strip()]
    return len(set(texts)) == len(texts) and not any(_LOOKS_LIKE_DATA.search(text) for text in texts)
