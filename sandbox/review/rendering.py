"""Renders pages as answers: templates, headers, and the files that pages load."""

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from sandbox.review.forms import digest

ASSETS_PREFIX = "/_review"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Characters that change the direction of text or are invisible; in titles, nothing isolates them.
_UNSEEN = re.compile("[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")

_HIDDEN = re.compile(f"(?![\t\r\n]){_UNSEEN.pattern}")


class Pages:
    """Renders templates. Every value is escaped, and an undefined name is an error."""

    def __init__(self) -> None:
        self._assets = {
            name: resources.files("sandbox.review").joinpath("static", name).read_bytes() for name in _NAMES
        }
        self._digest = hashlib.sha256(b"".join(self._assets.values())).hexdigest()[:12]
        self._environment = Environment(
            loader=PackageLoader("sandbox.review"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["assets"] = f"{ASSETS_PREFIX}/{self._digest}"
        self._environment.filters["digest"] = digest
        self._environment.filters["plain"] = plain
        self._environment.filters["grouped"] = grouped
        self._environment.filters["escaped"] = escaped
        self._environment.tests["with_unseen"] = _HIDDEN.search

    def answer(self, template: str, content: Mapping[str, Any], *, status: int = 200) -> web.Response:
        text = self._environment.get_template(template).render(content)
        body = text.encode("utf-8", "replace")
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)

    def routes(self) -> list[web.RouteDef]:
        return [web.get(f"{ASSETS_PREFIX}/{{digest}}/{{name}}", self._asset)]

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._assets:
            raise web.HTTPNotFound
        headers = _HEADERS | {"Cache-Control": "public, max-age=86400"}
        kind = _TYPES[name[name.rindex(".") :]]
        return web.Response(body=self._assets[name], content_type=kind, charset="utf-8", headers=headers)


_NAMES = ("review.css", "review.js", "icon.svg")


def see_other(target: str) -> web.Response:
    return web.Response(status=303, headers=_HEADERS | {"Location": target})


def json_text(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers=_HEADERS)


def plain(text: str) -> str:
    """Return a text for a title, in which invisible characters are replaced with a visible one."""
    return _UNSEEN.sub("\ufffd", text)


def escaped(text: str) -> str:
    """Return a text in which invisible characters are escaped: people see what to remove."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def grouped(number: int) -> str:
    """Return a count with thousands separators."""
    return f"{number:,}"
