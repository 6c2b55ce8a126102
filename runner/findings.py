"""Findings: what a check of the setup reports, one line per check: ok, a warning, or a failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The result of one check; `warn` means that it may be as intended and a person has to judge."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: `detail` says what was seen, `hint` what to do or to type unless it is ok."""

    name: str
    level: Level
    detail: str
    hint: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.level is Level.OK


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warn(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.WARN, detail=detail, hint=hint)


def fail(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.FAIL, detail=detail, hint=hint)
