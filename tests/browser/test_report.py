"""The report of 10,000 files in a real browser: wide and narrow, light and dark, without a request or an error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.manifest import REPORT_HTML
from runner.models import Item
from tests.support.chromium import chromium, watched_page
from tests.support.report import START, S, documents, failed, item, lossy, review

FILES = 10_000
LONG = "a-very-long-name-without-a-blank-" * 12
COLORS = {"light": "rgb(251, 250, 248)", "dark": "rgb(20, 23, 26)"}


def night() -> Iterator[Item]:
    """Yield the files of a night: most succeed, some need somebody, and a few have names that fit no screen."""
    choices = random.Random(1)
    yield failed(f"{LONG}.csv", f"the header {LONG} is unknown")
    yield review(f"r-{LONG}.csv", url=f"https://app.dromo.io/review/{LONG}")
    yield review("no-address.csv", url=f"not a link: {LONG}")
    yield item("e.csv", S.REJECTED, error_code="empty", error_message=f"the file is empty: {LONG}")
    for number in range(4, FILES):
        name, at = f"orders/store-{number:05}.csv", START + timedelta(seconds=3 * number)
        chance = choices.random()
        if chance < 0.01:
            yield failed(name, f"row {number} has 7 cells, but the header has 6")
        elif chance < 0.02:
            yield review(name, url=f"https://app.dromo.io/review/{number}")
        elif chance < 0.05:
            yield lossy(name)
        else:
            yield item(name, row_count=300, rows_in=300, created_at=at)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / REPORT_HTML
    path.write_bytes(asyncio.run(documents(*night()))[REPORT_HTML])
    return path


def test_the_report_fits_every_screen_and_loads_nothing(report: Path, browser: Any) -> None:
    for width in (1280, 375):
        for scheme, color in COLORS.items():
            options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
            with watched_page(browser, **options) as page:
                requests: list[str] = []
                page.on("request", lambda request, requests=requests: requests.append(request.url))
                page.goto(report.as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert page.evaluate("getComputedStyle(document.body).backgroundColor") == color
                assert page.locator(".chart rect").count() > 100
                assert page.locator(".files tbody tr").count() == 5000
                assert page.locator(".groups li").count() >= 3
                assert page.locator("section > .reviews a").first.is_visible()
                hidden = page.locator("details .reviews a").first
                assert not hidden.is_visible()
                page.locator("summary").click()
                assert hidden.is_visible()
                assert requests == [report.as_uri()]
