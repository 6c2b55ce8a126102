"""The planner: which files travel together. A directory that changes keeps most of its packs.

Files come in the order of their tags, which are random: a file that is new or gone changes the pack that its tag falls
into. So that the packs behind it stay as they were, a pack that is nearly full ends behind a tag with certain bits,
wherever it began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

import orjson

from runner.packing.cells import keys_of
from runner.packing.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLimits:
    """How large packs are (choice); a pack reaches the first of `members`, `rows`, and `size_bytes` at the latest.

    Once a pack is full by the share `cut_from`, tag bits end it: on average after a further share of `cut_share`, which
    makes packs of 850 small files. The first pack of a schema that is not proven has `canary_members` at most. Fewer
    than `fewest` files are no pack.
    """

    members: int = 1_000
    rows: int = 10_000
    size_bytes: int = 8_000_000
    cut_from: float = 0.7
    cut_share: float = 0.192
    canary_members: int = 5
    fewest: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that can be in a pack, by its tag.

    Files with the same `route`, `binding`, `header` (any text that is the same for the same parsed header, such as
    `header_digest`), and `date_order` can travel together. `size_bytes` and `unique_keys` are those of its `Member`.
    `members` is how many its route allows in a pack, where they are fewer than the limits do.
    """

    tag: str
    route: str
    binding: str
    header: str
    date_order: str
    row_count: int
    size_bytes: int
    unique_keys: bytes = b""
    members: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPack:
    """A pack: its members' tags in order. `is_canary`: it is the first one of a binding that is not proven."""

    route: str
    binding: str
    tags: tuple[str, ...]
    row_count: int
    size_bytes: int
    is_canary: bool


@dataclass(frozen=True, slots=True)
class PlannedAlone:
    """A file that travels alone, and why."""

    tag: str
    refusal: Refusal


Planned = PlannedPack | PlannedAlone
_Kind = tuple[str, str, str, str]


def plan_packs(
    candidates: Iterable[Candidate], limits: PackLimits | None = None, *, proven: Container[str] = frozenset()
) -> Iterator[Planned]:
    """Yield packs and files alone as soon as they are certain, each file in one of them.

    `candidates` come in the order of their tags; `proven` are the bindings whose canary was as predicted. Memory grows
    with the number of kinds of files, not of files. Raises ValueError for tags that are not in order.
    """
    return _Planner(limits or PackLimits(), proven).plan(candidates)


class _Open:
    """A pack that takes further members."""

    __slots__ = ("keys", "row_count", "size_bytes", "tags")

    def __init__(self) -> None:
        self.tags: list[str] = []
        self.row_count = self.size_bytes = 0
        self.keys: set[bytes] | None = None

    def add(self, candidate: Candidate, keys: set[bytes]) -> None:
        self.tags.append(candidate.tag)
        self.row_count += candidate.row_count
        self.size_bytes += candidate.size_bytes
        if keys:
            self.keys = keys if self.keys is None else self.keys
            self.keys.update(keys)

    def fill(self, limits: PackLimits) -> float:
        """Return how full the pack is, by the limit that it is nearest to; 1 is full."""
        return max(len(self.tags) / limits.members, self.row_count / limits.rows, self.size_bytes / limits.size_bytes)


class _Planner:
    def __init__(self, limits: PackLimits, proven: Container[str]) -> None:
        self._limits = limits
        self._proven = proven
        self._tried: set[str] = set()
        self._open: dict[_Kind, _Open] = {}

    def plan(self, candidates: Iterable[Candidate]) -> Iterator[Planned]:
        last = ""
        for each in candidates:
            if each.tag <= last:
                raise ValueError("candidates come in the order of their tags, each once")
            last = each.tag
            yield from self._place(each)
        for kind in list(self._open):
            yield from self._close(kind)

    def _place(self, candidate: Candidate) -> Iterator[Planned]:
        limits = self._limits
        if candidate.row_count > limits.rows or candidate.size_bytes > limits.size_bytes:
            yield PlannedAlone(candidate.tag, Refusal("too_large"))
            return
        kind = (candidate.route, candidate.binding, candidate.header, candidate.date_order)
        pack = self._open.get(kind)
        if pack is not None and not self._has_room(pack, candidate):
            yield from self._close(kind)
            pack = None
        keys = keys_of(candidate.unique_keys)
        if pack is not None and keys and pack.keys is not None and not pack.keys.isdisjoint(keys):
            yield PlannedAlone(candidate.tag, Refusal("unique_shared"))
            return
        if pack is None:
            pack = self._open[kind] = _Open()
        pack.add(candidate, keys)
        if self._ends_behind(pack, candidate):
            yield from self._close(kind)

    def _has_room(self, pack: _Open, candidate: Candidate) -> bool:
        return (
            pack.row_count + candidate.row_count <= self._limits.rows
            and pack.size_bytes + candidate.size_bytes <= self._limits.size_bytes
        )

    def _ends_behind(self, pack: _Open, candidate: Candidate) -> bool:
        """Return whether a pack ends behind the member that it just got."""
        limits, count = _limits_of(candidate, self._limits), len(pack.tags)
        if count >= limits.members or (count >= limits.canary_members and self._is_untried(candidate.binding)):
            return True
        fill = pack.fill(limits)
        return fill >= limits.cut_from and _share_of(candidate.tag) < fill / count / limits.cut_share

    def _is_untried(self, binding: str) -> bool:
        return binding not in self._tried and binding not in self._proven

    def _close(self, kind: _Kind) -> Iterator[Planned]:
        route, binding, _, _ = kind
        pack = self._open.pop(kind)
        if len(pack.tags) < self._limits.fewest:
            yield from (PlannedAlone(tag, Refusal("no_like_files")) for tag in pack.tags)
            return
        is_canary = self._is_untried(binding)
        self._tried.add(binding)
        yield PlannedPack(
            route=route,
            binding=binding,
            tags=tuple(pack.tags),
            row_count=pack.row_count,
            size_bytes=pack.size_bytes,
            is_canary=is_canary,
        )


def _limits_of(candidate: Candidate, limits: PackLimits) -> PackLimits:
    if candidate.members is None:
        return limits
    return replace(limits, members=min(candidate.members, limits.members))


_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_CHARS_USED = 5
_NUMBERS = 1 << 5 * _CHARS_USED


def _share_of(tag: str) -> float:
    """Return a number from 0 to 1 that depends on the last characters of a tag alone; all are equally likely."""
    return int(tag[-_CHARS_USED:].translate(_DIGITS), 32) / _NUMBERS


def header_digest(header: Iterable[str]) -> str:
    """Return 16 hex digits that are the same for the same parsed header."""
    return hashlib.blake2b(orjson.dumps(list(header)), digest_size=8).hexdigest()
