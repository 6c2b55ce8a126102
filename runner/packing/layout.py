"""The layout of a pack: its members in order, and which rows are whose."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Self


@dataclass(frozen=True, slots=True)
class PackedMember:
    """A member by its tag, and how many rows it has."""

    tag: str
    row_count: int


@dataclass(frozen=True)
class PackLayout:
    """The members of a pack in their order. An index of a row counts from 0, as the `rowIndex` of errors does."""

    members: tuple[PackedMember, ...]

    @classmethod
    def of(cls, members: Iterable[tuple[str, int]]) -> Self:
        """Return the layout of (tag, row count) pairs. Raises ValueError for a tag that comes twice."""
        made = cls(tuple(PackedMember(tag, row_count) for tag, row_count in members))
        if len(made.starts) != len(made.members):
            raise ValueError("a member comes twice")
        return made

    @cached_property
    def starts(self) -> dict[str, int]:
        """Return the index of each member's first row, by tag."""
        return dict(zip((each.tag for each in self.members), self._ends_before, strict=True))

    @cached_property
    def row_count(self) -> int:
        return sum(each.row_count for each in self.members)

    @cached_property
    def row_counts(self) -> dict[str, int]:
        """Return how many rows each member has, by tag."""
        return {each.tag: each.row_count for each in self.members}

    def rows_of(self, tag: str) -> tuple[int, int]:
        """Return the numbers of a member's first row and of its last one; numbers count from 1."""
        start = self.starts[tag]
        return start + 1, start + self.row_counts[tag]

    def member_at(self, row_index: int) -> tuple[str, int] | None:
        """Return the member that a row of the pack belongs to, and the row's index in its own file; None if no row."""
        if not 0 <= row_index < self.row_count:
            return None
        at = bisect_right(self._ends_before, row_index) - 1
        return self.members[at].tag, row_index - self._ends_before[at]

    @cached_property
    def _ends_before(self) -> list[int]:
        return list(accumulate((each.row_count for each in self.members), initial=0))[: len(self.members)]
