"""The page behind a review URL: what is wrong with an import, and a button that finishes its review."""

from collections.abc import Mapping
from html import escape
from typing import Any

from aiohttp import web

from sandbox.problems import ApiProblem
from sandbox.world import World

PROBLEMS_SHOWN = 100
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PATH = "/review/{id}/{token}"


class Review:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        return [web.get(_PATH, self._show, allow_head=False), web.post(_PATH, self._finish)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        try:
            found = self._found(request)
        except ApiProblem:
            return _page("No such review", "<p>This review does not exist.</p>", status=404)
        return _page(f"Review of {found.get('original_filename', 'JSON data')}", _content(found))

    async def _finish(self, request: web.Request) -> web.StreamResponse:
        found = self._found(request)
        self._world.state.finish_review(found["id"], self._world.now)
        raise web.HTTPSeeOther(request.rel_url.raw_path)

    def _found(self, request: web.Request) -> dict[str, Any]:
        return self._world.state.review(request.match_info["id"], request.match_info["token"], self._world.now)


def _page(title: str, content: str, *, status: int = 200) -> web.Response:
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        f"{escape(title)}</title></head>\n<body><h1>{escape(title)}</h1>\n{content}\n</body></html>\n"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _content(found: Mapping[str, Any]) -> str:
    if found["status"] != "NEEDS_REVIEW":
        return f"<p>Nothing to review: this import is {escape(found['status'])}.</p>"
    errors = found["import_errors"] or []
    items = "\n".join(f"<li>{escape(_sentence(error))}</li>" for error in errors[:PROBLEMS_SHOWN])
    more = f"<p>and {len(errors) - PROBLEMS_SHOWN} more</p>" if len(errors) > PROBLEMS_SHOWN else ""
    return f'<ul>\n{items}\n</ul>{more}\n<form method="post"><button>Finish the review</button></form>'


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] != "VALIDATION":
        return str(error["message"])
    return f"Row {error['rowIndex'] + 1}, {error['fieldKey']}: {error['message']} ({error['value']})"
