"""A pytest plugin: an asynchronous test marked `virtual_time` runs on a loop whose time jumps to the next timer.

`@pytest.mark.virtual_time(seed=..., start=..., deadline=...)` takes what VirtualLoop takes. A test whose fixtures need
the loop before it runs asks for `virtual_loop`; a directory may override that fixture.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.vloop import VirtualLoop


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Hide marked coroutine functions from pytest-asyncio, which would run them on its own loop."""
    if inspect.iscoroutinefunction(obj) and name.startswith("test") and _is_marked(collector, obj):
        setattr(collector.obj, name, _hidden(obj))


def _is_marked(collector: pytest.Module | pytest.Class, obj: Any) -> bool:
    own = {mark.name for mark in getattr(obj, "pytestmark", ())}
    return "virtual_time" in own or collector.get_closest_marker("virtual_time") is not None


def _hidden(test: Any) -> Any:
    @functools.wraps(test)
    def synchronous(*args: Any, **named: Any) -> Any:
        return test(*args, **named)

    return synchronous


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test to its end in virtual time."""
    if pyfuncitem.get_closest_marker("virtual_time") is None:
        return None
    program = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
    if not inspect.iscoroutine(program):
        return True
    loop: VirtualLoop = pyfuncitem._request.getfixturevalue("virtual_loop")
    loop.run_until_complete(program)
    return True


@pytest.fixture
def virtual_loop(request: pytest.FixtureRequest) -> Iterator[VirtualLoop]:
    """Return the loop of a test that is marked `virtual_time`."""
    marker = request.node.get_closest_marker("virtual_time")
    loop = VirtualLoop(**marker.kwargs)
    yield loop
    loop.end()
