"""What every acceptance test has: a vendor, an inbox, the command, and a search for secrets in all it left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.inbox import ROW_CANARY, Workspace
from tests.acceptance.vendors import DrfVendor, SandboxVendor
from tests.support.command import CANARY_AWS_KEY, CANARY_KEY
from tests.support.schemas import saved_schemas

SECRETS = (CANARY_KEY.encode(), CANARY_AWS_KEY.encode(), b"X-Amz-Signature", ROW_CANARY.encode())


@pytest.fixture(scope="session")
def sandbox_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxVendor]:
    """The sandbox with the saved schemas `customers`, and `strict`, which sends invalid rows to review."""
    with SandboxVendor(schemas=saved_schemas(tmp_path_factory.mktemp("schemas"))) as vendor:
        yield vendor


@pytest.fixture
def sandbox(sandbox_of_all: SandboxVendor) -> SandboxVendor:
    """The sandbox as if it had just been started."""
    sandbox_of_all.reset()
    return sandbox_of_all


@pytest.fixture
def slow_sandbox(tmp_path: Path) -> Iterator[SandboxVendor]:
    """A sandbox of the test's own, where an import runs for ten minutes unless the clock is moved."""
    with SandboxVendor(schemas=saved_schemas(tmp_path)) as vendor:
        vendor.reset()
        vendor.settings(running_s=600.0)
        yield vendor


@pytest.fixture
def start_drf() -> Iterator[Callable[..., DrfVendor]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(DrfVendor(**options))


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Callable[..., Workspace]]:
    """Make a workspace that talks to a vendor; at the end no secret may be anywhere in what any of them left."""
    made: list[Workspace] = []

    def make(vendor: DrfVendor | SandboxVendor, *, name: str = "home", **variables: str) -> Workspace:
        (tmp_path / name).mkdir()
        made.append(Workspace(tmp_path / name, api_url=vendor.api_url, **variables))
        return made[-1]

    yield make
    for workspace in made:
        assert_no_secrets(workspace)


def assert_no_secrets(work: Workspace) -> None:
    """Search outputs, ledgers and all files but inputs and results for the key, presigned urls and row content."""
    for finished in work.command.outputs:
        assert_clean(finished.stdout + finished.stderr, "an output")
    for path in work.home.rglob("*"):
        if path.is_file() and not {"inbox", "-inbox", "results"} & set(path.parts):
            assert_clean(path.read_bytes(), path.name)
            if path.suffix == ".db":
                assert_clean(dump(path), f"the tables of {path.name}")


def assert_clean(content: bytes, what: str) -> None:
    for secret in SECRETS:
        at = content.find(secret)
        assert at < 0, f"{secret.decode()} in {what}: …{content[max(at - 80, 0) : at + 80]!r}…"


def dump(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        rows: list[Any] = [
            row
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for row in connection.execute(f'SELECT * FROM "{table}"')
        ]
    return repr(rows).encode("utf-8", "backslashreplace")
