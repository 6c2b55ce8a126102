"""FoundRows: the members of a pack of which only the result is left, and which rows of it each of them had.

Members come in the order of their tags, and each marker says which row of its file a row is. So the layout follows from
the rows that came back and the indexes of those that were left out, if both are complete.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import count, pairwise, takewhile

from runner.errors import PackUnaccounted
from runner.packing.layout import PackLayout
from runner.packing.marker import Marker, MarkerColumn
from runner.packing.result_rows import PackRows


class FoundRows:
    """Fed with the bytes of a pack's result as they come; `numbers` are those of the rows of each member, by tag."""

    def __init__(self) -> None:
        self.numbers: dict[str, set[int]] = {}
        self._rows = PackRows(self._take, column=None, keeps_unmapped=False)

    @property
    def column(self) -> MarkerColumn | None:
        """Return how the markers came back; None for a result without rows."""
        return self._rows.column

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises ResultInvalid, PackUnaccounted."""
        self._rows.feed(data)

    def finish(self) -> None:
        """Declare the end of the result. Raises ResultInvalid, PackUnaccounted."""
        self._rows.finish()

    def _take(self, marker: Marker, _row: bytes) -> None:
        numbers = self.numbers.setdefault(marker.tag, set())
        if marker.number in numbers:
            raise PackUnaccounted("marker_repeated", f"the pack's result has the row {marker} twice")
        numbers.add(marker.number)


def layout_of_rows(numbers: Mapping[str, Collection[int]], left_out: AbstractSet[int]) -> PackLayout | None:
    """Return the layout of a pack whose members had these rows in its result; None if that does not add up.

    `left_out` are the indexes, in the pack, of the rows that are not in the result. Rows that are left out at the end
    of a member and at the beginning of the next one follow each other: the markers say how many are the next one's.
    """
    tags = sorted(numbers)
    leads = [min(numbers[tag]) - 1 for tag in tags]
    members: list[tuple[str, int]] = []
    start = 0
    for tag, lead in zip(tags, [*leads, 0][1:], strict=True):
        last = max(numbers[tag])
        run = sum(1 for _ in takewhile(left_out.__contains__, count(start + last)))
        if run < lead or not _fits(numbers[tag], left_out, start=start):
            return None
        members.append((tag, last + run - lead))
        start += members[-1][1]
    row_count = sum(map(len, numbers.values())) + len(left_out)
    return PackLayout.of(members) if members and start == row_count and _is_within(left_out, start) else None


def _fits(numbers: Collection[int], left_out: AbstractSet[int], *, start: int) -> bool:
    """Return whether exactly those rows of a member are left out that are missing up to its last one."""
    there = sorted(numbers)
    missing = [one for before, after in pairwise([0, *there]) for one in range(before + 1, after)]
    is_missing = all(start + one - 1 in left_out for one in missing)
    return is_missing and all(start + one - 1 not in left_out for one in there)


def _is_within(left_out: AbstractSet[int], row_count: int) -> bool:
    return all(index < row_count for index in left_out)
