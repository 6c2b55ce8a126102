"""Groups of like problems: the same problem in many files, with counts and a few samples, and its words."""

from __future__ import annotations

import re
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from runner.formatting import counted
from runner.problems.problem import Cell, Effect, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EFFECT_WORDS = {
    Effect.FAILS: "would fail",
    Effect.REJECTED: "rejected locally",
    Effect.REVIEW: "would need review",
    Effect.ROWS_REMOVED: "rows left out",
    Effect.VALUES_EMPTIED: "values emptied",
    Effect.VALUES_KEPT: "invalid values kept",
    Effect.DATA_LOST: "data lost or shifted",
    Effect.NOTE: "note",
}

GROUPS_MAX = 1000
SAMPLES = 3
_TEXTS_MAX = 50
_DIGITS = re.compile(r"(?<![A-Za-z0-9-])\d+")

_T = TypeVar("_T")
_Sortable = TypeVar("_Sortable", tuple[str, str], tuple[str, int, str])

Signature = tuple[str, Effect, str, tuple[str, ...], str]
_REST = ("", "other problems")


class FileProblems(Protocol):
    """The problems of one file; `route` is the name of its route, empty if there is none."""

    @property
    def source(self) -> str: ...

    @property
    def route(self) -> str: ...

    @property
    def schema_id(self) -> str | None: ...

    @property
    def problems(self) -> Sequence[Problem]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemGroup:
    """The files with the same problem.

    `message` is that of the first file in `files`, which are at most `SAMPLES`. `values` are the most common invalid
    texts of all files, with counts; `headers` pairs of a field's label and the header that most likely belongs to it.
    `delimiter` or `encoding` would make names of fields of the headers. `is_capped` means that `row_count` is a lower
    bound. A warning of the engine has a `code`, a `count` in `unit`s, and the places where it begins in some files.
    """

    route: str
    schema_id: str | None
    effect: Effect
    kind: str
    message: str
    field_keys: tuple[str, ...]
    labels: tuple[str, ...]
    rule: str
    file_count: int
    row_count: int
    is_capped: bool
    files: tuple[str, ...]
    cells: tuple[Cell, ...]
    values: tuple[tuple[str, int], ...]
    headers: tuple[tuple[str, str], ...]
    code: str = ""
    count: int = 0
    unit: str = "row"
    places: tuple[Place, ...] = ()
    delimiter: str = ""
    encoding: str = ""


class ProblemGroups:
    """Groups the problems of any number of files in constant memory; the order of the files does not matter.

    Problems beyond `GROUPS_MAX` groups are counted together, one group for each effect.
    """

    def __init__(self) -> None:
        self._growing: dict[Signature, _Growing] = {}

    def take(self, file: FileProblems) -> None:
        """Add the problems of one file; a problem that a file has twice counts as one file."""
        signatures = set()
        for problem in file.problems:
            signature = signature_of(file.route, problem)
            if signature not in self._growing and len(self._growing) >= GROUPS_MAX:
                signature = (_REST[0], problem.effect, "other", (), _REST[1])
            growing = self._growing.get(signature)
            if growing is None:
                growing = self._growing[signature] = _Growing(file.route, file.schema_id, signature, problem)
            growing.add(problem, file.source, is_new_file=signature not in signatures)
            signatures.add(signature)

    def sorted(self) -> list[ProblemGroup]:
        """Return all groups, sorted by the number of files, then of rows, largest first."""
        found = [growing.group() for growing in self._growing.values()]
        return sorted(found, key=lambda one: (-one.file_count, -one.row_count, one.route, one.kind, one.message))


def signature_of(route: str, problem: Problem) -> Signature:
    """Return what two like problems have in common: everything but numbers, samples, and counts."""
    fields = problem.field_keys or problem.labels
    is_about_header = problem.kind in ("not_mapped", "column_ignored")
    message = problem.delimiter + problem.encoding if is_about_header else _DIGITS.sub("#", problem.message)
    message = f"{problem.code} {message}" if problem.code else message
    return (route, problem.effect, problem.kind, fields, message)


