"""The routes behind a review URL; the token in the URL gives access."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from multidict import MultiMapping

from sandbox.context import SandboxContext
from sandbox.imports import Import, Review
from sandbox.problems import ApiProblem
from sandbox.review.changes import Refused, make_change
from sandbox.review.decisions import Stale, open_decisions
from sandbox.review.draft_reader import NoDraft, open_draft
from sandbox.review.forms import BadForm, Place, whole
from sandbox.review.pages import STEPS, Shown, load
from sandbox.review.rendering import Pages, json_text, see_other

BIG_ROW_COUNT = 20_000
BIG_CHECK_DELAY_S = 4.0
ANSWER_WAIT_S = 2.0
_PATH = "/review/{id}/{token}"
_NEXT = {"header": "/columns", "columns": ""}
_CHANGES = ("header", "columns", "cells", "replace", "leave-out", "undo")

Handler = Callable[[web.Request, Import], Awaitable[web.StreamResponse]]


class ReviewPages:
    """A run of the engine checks every change: at once in a small import, after a pause in a large one."""

    def __init__(self, context: SandboxContext) -> None:
        self._context = context
        self._runs = context.state.review_runs
        self._runs.on_end = self._wake
        self._pages = Pages()
        self._ends: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def routes(self) -> list[web.RouteDef]:
        show = [web.get(f"{_PATH}{step and '/' + step}", self._visit(self._show), allow_head=False)
                for step in ("", *(each.name for each in STEPS))]  # fmt: skip
        change = [web.post(f"{_PATH}/{name}", self._visit(self._change)) for name in _CHANGES]
        return [
            *self._pages.routes(),
            *show,
            web.get(f"{_PATH}/state", self._visit(self._state), allow_head=False),
            *change,
            web.post(f"{_PATH}/check", self._visit(self._check)),
            web.post(f"{_PATH}/submit", self._visit(self._submit)),
        ]

    def _visit(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return `handler` for requests with the right token; others get a page that says what is wrong."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                found = self._context.state.reviewed(request.match_info["id"], request.match_info["token"])
            except ApiProblem:
                return self._note(
                    "This review does not exist", "The address is incomplete, or the import was deleted.", 404
                )
            if request.method == "POST" and not _is_from_here(request):
                return self._note("Form refused", "A page of another site sent this form.", 403)
            if found.status(self._context.now) != "NEEDS_REVIEW":
                return self._pages.answer(
                    "ended.html", self._about(request, found) | {"total_rows": _total_rows(found)}
                )
            try:
                return await handler(request, found)
            except BadForm:
                return self._note("This form cannot be read", "Go back, reload the page, and repeat your change.", 400)

        return guarded

    # Looking

    async def _show(self, request: web.Request, found: Import) -> web.StreamResponse:
        step = request.path.removeprefix(_base(request)).strip("/")
        if self._opened(found).draft is None and self._runs.is_pending(found.id):
            await self._settled(found)
        return await self._page(request, found, step, Place.read(request.query))

    async def _page(
        self, request: web.Request, found: Import, step: str, place: Place, *, notice: str = "", status: int = 200
    ) -> web.StreamResponse:
        review = self._opened(found)
        if self._runs.is_submitting(found.id):
            shown = Shown("waiting.html", {"revision": -1, "checked": -1, "last_change": None})
        else:
            everything = "all" in request.query
            shown = await asyncio.to_thread(load, found, review, step, place, all_preview=everything)
            self._catch_up(found, review, shown)
        about = self._about(request, found) | {"notice": notice, "asked": "submitted" in request.query}
        return await asyncio.to_thread(self._pages.answer, shown.template, about | shown.content, status=status)

    async def _state(self, _request: web.Request, found: Import) -> web.StreamResponse:
        return json_text(orjson.dumps({"pending": self._runs.is_pending(found.id)}))

    def _opened(self, found: Import) -> Review:
        """Return the review; the first visit requests the run that makes its draft."""
        if found.review is None:
            self._want(found, delay_s=0)
        return self._context.state.open_review(found)

    def _catch_up(self, found: Import, review: Review, shown: Shown) -> None:
        """Request the run that an earlier sandbox process did not get to."""
        behind = shown.content["checked"] < shown.content["revision"]
        if behind and not review.trouble and not self._runs.is_pending(found.id):
            self._want(found, delay_s=0)

    def _about(self, request: web.Request, found: Import) -> dict[str, Any]:
        folder, slash, name = found.path.rpartition("/")
        return {
            "base": _base(request),
            "steps": STEPS,
            "folder": folder + slash,
            "name": name or "JSON data",
            "schema": self._context.state.schemas.title(found.schema_id),
            "batch_id": found.batch_id,
            "status": found.status(self._context.now),
            "pending": self._runs.is_pending(found.id),
            "submitting": self._runs.is_submitting(found.id),
            "trouble": found.review.trouble if found.review else "",
        }

    def _note(self, title: str, sentence: str, status: int) -> web.StreamResponse:
        return self._pages.answer("note.html", {"title": title, "sentence": sentence}, status=status)

    # Changing

    async def _change(self, request: web.Request, found: Import) -> web.StreamResponse:
        form = await request.post()
        step = request.path.removeprefix(_base(request)).strip("/")
        place, review = Place.read(form), self._opened(found)
        back = step if step in {"header", "columns"} else "rows"
        try:
            row_count = await asyncio.to_thread(_changed, review, step, form)
        except Stale:
            notice = "This review was changed in another window or by somebody else. Your last step was not saved:"
            return await self._page(request, found, back, place, notice=f"{notice} check it again.", status=409)
        except NoDraft:
            return see_other(_base(request))
        except Refused as refused:
            return await self._page(request, found, back, place, notice=str(refused), status=422)
        if row_count is not None:
            review.trouble = ""
            is_big = row_count > BIG_ROW_COUNT
            self._want(found, delay_s=BIG_CHECK_DELAY_S if is_big else 0)
            if not is_big:
                await self._settled(found)
        return see_other(_base(request) + _NEXT.get(step, f"/rows{place.query}"))

    async def _check(self, request: web.Request, found: Import) -> web.StreamResponse:
        place = Place.read(await request.post())
        self._opened(found).trouble = ""
        self._want(found, delay_s=0)
        await self._settled(found)
        return see_other(f"{_base(request)}/rows{place.query}")

    async def _submit(self, request: web.Request, found: Import) -> web.StreamResponse:
        form = await request.post()
        review = self._opened(found)
        try:
            await asyncio.to_thread(_expect, review, whole(form, "revision"))
        except Stale:
            notice = "This review changed after you opened this page. Check it again before you finish the import."
            return await self._page(request, found, "", Place(), notice=notice, status=409)
        self._runs.want(found.id, due_at=self._context.now, submits=True)
        self._context.work_due.set()
        await self._settled(found)
        return see_other(f"{_base(request)}?submitted=1")

    def _want(self, found: Import, *, delay_s: float) -> None:
        self._runs.want(found.id, due_at=self._context.now + delay_s)
        self._context.work_due.set()

    async def _settled(self, found: Import) -> None:
        """Wait briefly for pending runs, so that most answers show their result."""
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                while self._runs.is_pending(found.id):
                    event = self._ends[found.id]
                    await event.wait()
        except TimeoutError:
            return

    def _wake(self, import_id: str) -> None:
        event = self._ends.pop(import_id, None)
        if event is not None:
            event.set()


def _changed(review: Review, name: str, form: MultiMapping[Any]) -> int | None:
    """Make a change; return the import's number of rows, or None if nothing changed.

    Raises Stale, NoDraft, Refused, or BadForm, and then changes nothing.
    """
    with open_draft(review.draft) as draft, open_decisions(review.decisions, draft=review.draft) as decisions:
        before = decisions.revision
        make_change(name, decisions, draft, form)
        return draft.row_count if decisions.revision > before else None


def _expect(review: Review, revision: int) -> None:
    with open_decisions(review.decisions) as decisions:
        decisions.expect(revision)


def _total_rows(found: Import) -> int | None:
    return found.finished.outcome.metadata.get("totalRows") if found.finished else None


def _base(request: web.Request) -> str:
    return f"/review/{request.match_info['id']}/{request.match_info['token']}"


def _is_from_here(request: web.Request) -> bool:
    """Return whether a page of this site sent a form.

    Under `no-referrer`, browsers send "null" as a form's origin; over TLS or to this machine, they also send
    Sec-Fetch-Site. Otherwise, only the token protects, which no other site knows.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "same-origin"
    return origin in {None, "null"} or urlsplit(str(origin)).netloc == request.host
