"""`check` and `run --sandbox` agree on every file, however odd: its end, its rows, and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SandboxVendor
from tests.support.odd_files import odd_files, shaken_files

Work = Callable[..., Workspace]

PACE = ("--create-quota", "1000/2s")
ENDS = {"collected": "succeed", "needs_review": "review", "failed": "fail", "rejected": "reject", "skipped": "skip"}


def assert_agreement(mine: Workspace, schema: str) -> None:
    """Check, then run, and compare what each says about every file."""
    checked = mine.command("check", "inbox", "--schema-id", schema, "--json", "--jobs", "2")
    predicted = {line["source"]: line for line in checked.events if line["event"] == "file_checked"}
    mine.command("run", "inbox", "--schema-id", schema, "--out", f"out-{schema}", *PACE)
    manifest = mine.manifest(mine.home / f"out-{schema}")
    assert predicted.keys() == manifest.keys()
    differing = {
        source: (_of_check(predicted[source]), _of_run(line))
        for source, line in manifest.items()
        if _of_check(predicted[source]) != _of_run(line)
    }
    assert differing == {}


def _of_check(line: dict[str, Any]) -> tuple[Any, ...]:
    if line["prediction"] in ("fail", "reject"):
        return line["prediction"], line["code"], line["message"]
    if line["prediction"] == "succeed":
        return "succeed", line["row_count"] - line["removed_row_count"], line["removed_row_count"]
    return (line["prediction"],)


def _of_run(line: dict[str, Any]) -> tuple[Any, ...]:
    end = ENDS[line["state"]]
    if end in ("fail", "reject"):
        return end, line["error_code"], line["error_message"]
    return (end, line["row_count"], line["rows_left_out"] or 0) if end == "succeed" else (end,)


def test_odd_files_end_as_the_check_says(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    for name, content in odd_files().items():
        mine.add(name, content)
    assert_agreement(mine, "customers")


@pytest.mark.slow
@pytest.mark.parametrize("schema", ["customers", "strict"])
def test_shaken_files_end_as_the_check_says(work: Work, sandbox: SandboxVendor, schema: str) -> None:
    mine = work(sandbox)
    for name, content in {**odd_files(), **shaken_files(200, seed=20261129)}.items():
        mine.add(name, content)
    assert_agreement(mine, schema)
