"""Findings: what `doctor` reports, one line for each check: ok, a warning, or a failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`warn`: it may be as it should be, a person has to judge."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: `detail` says what was seen, `hint` what to do or to type where it is not well."""

    name: str
    level: Level
    detail: str
    hint: str | None = None


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warn(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.WARN, detail=detail, hint=hint)


def fail(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.FAIL, detail=detail, hint=hint)
