"""Pages: HTML for people, in one look, without scripts and without external content."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runner.formatting import aged, counted, lasting, shown, sized
from runner.problems.advice import advice_for
from runner.problems.groups import headline_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Environment

    from runner.problems.groups import ProblemGroup

FILES_MAX = 5000
"""Rows in a table of files; a page with more is slow to open."""

_HERE = Path(__file__).parent
_Look = TypeVar("_Look", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A row of the table of files; `look` is a class of the style, `numbers` has one entry for each column."""

    look: str
    state: str
    source: str
    note: str
    numbers: tuple[int | None, ...]


def page(template: Path, **values: Any) -> Iterator[str]:
    """Yield a page in pieces; `template` extends `page.html`. Every value is escaped."""
    from markupsafe import Markup  # noqa: PLC0415 - as jinja2, slow to import and needed at the end of a run only

    style = (_HERE / "page.css").read_text(encoding="utf-8")
    pieces: Iterator[str] = (
        _environment(template.parent)
        .get_template(template.name)
        .generate(
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=csp_hash(style),
            **values,
        )
    )
    return pieces


def group_shown(
    group: ProblemGroup,
    fields: Mapping[str, Mapping[str, Any]],
    *,
    words: str,
    where: str,
) -> dict[str, Any]:
    """Return what a page shows of a group.

    `fields` are the definitions of its schema, `words` says what it does, and `where` which files it is about.
    """
    return {
        "effect": group.effect,
        "words": shown(words),
        "headline": shown(headline_of(group)),
        "advice": advice_for(group, fields),
        "file_count": group.file_count,
        "rows": rows_of(group),
        "where": shown(where),
        "files": [shown(source) for source in group.files],
        "more": group.file_count - len(group.files),
        "says_more": not set(group.files)
        <= {*(one.source for one in group.cells), *(one.source for one in group.places)},
        "cells": [(shown(cell.source), cell.row, shown(cell.value)) for cell in group.cells],
        "places": [(shown(place.source), place.row, shown(place.sample)) for place in group.places],
    }


def shares(counts: Mapping[_Look, int]) -> list[tuple[_Look, float, float]]:
    """Return the parts of a bar, by their looks: (look, start, width), in percent of all."""
    total, start, parts = max(sum(counts.values()), 1), 0.0, []
    for look, count in counts.items():
        width = 100 * count / total
        parts.append((look, round(start, 3), round(width, 3)))
        start += width
    return parts


def csp_hash(style: str) -> str:
    """Return the source of a content security policy that allows exactly this style."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - as above

    environment = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=lambda number: f"{number:,}", lasting=lasting, sized=sized, plural=counted, aged=aged
    )
    return environment


class Room:
    """How much more a page can hold, in bytes."""

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes

    def part(self, size_bytes: int) -> Room:
        """Set some of the room aside."""
        size_bytes = min(size_bytes, self._left_bytes)
        self._left_bytes -= size_bytes
        return Room(size_bytes)

    def give_back(self, part: Room) -> None:
        """Take back what is left of a part."""
        self._left_bytes += part._left_bytes

    def takes(self, *texts: str, markup_bytes: int) -> bool:
        """Use the room for these texts and the markup around them; False, and nothing is used, if it is too small."""
        size_bytes = markup_bytes + sum(len(html.escape(text).encode("utf-8", "backslashreplace")) for text in texts)
        if size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        return True
