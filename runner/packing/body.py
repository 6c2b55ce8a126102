"""What is sent for a pack: its name, and the rows of its members as one delimited text, each behind its marker."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from runner import identity
from runner.models import PACK_NAME_START
from runner.packing.cells import keys_of
from runner.packing.layout import PackLayout
from runner.packing.member import Member, lines_of

CHUNK_BYTES = 1 << 20

LAYOUT_VERSION = "1"
"""Changes with what a pack's file looks like; it is a part of each pack's tag."""

_NAME = re.compile(r"pack-of-([1-9]\d{0,8})-files\.~([a-z2-7]{13})\.~([a-z2-7]{6})\.csv", re.ASCII)


@dataclass(frozen=True, slots=True)
class PackName:
    """What the name of a pack's file says: how many files, the pack's tag, and `identity.short` of its source.

    `models.tag_of` finds the tag in it as in any other name; no name of a single file that has a tag looks like it.
    """

    file_count: int
    tag: str
    source: str

    def __str__(self) -> str:
        return f"{PACK_NAME_START}{self.file_count}-files.~{self.tag}.~{self.source}.csv"

    @classmethod
    def parse(cls, filename: str | None) -> Self | None:
        """Return what an `original_filename` says if it is that of a pack, else None."""
        found = _NAME.fullmatch(filename or "")
        return cls(int(found[1]), found[2], found[3]) if found else None


def pack_tag(tags: Iterable[str], *, binding: str, endpoint: str) -> str:
    """Return the tag of a pack of these members, in their order, at an endpoint."""
    return identity.pack_tag(tags, binding=binding, endpoint=endpoint, layout=LAYOUT_VERSION)


class PackBody:
    """The bytes of a pack in memory; implements `Body`. `layout` says which rows are whose.

    A pack has at most some megabytes, so its members are read once, right before they are sent.
    """

    def __init__(self, members: Iterable[tuple[str, Member]]) -> None:
        """Take (tag, member) pairs in the order of the pack.

        Raises ValueError for no member, a tag that comes twice, or members that do not belong into one pack.
        """
        given = list(members)
        if not given:
            raise ValueError("a pack has members")
        first = given[0][1]
        if any(not _are_alike(each, first) for _, each in given):
            raise ValueError("the members of a pack have the same header and the same order of dates")
        self.layout = PackLayout.of((tag, each.row_count) for tag, each in given)
        self.marker = first.marker
        header = lines_of([(first.marker.name, *first.header)], first.delimiter)
        lines = chain.from_iterable(_marked(tag, each) for tag, each in given)
        self.content = "".join(chain(header, lines)).encode()

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that `chunks` yields."""
        return len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the pack; every pass yields the same."""
        for start in range(0, len(self.content), CHUNK_BYTES):
            yield self.content[start : start + CHUNK_BYTES]


def fit_together(members: Sequence[Member]) -> bool:
    """Return whether members belong into one pack: they are alike, and have no value in common that must be unique."""
    keys = [keys_of(each.unique_keys) for each in members]
    has_shared = len(set().union(*keys)) < sum(map(len, keys))
    return not has_shared and all(_are_alike(each, members[0]) for each in members)


def _are_alike(one: Member, other: Member) -> bool:
    return (one.header, one.delimiter, one.date_order, one.marker) == (
        other.header,
        other.delimiter,
        other.date_order,
        other.marker,
    )


def _marked(tag: str, member: Member) -> Iterable[str]:
    """Yield the lines of a member behind their markers, which never need quotes."""
    delimiter = member.delimiter
    return (f"{tag}.{number}{delimiter}{line}" for number, line in enumerate(member.lines, start=1))
