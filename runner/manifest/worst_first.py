"""WorstFirst: the files of a batch that need attention most, in constant memory."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from runner.formatting import shown
from runner.models import OPEN_STATES, ItemState
from runner.problems.page import FILES_MAX, FileRow

if TYPE_CHECKING:
    from runner.models import Item

TEXT_MAX_CHARS = 400

LOOKS = {
    ItemState.COLLECTED: ("succeed", "collected"),
    ItemState.NEEDS_REVIEW: ("review", "needs review"),
    ItemState.UNCERTAIN: ("uncertain", "uncertain"),
    ItemState.FAILED: ("fail", "failed"),
    ItemState.REJECTED: ("reject", "rejected"),
    ItemState.SKIPPED: ("skip", "skipped"),
}
DISMISSED = ("dismissed", "dismissed")
"""The class in the style, and the word, of each state; those of open items have their name."""

_BY_STATE = {ItemState.FAILED: 0, ItemState.UNCERTAIN: 1, ItemState.REJECTED: 2, ItemState.NEEDS_REVIEW: 3}
_TROUBLED, _HELD_BACK, _LOSSY, _OPEN, _DISMISSED, _SKIPPED, _FINE = range(4, 11)
_UNRESOLVED = frozenset({ItemState.FAILED, ItemState.UNCERTAIN, ItemState.NEEDS_REVIEW})


class WorstFirst:
    """Keeps the rows of at most `FILES_MAX` items: the worst, and of those that are as bad, the first."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[list[FileRow]] = [[] for _ in range(_FINE + 1)]
        self._room = FILES_MAX

    def take(self, item: Item) -> None:
        """Add an item; items come in the order of their sources."""
        self.count += 1
        rank = _rank(item)
        if not self._room:
            worst_kept = max(at for at, rows in enumerate(self._kept) if rows)
            if worst_kept <= rank:
                return
            self._kept[worst_kept].pop()
            self._room += 1
        self._kept[rank].append(_row(item))
        self._room -= 1

    def rows(self) -> list[FileRow]:
        """Return the rows, the worst first, and sorted by name if they are as bad."""
        return list(chain.from_iterable(self._kept))


def clipped(text: str) -> str:
    """Return a text as a page shows it: its characters visible, and not too long."""
    text = shown(text[: TEXT_MAX_CHARS + 1])
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[: TEXT_MAX_CHARS - 1]}…"


def look_of(item: Item) -> tuple[str, str]:
    """Return the class in the style, and the word, of an item's state."""
    if item.is_dismissed:
        return DISMISSED
    return LOOKS.get(item.state, ("open", str(item.state)))


def _rank(item: Item) -> int:
    """Return how little attention an item needs: 0 is the worst."""
    if item.is_dismissed:
        return _DISMISSED
    if item.state in _BY_STATE:
        return _BY_STATE[item.state]
    if item.state in OPEN_STATES:
        return _TROUBLED if item.error_code else _OPEN
    if item.state is ItemState.SKIPPED:
        return _HELD_BACK if item.earlier_state in _UNRESOLVED else _SKIPPED
    return _LOSSY if item.rows_left_out or item.row_count == 0 else _FINE


def _row(item: Item) -> FileRow:
    look, word = look_of(item)
    is_saved = item.state is ItemState.COLLECTED
    return FileRow(
        look=look,
        state=word,
        source=clipped(item.source),
        note=clipped(_note(item)),
        numbers=(item.rows_in, item.row_count if is_saved else None, (is_saved and item.rows_left_out) or None),
    )


def _note(item: Item) -> str:
    if item.error_message:
        return item.error_message
    if item.earlier_state is not None and item.state is ItemState.SKIPPED:
        return f"the same content is {item.earlier_state} in batch {item.earlier_batch_id}"
    if item.state is ItemState.COLLECTED and item.row_count == 0:
        return "the result has no rows"
    return ""
