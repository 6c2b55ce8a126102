"""`make audit` succeeds only if every version was looked up."""

from __future__ import annotations

from typing import Any

import pytest

from infra.dependencies.audit import NOT_LOOKED_UP, VULNERABLE, Audit, exit_code

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("dependencies", "code"),
    [
        ([CLEAN], 0),
        ([CLEAN, BAD], VULNERABLE),
        ([UNKNOWN, BAD], VULNERABLE),
        ([CLEAN, UNKNOWN], NOT_LOOKED_UP),
        ([UNKNOWN], NOT_LOOKED_UP),
        ([], NOT_LOOKED_UP),
    ],
)
def test_an_audit_succeeds_only_if_everything_was_looked_up_and_is_clean(
    dependencies: list[dict[str, Any]], code: int
) -> None:
    assert exit_code([Audit.of("a.txt", dependencies)]) == code
    assert exit_code([Audit.of("a.txt", [CLEAN]), Audit.of("b.txt", dependencies)]) == code


def test_an_audit_of_no_file_or_that_fails_proves_nothing() -> None:
    assert exit_code([]) == NOT_LOOKED_UP
    assert exit_code([Audit.of("a.txt", [CLEAN]), Audit("b.txt", failure="no network")]) == NOT_LOOKED_UP


def test_the_report_names_what_is_vulnerable_and_what_was_not_looked_up() -> None:
    text = "\n".join(Audit.of("a.txt", [CLEAN, BAD, UNKNOWN]).report())
    assert "a.txt: 1 versions without a known vulnerability" in text
    assert "VULNERABLE bad 2.0: PYSEC-2026-1, fixed in 2.1" in text
    assert "NOT LOOKED UP: 1 versions: unknown" in text
    many = [{**UNKNOWN, "name": f"unknown-{number}"} for number in range(9)]
    assert "unknown-4, and 4 more" in "\n".join(Audit.of("a.txt", many).report())
    assert "NOT LOOKED UP: no network" in "\n".join(Audit("b.txt", failure="no network").report())
