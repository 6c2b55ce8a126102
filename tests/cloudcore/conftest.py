"""The bench of a test, and the loop on which it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloudcore.bench import Bench
from tests.cloudcore.plan import BEGIN_S, Plan
from tests.cloudcore.scenario import Simulation
from tests.support.process import own_tasks
from tests.support.vloop import VirtualLoop


@pytest.fixture
def virtual_loop(request: pytest.FixtureRequest) -> Iterator[VirtualLoop]:
    """The loop of a test that is marked `virtual_time`: it begins where plans begin.

    `@pytest.mark.virtual_time(days=...)` lets it last for longer than two and a half.
    """
    marker = request.node.get_closest_marker("virtual_time")
    days = marker.kwargs.get("days", 2.5) if marker else 2.5
    loop = VirtualLoop(seed=0, start=BEGIN_S, deadline=BEGIN_S + days * 86_400)
    own_tasks(loop)
    yield loop
    loop.end()


@pytest.fixture
def bench(request: pytest.FixtureRequest, virtual_loop: VirtualLoop) -> Bench:
    """A bench without faults; the marker `plan` says what differs in its plan."""
    marker = request.node.get_closest_marker("plan")
    return Bench(Simulation(Plan(seed=0, **(marker.kwargs if marker else {})), virtual_loop))
