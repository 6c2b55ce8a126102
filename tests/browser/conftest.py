"""What every test in a browser has: the browser, a sandbox, and the command that sends files there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SANDBOX_SETTINGS, _Server
from tests.support.chromium import chromium, watched_page
from tests.support.reviews import PEOPLE


class BulkheadSandbox(_Server):
    """`bulkhead sandbox` as a process."""

    def __init__(self, schemas: Path) -> None:
        super().__init__("runner", "sandbox", "--port=0", f"--schemas={schemas}", "--processing-s=0.2")
        self.ask("POST", "/_sandbox/settings", SANDBOX_SETTINGS)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        super().__exit__()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The scope is a module: while Playwright runs, no asynchronous test can run."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def sandbox(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BulkheadSandbox]:
    schemas = tmp_path_factory.mktemp("schemas")
    (schemas / "people.json").write_text(json.dumps(PEOPLE))
    with BulkheadSandbox(schemas) as running:
        yield running


class Batch:
    """One file that was sent by `bulkhead run` and waits for its review."""

    def __init__(self, work: Workspace, name: str) -> None:
        self._work = work
        self._name = name
        line = work.manifest()[name]
        assert line["state"] == "needs_review", line
        self.review_url: str = line["review_url"]

    def collected(self) -> Any:
        """The rows that `bulkhead track` has collected."""
        self._work.command("track").expect(0)
        line = self._work.manifest()[self._name]
        assert line["state"] == "collected", line
        return json.loads((self._work.out / line["result"]).read_bytes())


@pytest.fixture
def send(sandbox: BulkheadSandbox, tmp_path: Path) -> Callable[..., Batch]:
    """Send a file with `bulkhead run` until it waits for a review."""

    def sent(content: bytes, name: str = "people.csv") -> Batch:
        work = Workspace(tmp_path, api_url=sandbox.api_url)
        work.add(name, content)
        work.command(*work.arguments(schema="people")).expect(6)
        return Batch(work, name)

    return sent


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched_page(browser, viewport={"width": 1280, "height": 800}) as opened:
        yield opened


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    with watched_page(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as opened:
        yield opened


@pytest.fixture
def plain_page(browser: Any) -> Iterator[Any]:
    """A page without scripts."""
    with watched_page(browser, viewport={"width": 1280, "height": 800}, java_script_enabled=False) as opened:
        yield opened
