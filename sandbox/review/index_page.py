"""The page under `/`: the imports of the sandbox, and its open reviews as links."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import get_args

from aiohttp import web

from sandbox.api_state import API_PREFIX
from sandbox.context import SandboxContext
from sandbox.imports import Import, ImportStatus
from sandbox.review.rendering import Pages

IMPORTS_A_PAGE = 50
REVIEWS_FIRST = 10
SCHEMAS_SHOWN = 20
FOLDER_CHARS = 90
_FOLDER_END = 44
_STATUSES: tuple[ImportStatus, ...] = get_args(ImportStatus)
_WORDS = {"AWAITING_UPLOAD": "waiting for its file"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """An import on the page; `review` is the path of its review, if that is open."""

    folder: str
    name: str
    schema: str
    batch_id: str
    status: str
    words: str
    created: str
    age: str
    review: str


class IndexPage:
    """Shows names and review links only while the sandbox has no license key, which a browser does not send."""

    def __init__(self, context: SandboxContext) -> None:
        self._context = context
        self._state = context.state
        self._pages = Pages()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._show)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        now, status = self._context.now, request.query.get("status", "")
        imports = [(found, found.status(now)) for found in self._state.newest_first()]
        counts = Counter(state for _, state in imports)
        chosen = [found for found, state in imports if status not in _STATUSES or state == status]
        reviews = [found for found, state in reversed(imports) if state == "NEEDS_REVIEW"]
        last_page = max(len(chosen) - 1, 0) // IMPORTS_A_PAGE
        page = min(_page(request.query.get("page", "")), last_page)
        start = page * IMPORTS_A_PAGE
        content = {
            "api_url": self._state.origin + API_PREFIX,
            "is_closed": self._state.settings.license_key is not None,
            "total": len(imports),
            "counts": [(each, _words(each), counts[each]) for each in _STATUSES if counts[each]],
            "status": status if status in _STATUSES else "",
            "words": _words(status),
            "reviews": self._lines(reviews[:REVIEWS_FIRST], now) if not page and status not in _STATUSES else [],
            "review_count": len(reviews),
            "imports": self._lines(chosen[start : start + IMPORTS_A_PAGE], now),
            "first": start + 1,
            "chosen_count": len(chosen),
            "page": page,
            "last_page": last_page,
            "schemas": [(each["id"], each["name"]) for each in islice(self._state.schemas.all(), SCHEMAS_SHOWN)],
            "schema_count": len(self._state.schemas.by_id),
        }
        return await asyncio.to_thread(self._pages.answer, "index.html", content)

    def _lines(self, imports: Iterable[Import], now: float) -> list[Line]:
        return [self._line(found, now) for found in imports]

    def _line(self, found: Import, now: float) -> Line:
        folder, slash, name = found.path.rpartition("/")
        status = found.status(now)
        return Line(
            folder=_shortened(folder + slash),
            name=name or "JSON data",
            schema=self._state.schemas.title(found.schema_id),
            batch_id=found.batch_id,
            status=status,
            words=_words(status),
            created=f"{datetime.fromtimestamp(found.created_at, UTC):%Y-%m-%d %H:%M:%S} UTC",
            age=_age(now - found.created_at),
            review=found.review_path if status == "NEEDS_REVIEW" else "",
        )


def _shortened(folder: str) -> str:
    """Return a folder without its middle if it is long: the name of the file stays in sight."""
    return folder if len(folder) <= FOLDER_CHARS else f"{folder[:_FOLDER_END]}…{folder[-_FOLDER_END:]}"


def _page(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _words(status: str) -> str:
    return _WORDS.get(status, status.lower().replace("_", " "))


def _age(seconds: float) -> str:
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit} ago"
    return "just now"
