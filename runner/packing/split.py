"""The split: what each member gets of a pack's result, after every row that was sent is accounted for.

A row that was sent is either in the result, or the vendor's list of errors names it as left out. The vendor documents
no form of that list; `rowIndex` counts the rows of an import from 0, as the sandbox writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.errors import PackUnaccounted
from runner.packing.layout import PackedMember, PackLayout
from runner.packing.marker import Marker, MarkerColumn
from runner.packing.result_rows import PackRows
from runner.packing.rules import REMOVE_INVALID

ROW_INDEX = "rowIndex"
ROWS_WITH_ERROR = "rowsWithError"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberResult:
    """What a member gets: its rows in order, each as its own import would have given it.

    `metadata` is what the vendor's `result_metadata` would say about its rows alone.
    """

    tag: str
    rows: tuple[bytes, ...] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Return the length of `content`."""
        return sum(map(len, self.rows)) + max(len(self.rows) - 1, 0) + 2

    @property
    def content(self) -> bytes:
        """Return the result as one JSON array."""
        return b"[" + b",".join(self.rows) + b"]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackResult:
    """The results of all members in the order of the pack; `errors_are_cut`: the vendor's list lacks some errors."""

    members: tuple[MemberResult, ...]
    errors_are_cut: bool


@dataclass(frozen=True, slots=True)
class Offenders:
    """The members that errors name; `are_all` unless some error names no row, and so no member."""

    tags: frozenset[str]
    are_all: bool


class PackSplitter:
    """Fed with the bytes of a pack's result as they come. Holds all rows in memory until `finish`.

    `behavior` is what the import does with invalid rows, in the vendor's words.
    """

    def __init__(self, layout: PackLayout, *, column: MarkerColumn, keeps_unmapped: bool, behavior: str) -> None:
        self._layout = layout
        self._removes = behavior == REMOVE_INVALID
        self._rows: dict[str, dict[int, bytes]] = {each.tag: {} for each in layout.members}
        self._reader = PackRows(self._take, column=column, keeps_unmapped=keeps_unmapped)

    def feed(self, data: bytes) -> None:
        """Read the next bytes.

        Raises ResultInvalid, and PackUnaccounted: `marker_invalid`, `marker_foreign`, or `marker_repeated`.
        """
        self._reader.feed(data)

    def finish(self, metadata: object) -> PackResult:
        """Return the result of each member; `metadata` is the `result_metadata` of the pack's import as it came.

        Raises as `feed`, and PackUnaccounted: `row_count`, `rows_missing`, or `rows_contradict`.
        """
        self._reader.finish()
        said = metadata if isinstance(metadata, Mapping) else {}
        errors = ErrorsOfMembers(self._layout, said)
        members = tuple(self._member(each, errors) for each in self._layout.members)
        return PackResult(members=members, errors_are_cut=errors.are_cut)

    def _take(self, marker: Marker, row: bytes) -> None:
        rows = self._rows.get(marker.tag)
        if rows is None or marker.number > self._layout.row_counts[marker.tag]:
            raise PackUnaccounted("marker_foreign", f"the pack's result has a row {marker} that was not in the pack")
        if marker.number in rows:
            raise PackUnaccounted("marker_repeated", f"the pack's result has the row {marker} twice")
        rows[marker.number] = row

    def _member(self, member: PackedMember, errors: ErrorsOfMembers) -> MemberResult:
        rows = self._rows[member.tag]
        named = errors.rows_of(member.tag)
        if self._removes and any(index + 1 in rows for index in named):
            raise PackUnaccounted("rows_contradict", f"{member.tag}: a row is in the result, and named as left out")
        explained = len(named) if self._removes else 0
        if len(rows) + explained != member.row_count:
            lost = member.row_count - len(rows) - explained
            raise PackUnaccounted("rows_missing", f"{member.tag}: {lost} of {member.row_count} rows are unaccounted")
        ordered = tuple(rows[number] for number in sorted(rows))
        return MemberResult(tag=member.tag, rows=ordered, metadata=errors.metadata_of(member))


class ErrorsOfMembers:
    """The errors in the `result_metadata` of a pack's import, by member."""

    def __init__(self, layout: PackLayout, metadata: Mapping[str, Any]) -> None:
        """Raises PackUnaccounted: `row_count` for an error of a row that was not sent."""
        self._layout = layout
        self._errors: dict[str, list[Mapping[str, Any]]] = {}
        self._named: dict[str, set[int]] = {}
        listed = _list(metadata.get("errors"))
        self._is_known = any(isinstance(metadata.get(name), list) for name in ("errors", ROWS_WITH_ERROR))
        for error, index in _with_rows(listed):
            tag, own = self._place(index)
            self._errors.setdefault(tag, []).append({**error, ROW_INDEX: own})
            self._named.setdefault(tag, set()).add(own)
        for index in filter(_is_index, _list(metadata.get(ROWS_WITH_ERROR))):
            tag, own = self._place(index)
            self._named.setdefault(tag, set()).add(own)
        count = metadata.get("errorCount")
        self.are_cut = isinstance(count, int) and count > len(listed)

    def rows_of(self, tag: str) -> set[int]:
        """Return the indexes of a member's rows, in its own file, that errors name."""
        return self._named.get(tag, set())

    def metadata_of(self, member: PackedMember) -> dict[str, Any]:
        """Return what the vendor would say about a member's rows alone, as far as it says anything about errors."""
        if not self._is_known:
            return {"totalRows": member.row_count}
        errors, named = self._errors.get(member.tag, []), sorted(self.rows_of(member.tag))
        return {
            "totalRows": member.row_count,
            "validRows": member.row_count - len(named),
            "invalidRows": len(named),
            ROWS_WITH_ERROR: named,
            "errors": errors,
            "errorCount": len(errors),
        }

    def _place(self, index: int) -> tuple[str, int]:
        found = self._layout.member_at(index)
        if found is None:
            raise PackUnaccounted("row_count", f"an error is in row {index} of {self._layout.row_count} that were sent")
        return found


def rows_left_out(metadata: object, behavior: str) -> set[int] | None:
    """Return the indexes of rows that a pack's import left out, by its `result_metadata`; None if some lack there."""
    if behavior != REMOVE_INVALID:
        return set()
    said = metadata if isinstance(metadata, Mapping) else {}
    errors, rows = _list(said.get("errors")), said.get(ROWS_WITH_ERROR)
    named = {index for _, index in _with_rows(errors)} | set(filter(_is_index, _list(rows)))
    cut = isinstance(said.get("errorCount"), int) and said["errorCount"] > len(errors)
    return None if cut and not isinstance(rows, list) else named


def offenders(errors: Iterable[object], layout: PackLayout) -> Offenders:
    """Return which members the `import_errors` of a pack name, such as those of one that needs a review."""
    listed = list(errors)
    found = [layout.member_at(index) for _, index in _with_rows(listed)]
    places = [place for place in found if place is not None]
    return Offenders(frozenset(tag for tag, _ in places), are_all=0 < len(places) == len(listed))


def _with_rows(errors: Iterable[object]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield the errors that name a row, with its index."""
    for error in errors:
        index = error.get(ROW_INDEX) if isinstance(error, Mapping) else None
        if isinstance(error, Mapping) and _is_index(index):
            assert isinstance(index, int)
            yield error, index


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _list(given: object) -> Sequence[Any]:
    return given if isinstance(given, list) else ()
