"""Which row of a file is its header."""

import re
from collections.abc import Sequence
from itertools import islice

from sandbox.engine.matching import normalised
from sandbox.engine.reading.sheet import Row, Sheet, is_blank
from sandbox.engine.schema import Field

SEARCH_ROWS = 20
_MIN_WIDTH_SHARE = 0.6
_PHYSICAL_ROWS = 10_000
_LOOKS_LIKE_DATA = re.compile(r"@|^[-+$€£(]?\s*\d[\d.,:/ -]*\s*%?\)?$|^\d{4}-\d\d-\d\d")


def find_header(sheet: Sheet, *, fields: Sequence[Field], override: int | None) -> tuple[int, Row] | None:
    """The header's physical row (blank ones counted, from 0) and its cells; None when no row will do.

    The row that `override` names; else the row with most field names among the first 20 that are not blank (at least
    two, or half of its cells); else the first one nearly as wide as the widest, of distinct texts, none like data.
    """
    if override is not None:
        row = next(islice(iter(sheet.rows), override, None), None) if override >= 0 else None
        return None if row is None or is_blank(row) else (override, _stripped(row))
    physical = enumerate(islice(iter(sheet.rows), _PHYSICAL_ROWS))
    candidates = list(islice(((at, row) for at, row in physical if not is_blank(row)), SEARCH_ROWS))
    best = _best(candidates, fields) if candidates else None
    return None if best is None else (best[0], _stripped(best[1]))


def _best(candidates: list[tuple[int, Row]], fields: Sequence[Field]) -> tuple[int, Row] | None:
    known = {normalised(name) for field in fields for name in field.names if not field.hidden}
    widths = [_cell_count(row) for _, row in candidates]
    hits = [len(({normalised(cell) for cell in row} & known) - {""}) for _, row in candidates]
    best = max(range(len(candidates)), key=hits.__getitem__)
    if hits[best] >= 2 or (hits[best] and hits[best] * 2 >= widths[best]):
        return candidates[best]
    wide = max(widths) * _MIN_WIDTH_SHARE
    titles = (at for at, (_, row) in enumerate(candidates) if widths[at] >= wide and _is_title_row(row))
    at = next(titles, None)
    return None if at is None else candidates[at]


def _stripped(row: Row) -> Row:
    return [cell.strip() for cell in row]


def _cell_count(row: Row) -> int:
    return sum(1 for cell in row if cell.strip())


def _is_title_row(row: Row) -> bool:
    texts = [cell.strip() for cell in row if cell.strip()]
    return len(set(texts)) == len(texts) and not any(_LOOKS_LIKE_DATA.search(text) for text in texts)
