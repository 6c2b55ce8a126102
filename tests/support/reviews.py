"""Reviews for tests: a schema, files that need review, and a person who fills in forms without scripts."""

import asyncio
from typing import Any

from tests.support.engine import sheets
from tests.support.forms import Form, Page
from tests.support.sandbox import RunningSandbox

DEADLINE_S = 30.0
PEOPLE = {
    "id": "people",
    "name": "People",
    "fields": [
        {"key": "name", "label": "Full name", "type": "string", "validators": [{"validate": "required"}]},
        {"key": "email", "label": "Email", "type": "email", "validators": [{"validate": "unique"}]},
        {
            "key": "country",
            "label": "Country",
            "type": "select",
            "selectOptions": [
                {"label": "Germany", "value": "DE"},
                {"label": "France", "value": "FR"},
                {"label": "United States", "value": "US"},
            ],
        },
        {"key": "credit", "label": "Credit limit", "type": "number"},
    ],
    "settings": {"invalidDataBehavior": "BLOCK_SUBMIT"},
}
BAD_CELLS = (
    b"Full name,Email,Country,Credit limit\n"
    b"Ada,ada@example.com,Germany,100\n"
    b",bob@example.com,USA,200\n"
    b"Cleo,no address,France,300\n"
    b"Dora,dora@example.com,USA,many\n"
)
NO_HEADER = b"Export of 2026-11-24,,,\n7,12,13,14\nWho,Mail,Country,2026\nAda,ada@example.com,France,9\n"
NO_COLUMNS = b"Wer,Anschrift,Land,Rahmen\nAda,ada@example.com,Germany,100\nBob,bob@example.com,France,\n"
TWO_SHEETS = sheets(
    May=[["name", "email", "country", "credit"], ["Ada", "ada@example.com", "Germany", 100]],
    June=[["name", "email", "country", "credit"], ["Bob", "bob@example.com", "France", 200]],
)


class Person:
    """A person at the review page of one import."""

    def __init__(self, box: RunningSandbox, import_id: str, review_url: str) -> None:
        self.box = box
        self.import_id = import_id
        self.url = review_url
        self.path = review_url.removeprefix(box.server.origin)
        self.status = 0
        self.headers: Any = {}

    async def look(self, where: str = "") -> Page:
        """Return a page, after any check in progress has finished."""
        async with asyncio.timeout(DEADLINE_S):
            page = await self._page("GET", self.url + where)
            while "data-pending" in page.element("body"):
                await asyncio.sleep(0.005)
                page = await self._page("GET", self.url + where)
        return page

    async def send(
        self, form: Form, *, headers: dict[str, str] | None = None, waits: bool = True, **changes: str
    ) -> Page:
        """Send a form with changed values, and follow the redirect; with `waits`, wait until everything is checked."""
        data = {**form.fields, **changes}
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        page = await self._page("POST", self.box.server.origin + form.action, data=data, headers=sent)
        if waits and self.status == 200 and "data-pending" in page.element("body"):
            return await self.look()
        return page

    async def ended(self) -> dict[str, Any]:
        return await self.box.ended(self.import_id)

    async def _page(self, method: str, url: str, **options: Any) -> Page:
        async with self.box.session.request(method, url, **options) as response:
            self.status, self.headers = response.status, response.headers
            return Page(await response.text())


async def in_review(box: RunningSandbox, content: bytes, filename: str = "people.csv", **body: Any) -> Person:
    """Return an import with the schema `people` that waits for a person."""
    created = await box.create(schema_id="people", original_filename=filename, **body)
    assert (await box.put(created["upload"], content))[0] == 200
    found = await box.ended(created["id"])
    assert found["status"] == "NEEDS_REVIEW", found
    return Person(box, created["id"], found["review_url"])


def cell(form: Form, row: int, field: str, part: int = 0) -> str:
    """Return the name of a cell's input in the form."""
    name = f"cell.{row}.{part}.{field}"
    assert name in form.fields, sorted(form.fields)
    return name
