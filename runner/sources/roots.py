"""SourceRoot: the place that all files of a source are in, and whether two sources may have a file in common."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.aws.s3 import S3Place, is_s3
from runner.errors import BulkheadError
from runner.globs import PathFilter
from runner.sources.listed import ListedFiles
from runner.sources.spec import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from runner.sources.spec import SourceSpec

_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRoot:
    """The directory, file, or S3 prefix that a source's files are in or below.

    `parts` are the names on the way to it. `inodes` has the device and inode of each of them, None where that is
    unknown: they tell that two paths lead to the same directory. `is_file` is set for a single file. The filter selects
    among paths that are relative to the first `base` names; with None it is not known what it keeps away.
    """

    parts: tuple[str, ...]
    inodes: tuple[_Inode | None, ...] = ()
    is_file: bool = False
    base: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    leave_out: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        if self.parts[0]:
            return "/".join(self.parts)
        return printable("/".join(self.parts)) or "/"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; what `from_json` reads."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> SourceRoot:
        """Read what `to_json` returned. Raises KeyError, TypeError."""
        return cls(
            parts=tuple(raw["parts"]),
            inodes=tuple(tuple(inode) if inode else None for inode in raw["inodes"]),
            is_file=raw["is_file"],
            base=raw["base"],
            include=tuple(raw["include"]),
            exclude=tuple(raw["exclude"]),
            hidden=raw["hidden"],
            leave_out=tuple(tuple(place) for place in raw["leave_out"]),
        )

    def overlaps(self, other: SourceRoot) -> bool:
        """Return whether a file may be in both sources: the roots are equal, or one contains the other.

        A directory that the outer source does not enter, because of its filters or a hidden name, keeps them apart.
        """
        return self._reaches(other) or other._reaches(self)

    def _reaches(self, other: SourceRoot) -> bool:
        """Return whether the other root is this one, or below it in a place that this source lists."""
        depth = self._depth_in(other)
        return depth is not None and not self._keeps_away((*self.parts, *other.parts[depth:]), is_file=other.is_file)

    def _depth_in(self, other: SourceRoot) -> int | None:
        """Return how many names of the other root lead to this one; None if it is not on the way."""
        depth = len(self.parts)
        if other.parts[:depth] == self.parts:
            return depth
        own = self.inodes[-1] if self.inodes else None
        if own is None or own not in other.inodes:
            return None
        return other.inodes.index(own) + 1

    def _keeps_away(self, place: tuple[str, ...], *, is_file: bool) -> bool:
        """Return whether this source lists nothing at or below a place that is below its root."""
        deeper = range(len(self.parts) + 1, len(place) + 1)
        if any(place[:depth] in self.leave_out for depth in deeper):
            return True
        if self.base is None or not deeper:
            return False
        files = PathFilter(include=self.include, exclude=self.exclude, hidden=self.hidden)
        path = ["/".join(place[self.base : depth]) for depth in deeper]
        names = [place[depth - 1] for depth in deeper]
        if is_file and not files.takes(path.pop(), names.pop()):
            return True
        return not all(files.enters(below, name) for below, name in zip(path, names, strict=True))


def root_of(spec: SourceSpec, *, now: datetime) -> SourceRoot:
    """Return the root of a source; reads the list if it is one, and looks at directories."""
    if spec.is_in_s3:
        return _of_prefix(spec)
    path = os.path.realpath(spec.path)
    base: str | None = path
    if spec.kind == "list":
        base, path = path, _common_directory(spec, now=now) or path
    parts = _names(path)
    is_inside = base is not None and parts[: len(_names(base))] == _names(base)
    return SourceRoot(
        parts=parts,
        inodes=tuple(_inode("/".join(parts[: depth + 1]) or "/") for depth in range(len(parts))),
        is_file=spec.kind == "file",
        base=len(_names(base)) if base is not None and is_inside else None,
        include=spec.include,
        exclude=spec.exclude,
        hidden=spec.kind != "directory",
        leave_out=tuple(_names(place) for place in spec.leave_out if spec.kind == "directory" and not is_s3(place)),
    )


def _of_prefix(spec: SourceSpec) -> SourceRoot:
    parts = _s3_names(spec.path)
    return SourceRoot(
        parts=parts,
        base=len(parts),
        include=spec.include,
        exclude=spec.exclude,
        hidden=spec.kind == "s3_list",
        leave_out=tuple(_s3_names(place) for place in spec.leave_out if spec.kind == "s3" and is_s3(place)),
    )


def _s3_names(url: str) -> tuple[str, ...]:
    place = S3Place.parse(url)
    key = place.key.removesuffix("/")
    return (f"s3://{place.bucket}", *(key.split("/") if key else ()))


def _names(path: str) -> tuple[str, ...]:
    return ("", *filter(None, path.split("/")))


def _common_directory(spec: SourceSpec, *, now: datetime) -> str | None:
    """Return the deepest directory that all files of a list are in; None if it has none, or cannot be read."""
    try:
        found: Sequence[str] = sorted(ListedFiles(spec, now=now).directories())
    except BulkheadError:
        return None
    return os.path.commonpath(found) if found else None


def _inode(path: str) -> _Inode | None:
    try:
        info = os.stat(path)  # noqa: PTH116 - a name with bytes that are no text stays as it is
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino
