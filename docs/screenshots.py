"""Takes the pictures of the documentation from the running thing: `make screenshots`."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, async_playwright
from yarl import URL

from runner.manifest import REPORT_HTML
from runner.models import Item
from sandbox.app import SandboxServer
from tests.support.chromium import EXECUTABLE, FLAGS
from tests.support.report import START, S, batch_of, documents, failed, item, lossy, review
from tests.support.reviews import PEOPLE

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1280, "height": 800}
REPORT_SIZE = {"width": 1280, "height": 1290}
FILE_COUNT = 10_000
ROW_COUNT = 240
_NAMES = ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Barbara Liskov", "Donald Knuth", "Mary Jackson")
_COUNTRIES = ("Germany", "France", "United States", "Deutschland", "Germany", "USA", "France", "Frankreich")
_SINCE = {"key": "since", "label": "Customer since", "type": "date"}


def customers() -> bytes:
    """A file as a support person gets it: most rows are right, a few things are wrong in many of them."""
    lines = ["Full name,Email,Country,Credit limit,Customer since"]
    for number in range(ROW_COUNT):
        name = _NAMES[number % len(_NAMES)]
        email = (
            f"{name.split()[0].lower()}.{number}@example.com" if number % 9 else f"{name.split()[0].lower()} at example"
        )
        country = _COUNTRIES[number % len(_COUNTRIES)]
        credit = "n/a" if number % 11 == 5 else str(250 + number % 7 * 250)
        lines.append(
            f"{name if number % 13 != 3 else ''},{email},{country},{credit},{2004 + number % 20}-05-1{number % 9}"
        )
    return ("\n".join(lines) + "\n").encode()


async def review_url(server: SandboxServer, content: bytes) -> str:
    """Import a file, and where its review is."""
    imports = f"{server.base_url}/headless/imports/"
    body = {"schema_id": "people", "original_filename": "customers-2026-11.csv"}
    async with aiohttp.ClientSession(headers={"X-Dromo-License-Key": "key"}) as session:
        async with session.post(imports, json=body) as response:
            created: dict[str, Any] = await response.json()
        async with aiohttp.ClientSession() as storage, storage.put(URL(created["upload"], encoded=True), data=content):
            pass
        while True:
            async with session.get(f"{imports}{created['id']}/") as response:
                found = await response.json()
            if found["status"] == "NEEDS_REVIEW":
                return str(found["review_url"])
            await asyncio.sleep(1)


def night() -> Iterator[Item]:
    """The files of a night: the quota is used up, the vendor doesn't answer for an hour, and little goes wrong."""
    choices, at = random.Random(4), START  # noqa: S311 - made-up files, no secrets
    for number in range(FILE_COUNT):
        name = f"{('customers', 'orders', 'contacts')[number % 3]}/2026-{number % 11 + 1:02}/store-{number:05}.csv"
        at += timedelta(seconds=3 if number % 9 else 3.5) + timedelta(hours=number == 3800)
        chance = choices.random()
        if chance < 0.0012:
            yield failed(name, "The workbook is damaged and cannot be read.")
        elif chance < 0.0019:
            yield failed(name, f"Row {number} has 7 cells, but the header has 6.")
        elif chance < 0.0043:
            yield replace(review(name, url=f"https://app.dromo.io/review/{number}"), created_at=at)
        elif chance < 0.0060:
            yield item(name, S.REJECTED, error_code="empty", error_message="the file is empty (0 bytes)")
        elif chance < 0.0250:
            yield lossy(name, choices.randrange(1, 9))
        else:
            yield item(name, row_count=300, rows_in=300, created_at=at)


async def take_report(browser: Browser, name: str) -> None:
    """Take the report of a night."""
    ended = START + timedelta(hours=9, minutes=33)
    items = list(night())
    count = Counter(one.state for one in items)
    reason = f"{count[S.FAILED]} items failed, {count[S.REJECTED]} were rejected; {count[S.NEEDS_REVIEW]} need review"
    made = await documents(*items, batch=batch_of(finished_at=ended, reason=reason))
    page = await browser.new_page(viewport=REPORT_SIZE, color_scheme="light")
    await page.set_content(made[REPORT_HTML].decode())
    await page.screenshot(path=IMAGES / name)


async def take(browser: Browser, url: str, name: str) -> None:
    page = await browser.new_page(viewport=SIZE, color_scheme="light")
    await page.goto(url)
    await page.wait_for_selector(".rows")
    await page.screenshot(path=IMAGES / name)


async def main() -> int:
    if EXECUTABLE is None:
        sys.stderr.write("There is no Chromium: apt-get install chromium\n")
        return 1
    IMAGES.mkdir(exist_ok=True)
    schema = {**PEOPLE, "fields": [*PEOPLE["fields"], _SINCE]}
    async with SandboxServer(schemas=[schema], seed=1) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=list(FLAGS))
        await take(browser, await review_url(server, customers()), "review.png")
        await take_report(browser, "report.png")
        await browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
