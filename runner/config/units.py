"""Units: rates, durations, byte sizes, failure limits, and sizes of packs as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runner.config.options import FailureLimit, RowLossLimit
from runner.errors import ConfigError
from runner.identity import TAG_LENGTH
from runner.permissions import Permissions

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT_WORDS = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d"}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(i?b)?(?:/s)?", re.ASCII | re.IGNORECASE)
_MODE = re.compile(r"(?:0o|0)?([0-7]{3})", re.ASCII)
_PACK_TAG = re.compile(rf"[a-z2-7]{{{TAG_LENGTH}}}", re.ASCII)
_POWERS = ("", "k", "m", "g", "t")
_LARGEST_BYTES = 2.0**63
_MOST_CALLS = 1_000_000
_MOST_CREATES_PER_MINUTE = 100_000
_LONGEST_S = 10 * 365 * 86400.0

PACKED_MOST = 1000
"""Files in a pack, at most (choice)."""

PACKING_PAGE = "docs/packing.md says what is packed"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in any `per_s` seconds."""

    count: int
    per_s: float

    def __str__(self) -> str:
        return f"{self.count}/{duration_text(self.per_s)}"

    @property
    def per_minute(self) -> float:
        return self.count * 60 / self.per_s

    def last_in_s(self, calls: int, *, free: int) -> float:
        """Return the seconds until the last of `calls` can be made, `free` of which can be made immediately."""
        return math.ceil(max(calls - free, 0) / self.count) * self.per_s


def parse_rate(text: str) -> Rate:
    """Read `20/60s`, `20/minute`, `20/1m`. Raises ValueError."""
    count, _, per = text.strip().lower().partition("/")
    per = per.strip()
    unit = _UNIT_WORDS.get(per, per)
    try:
        rate = Rate(int(count), parse_duration(f"1{unit}" if unit in _UNIT_S else per))
    except ValueError:
        rate = Rate(0, 0.0)
    if not 1 <= rate.count <= _MOST_CALLS or rate.per_s <= 0:
        raise ValueError("write a count and a time, such as 20/60s or 20/minute")
    return rate


def parse_create_quota(text: str) -> Rate:
    """Read a rate of creates: at least one an hour, at most 100,000 a minute. Raises ValueError."""
    rate = parse_rate(text)
    if rate.per_minute > _MOST_CREATES_PER_MINUTE:
        raise ValueError(
            f"{rate} is {rate.per_minute:,.0f} creates a minute; Bulkhead sends {_MOST_CREATES_PER_MINUTE:,} at most"
        )
    if rate.per_minute * 60 < 1:
        raise ValueError(f"{rate} is less than one create an hour; write a rate such as 1/1h or 20/60s")
    return rate


def parse_duration(text: str) -> float:
    """Read `2h30m`, `90s`, `1.5h`, `250ms` or a plain number of seconds; returns seconds. Raises ValueError."""
    text = text.strip().lower()
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))
    else:
        raise ValueError("write a duration such as 90s, 15m or 2h30m")
    if seconds > _LONGEST_S:
        raise ValueError("a duration is ten years at most")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration in the shortest way that `parse_duration` reads."""
    for unit in ("d", "h", "m"):
        if seconds > _UNIT_S[unit] and seconds % _UNIT_S[unit] == 0:
            return f"{seconds / _UNIT_S[unit]:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def parse_size(text: str) -> int:
    """Read `500K`, `10M`, `2MB`, `1GiB` or a plain number of bytes; returns bytes. Raises ValueError.

    K, M, G and KiB, MiB, GiB count in 1024, as in curl and rclone; KB, MB and GB in 1000.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("write a size such as 500K, 10M or 1G")
    number, unit, ending = found.groups()
    base = 1000 if (ending or "").lower() == "b" else 1024
    size = float(number) * base ** _POWERS.index(unit.lower())
    if size >= _LARGEST_BYTES:
        raise ValueError("a size is less than 8 EiB")
    return int(size)


def parse_failure_limit(text: str) -> FailureLimit:
    """Read a number of failures, such as `10`, or a share of the items that ended, such as `5%`. Raises ValueError."""
    return FailureLimit(*_count_or_percent(text, of="failures"))


def parse_row_loss_limit(text: str) -> RowLossLimit:
    """Read a number of rows, such as `100`, or a share of the rows read, such as `5%`. Raises ValueError."""
    return RowLossLimit(*_count_or_percent(text, of="rows"))


def _count_or_percent(text: str, *, of: str) -> tuple[int | None, float | None]:
    text = text.strip()
    number = text.removesuffix("%")
    if not _NUMBER.fullmatch(number):
        raise ValueError("write a number such as 10, or a share such as 5%")
    if text.endswith("%"):
        if not 0 < float(number) <= 100:
            raise ValueError("a share is more than 0% and at most 100%")
        return None, float(number)
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"a number of {of} is a whole number from 1")
    return int(number), None


def parse_permissions(text: str) -> Permissions:
    """Read the mode of files in octal digits, such as `0640`, which the owner can read and write. Raises ValueError."""
    found = _MODE.fullmatch(text.strip())
    mode = int(found.group(1), 8) if found else 0
    if mode & 0o600 != 0o600 or mode & ~0o666:
        raise ValueError('write the mode of files as digits in quotes, such as "0600", "0640", or "0660"')
    return Permissions(mode)


def parse_pack_size(value: object) -> int:
    """Return how many files a pack has at most, from `auto`, `off`, or a number; 0 for none. Raises ValueError."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text == "off":
        return 0
    if text == "auto":
        return PACKED_MOST
    if text.isascii() and text.isdigit() and 2 <= int(text[:9]) <= PACKED_MOST:
        return int(text)
    raise ValueError(f"give auto, off, or a number of files from 2 to {PACKED_MOST:,}")


def pack_tags(given: Iterable[str]) -> tuple[str, ...]:
    """Return the tags that `--ignore-pack` gives. Raises ConfigError for what no pack can have as its tag."""
    tags = tuple(given)
    for tag in tags:
        if _PACK_TAG.fullmatch(tag) is None:
            raise ConfigError(
                f"--ignore-pack {tag[:40]!r}: this is not the tag of a pack, which has {TAG_LENGTH} characters of "
                "a to z and 2 to 7",
                hint="copy the tag from the message that names the pack",
            )
    return tags


def pack_option(text: str | None) -> int | None:
    """Return what `--pack` says, None without it. Raises ConfigError."""
    try:
        return None if text is None else parse_pack_size(text)
    except ValueError as error:
        raise ConfigError(f"--pack {text}: {error}", hint=PACKING_PAGE) from None
