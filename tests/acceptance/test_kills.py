"""kill -9 at twenty instants of a run, then on: nothing is lost, nothing is imported twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.killed import killed_runs
from tests.acceptance.vendors import SandboxVendor

GROUPS = 4
FILES = 16
EVENTS = FILES * 6
PACE = ("--create-quota", "200/2s", "--uploads", "4")


@pytest.mark.parametrize("group", [0, *(pytest.param(group, marks=pytest.mark.slow) for group in range(1, GROUPS))])
def test_a_run_killed_at_any_instant_goes_on_and_imports_each_file_once(
    work: Callable[..., Workspace], sandbox: SandboxVendor, group: int
) -> None:
    trials = killed_runs(work, sandbox, group=group, count=FILES, most_events=EVENTS, options=PACE, pace=PACE)
    for trial in trials:
        trial.mine.assert_collected(trial.files)
    assert_each_once(sandbox.received(), {name: content for trial in trials for name, content in trial.files.items()})
