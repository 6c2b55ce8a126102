"""Runs that are killed after so many events, and another command that continues each."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SandboxVendor

KILLS = 5
"""Runs that are killed at the same time."""


@dataclass
class Trial:
    """Kill a run with `options` once it has written `events`, and let `then`, with `pace`, continue."""

    mine: Workspace
    first: int
    count: int
    events: int
    then: str
    options: tuple[str, ...]
    pace: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)

    def run(self) -> bool:
        """Return whether the run was still under way when it was killed."""
        mine = self.mine
        self.files = mine.fill(self.count, first=self.first)
        with mine.command.start(*mine.arguments(*self.options, "--json")) as running:
            was_alive = running.until_lines(1 + self.events)
            running.kill()
        again = ["resume", *self.pace] if self.then == "resume" and was_alive else mine.arguments(*self.options)
        finished = mine.command(*again)
        assert finished.code == 0, f"killed after {self.events} events, then {self.then}: {finished.text}"
        return was_alive


def killed_runs(
    work: Callable[..., Workspace],
    sandbox: SandboxVendor,
    *,
    group: int,
    count: int,
    most_events: int,
    options: tuple[str, ...],
    pace: tuple[str, ...],
) -> list[Trial]:
    """Return runs of `count` files each that were killed and continued; at least one was under way when it was."""
    dice = random.Random(group)
    trials = [
        Trial(
            work(sandbox, name=f"home{number}"), number * count, count, dice.randrange(most_events),
            dice.choice(("run", "resume")), options, pace,
        )
        for number in range(KILLS)
    ]  # fmt: skip
    with ThreadPoolExecutor(KILLS) as pool:
        killed = list(pool.map(Trial.run, trials))
    assert any(killed)
    return trials