@dataclass(slots=True)
class _Growing:
    route: str
    schema_id: str | None
    signature: Signature
    first: Problem
    file_count: int = 0
    row_count: int = 0
    count: int = 0
    is_capped: bool = False
    files: list[tuple[str, str]] = field(default_factory=list)
    places: list[tuple[str, int, str]] = field(default_factory=list)
    cells: dict[str, tuple[str, int]] = field(default_factory=dict)
    values: Counter[str] = field(default_factory=Counter)
    headers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, problem: Problem, source: str, *, is_new_file: bool) -> None:
        self.file_count += is_new_file
        self.row_count += problem.row_count
        self.count += problem.count
        self.is_capped |= problem.is_capped
        if is_new_file:
            _keep_first(self.files, (source, problem.message))
        if (place := problem.place) is not None:
            _keep_first(self.places, (place.source, place.row, place.sample))
        for cell in problem.cells:
            _keep_first_cells(self.cells, cell)
        _count(self.values, problem.values)
        _count(self.headers, ((pair, 1) for pair in problem.headers))

    def group(self) -> ProblemGroup:
        is_rest = self.signature[2] == "other"
        return ProblemGroup(
            route=self.signature[0],
            schema_id=None if is_rest else self.schema_id,
            effect=self.first.effect,
            kind=self.signature[2],
            message=_REST[1] if is_rest else self.files[0][1],
            field_keys=() if is_rest else self.first.field_keys,
            labels=() if is_rest else self.first.labels,
            rule="" if is_rest else self.first.rule,
            file_count=self.file_count,
            row_count=self.row_count,
            is_capped=self.is_capped,
            files=tuple(source for source, _ in self.files),
            cells=() if is_rest else tuple(self._cells()),
            values=tuple(_most_common(self.values)),
            headers=tuple(self._most_common_headers()),
            code="" if is_rest else self.first.code,
            count=0 if is_rest else self.count,
            unit=self.first.unit,
            places=() if is_rest else tuple(self._places()),
            delimiter="" if is_rest else self.first.delimiter,
            encoding="" if is_rest else self.first.encoding,
        )

    def _cells(self) -> Iterable[Cell]:
        for value, (source, row) in sorted(self.cells.items(), key=lambda one: one[1]):
            yield Cell(source=source, row=row, value=value)

    def _places(self) -> Iterable[Place]:
        for source, row, sample in self.places:
            yield Place(source=source, row=row, sample=sample)

    def _most_common_headers(self) -> Iterable[tuple[str, str]]:
        """Yield the most common header for each field."""
        seen = set()
        for (label, header), _ in _most_common(self.headers):
            if label not in seen:
                seen.add(label)
                yield label, header


def _keep_first(kept: list[_Sortable], one: _Sortable) -> None:
    insort(kept, one)
    del kept[SAMPLES:]


def _keep_first_cells(kept: dict[str, tuple[str, int]], cell: Cell) -> None:
    """Keep the first cells, in the order of files and rows, that have different texts."""
    place = (cell.source, cell.row)
    kept[cell.value] = min(kept.get(cell.value, place), place)
    if len(kept) > SAMPLES:
        del kept[max(kept, key=lambda value: kept[value])]


def _count(counter: Counter[_T], found: Iterable[tuple[_T, int]]) -> None:
    """Count; once there are `_TEXTS_MAX` texts, ignore new ones."""
    for text, count in found:
        if text in counter or len(counter) < _TEXTS_MAX:
            counter[text] += count


def _most_common(counter: Counter[_T]) -> list[tuple[_T, int]]:
    return sorted(counter.items(), key=lambda pair: (-pair[1], str(pair[0])))


def is_note(group: ProblemGroup) -> bool:
    """Return whether a group needs no action."""
    return group.effect in (Effect.NOTE, Effect.VALUES_KEPT)


def headline_of(group: ProblemGroup) -> str:
    """Return what is wrong, in one line: the field if there is one, then the sentence."""
    if group.kind == "cell" and group.labels:
        return f"{group.labels[0]}: {group.message}"
    return group.message[:1].upper() + group.message[1:]


def rows_of(group: ProblemGroup) -> str:
    """Return the number of affected rows, or of what else a warning counts; empty if nothing is counted."""
    if group.places:
        return counted(group.count, group.unit)
    if not group.row_count:
        return ""
    if group.is_capped:
        return f"{group.row_count:,} or more rows"
    return counted(group.row_count, "row")
