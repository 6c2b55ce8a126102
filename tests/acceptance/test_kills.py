"""kill -9 at twenty instants of a run, then on: nothing is lost, nothing is imported twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import SandboxVendor

GROUPS = 4
KILLS_A_GROUP = 5
FILES = 16
EVENTS = FILES * 6
PACE = ("--create-quota", "200/2s", "--uploads", "4")


@pytest.mark.parametrize("group", [0, *(pytest.param(group, marks=pytest.mark.slow) for group in range(1, GROUPS))])
def test_a_run_killed_at_any_instant_goes_on_and_imports_each_file_once(
    work: Callable[..., Workspace], sandbox: SandboxVendor, group: int
) -> None:
    dice = random.Random(group)
    trials = [
        Trial(
            work(sandbox, name=f"home{number}"), number * FILES, dice.randrange(EVENTS), dice.choice(("run", "resume"))
        )
        for number in range(KILLS_A_GROUP)
    ]
    with ThreadPoolExecutor(KILLS_A_GROUP) as pool:
        killed = list(pool.map(Trial.run, trials))

    assert any(killed)
    assert_each_once(sandbox.received(), {name: content for trial in trials for name, content in trial.files.items()})


@dataclass
class Trial:
    """Kill a run once it has written so many events, and let another command go on."""

    mine: Workspace
    first: int
    events: int
    then: str
    files: dict[str, bytes] = field(default_factory=dict)

    def run(self) -> bool:
        """Return whether the run was still under way when it was killed."""
        mine = self.mine
        self.files = mine.fill(FILES, first=self.first)
        with mine.command.start(*mine.arguments(*PACE, "--json")) as running:
            was_alive = running.until_lines(1 + self.events)
            running.kill()

        again = ["resume", *PACE] if self.then == "resume" and was_alive else mine.arguments(*PACE)
        finished = mine.command(*again)
        assert finished.code == 0, f"killed after {self.events} events, then {self.then}: {finished.text}"
        mine.assert_collected(self.files)
        return was_alive
