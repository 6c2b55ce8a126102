"""What holds for every test: none fails because the machine is busy; AWS is a process on this machine."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import aiobotocore.httpsession
import botocore.httpsession
import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine

from runner.aws.s3 import S3Client, open_s3
from tests.support.aws import HOW_TO_INSTALL, MINISTACK, LocalAws, running_ministack, running_moto

pytest_plugins = ["tests.support.virtual_time"]

MOST_SHRINKING_S = 30
"""`make test-all` reports a failing example after at most this long, even if a smaller one exists."""

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4_000_000_000

# `default` draws the same examples every time, so that `make test` never fails by chance; `make test-all` explores.
settings.register_profile(
    "default", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", derandomize=False, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Bound the time that Hypothesis spends on shrinking; it has no public setting for that.

    Stop garbage collections until all tests are collected: hardly anything that is made until then is garbage.
    Read the descriptions of AWS once, and no certificates: each session and client of botocore would read them again,
    which takes as long as a test, and the AWS of tests speaks no TLS.
    Keep the files of tests in memory if there is room: on a disk, tests wait most of their time, as their ledgers do.
    """
    if _has_room(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    assert engine.MAX_SHRINKING_SECONDS > MOST_SHRINKING_S
    engine.MAX_SHRINKING_SECONDS = MOST_SHRINKING_S
    for module in (aiobotocore.httpsession, botocore.httpsession):
        module.get_cert_path = lambda _verify: None
    botocore.session.create_loader = cache(botocore.session.create_loader)
    gc.disable()


def _has_room(directory: Path) -> bool:
    """Return whether a directory is there for files and programs of tests."""
    if not os.access(directory, os.W_OK) or os.statvfs(directory).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(directory).free > ROOM_BYTES


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of every later garbage collection, of which many tests ask for one."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on moto as slow: it is a second opinion on what ministack answers."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "moto" in callspec.params.values():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The one ministack of this test process."""
    if not MINISTACK.exists():
        assert "CI" not in os.environ, f"ministack is missing: {HOW_TO_INSTALL}"
        pytest.skip(f"ministack is not installed: {HOW_TO_INSTALL}")
    with running_ministack(tmp_path_factory.mktemp("ministack")) as aws:
        yield aws


@pytest.fixture
def aws(ministack: LocalAws) -> LocalAws:
    """An AWS in which nothing has been made yet."""
    ministack.reset()
    return ministack


@pytest.fixture(scope="session")
def moto_server() -> Iterator[LocalAws]:
    """The one moto of this test process."""
    with running_moto() as aws:
        yield aws


@pytest.fixture(params=["ministack", "moto"])
def either_aws(request: pytest.FixtureRequest) -> LocalAws:
    """An AWS in which nothing has been made yet, as two projects understand it."""
    name = "aws" if request.param == "ministack" else "moto_server"
    aws: LocalAws = request.getfixturevalue(name)
    aws.reset()
    return aws


@pytest.fixture
async def s3(either_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Client]:
    """A client of S3 as a run opens it."""
    for name, value in either_aws.variables.items():
        monkeypatch.setenv(name, value)
    async with open_s3() as opened:
        yield opened
