"""Keeping a file out of git: what the `.gitignore` files of a work tree say about it, and adding a line for it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

GITIGNORE = ".gitignore"


class Rule(StrEnum):
    """What git does with a file: it ignores it, a line with `!` asks it not to, or no line is about it."""

    IGNORED = "ignored"
    WANTED = "wanted"
    NONE = "none"


def needs_line(directory: Path, name: str) -> bool:
    """Return whether `.gitignore` of a directory needs a line for a file: git is used there, and no line is about it.

    Raises OSError if a `.gitignore` cannot be read.
    """
    is_used = _work_tree(directory) is not None or (directory / GITIGNORE).exists()
    return is_used and rule_for(directory, name) is Rule.NONE


def rule_for(directory: Path, name: str) -> Rule:
    """Return what the last matching line for a file says, from the root of the work tree down to its directory.

    Patterns with `**` in their middle are not understood: they count as not matching. Raises OSError.
    """
    found = Rule.NONE
    root = _work_tree(directory) or directory
    for place in reversed([directory, *directory.parents]):
        if place.is_relative_to(root) and (place / GITIGNORE).is_file():
            path = PurePosixPath((directory / name).relative_to(place).as_posix())
            for pattern in _lines(place / GITIGNORE):
                if _matches(pattern.removeprefix("!"), path):
                    found = Rule.WANTED if pattern.startswith("!") else Rule.IGNORED
    return found


def add_line(directory: Path, name: str) -> None:
    """Append a line to `.gitignore`, with the line ends that the file has, and create it if needed. Raises OSError."""
    path = directory / GITIGNORE
    content = path.read_bytes() if path.exists() else b""
    end = b"\r\n" if b"\r\n" in content else b"\n"
    start = end if content and not content.endswith(b"\n") else b""
    with path.open("ab") as file:
        file.write(start + name.encode() + end)


def _work_tree(directory: Path) -> Path | None:
    return next((place for place in (directory, *directory.parents) if (place / ".git").exists()), None)


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_bytes().decode("utf-8-sig", "replace").split("\n"):
        text = line.removesuffix("\r").rstrip(" ")
        if text and not text.startswith("#"):
            yield text


def _matches(pattern: str, path: PurePosixPath) -> bool:
    """Return whether a pattern is about a file; with a slash before its end, it is about the whole path."""
    plain = pattern.removeprefix("**/").removeprefix("\\")
    if "/" not in plain and not pattern.startswith("/"):
        return fnmatchcase(path.name, plain)
    parts = plain.removeprefix("/").split("/")
    return len(parts) == len(path.parts) and all(map(fnmatchcase, path.parts, parts))
