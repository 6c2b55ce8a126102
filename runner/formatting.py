"""Formatting: how names, sizes, and durations are shown to people."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from unicodedata import category

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def shown(name: str, *, spaces: bool = False) -> str:
    """Return a name in which every character that could move the cursor or reverse the text is escaped.

    So is every space except the usual one, unless `spaces`.
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() or (spaces and category(c) == "Zs") else _escaped(c) for c in name)


def near(path: str) -> str:
    """Return a path as the user would type it: relative if it is below the current directory."""
    inside = Path(path).is_relative_to(Path.cwd())
    return shown(str(Path(path).relative_to(Path.cwd())) if inside else path)


def storable(name: str) -> str:
    """Return a name that UTF-8 can hold: bytes of a file name that are not UTF-8 become `\\udcXX`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def sized(count_bytes: float) -> str:
    """Write a size in bytes with decimal units, such as `12.3 MB`."""
    if count_bytes < 1000:
        return f"{count_bytes:.0f} B"
    size = count_bytes / 1000
    for unit in _UNITS[:-1]:
        if size < 999.95:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def lasting(seconds: float) -> str:
    """Write a duration in the two units that matter, rounded up to seconds: `41 s`, `3 min 20 s`, `9 h 12 min`."""
    whole = math.ceil(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(i for i, (length, _) in enumerate(units) if whole >= length)
    (big, big_name), (small, small_name) = units[first], units[first + 1]
    rest = whole % big // small
    return f"{whole // big} {big_name}" + (f" {rest} {small_name}" if rest else "")


def aged(seconds: float) -> str:
    """Write an age in its largest whole unit: `less than a minute`, `5 minutes`, `3 hours`, `2 days`."""
    for length_s, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length_s:
            return counted(int(seconds // length_s), unit)
    return "less than a minute"


def at_clock(instant: datetime, now: datetime) -> str:
    """Write an instant in local time as on a clock, `17:42`; on another day than `now` with the date."""
    local = instant.astimezone()
    return f"{local:%H:%M}" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 item`, `1,204 items`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
