"""Findings: what an examination of the deployment says, each well, to be watched, or not well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.aws.errors import DENIED
from runner.errors import AwsRefused, BulkheadError


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


def well(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def watch(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.WARN, detail=detail, hint=hint)


def unwell(name: str, detail: str, hint: str | None = None) -> Finding:
    return Finding(name=name, level=Level.FAIL, detail=detail, hint=hint)


def of_error(name: str, error: BulkheadError) -> Finding:
    """Return what an error says about a check: what these credentials may not look at may be well all the same."""
    if isinstance(error, AwsRefused) and error.code in DENIED:
        return watch(name, f"not looked at: {error}", error.hint)
    return unwell(name, str(error), error.hint)
