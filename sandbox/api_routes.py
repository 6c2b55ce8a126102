"""The vendor's API under `/api/v1`."""

import asyncio

from aiohttp import web

from sandbox.answers import Handler, json_answer, with_faults
from sandbox.api_state import API_PREFIX
from sandbox.context import SandboxContext
from sandbox.faults import Operation
from sandbox.hook_check import HookCheck
from sandbox.item_origin import ITEM_HEADER, ItemOrigin
from sandbox.problems import parse_json
from sandbox.storage import LICENSE_KEY_HEADER

_IMPORTS = f"{API_PREFIX}/headless/imports/"
_IMPORT = f"{_IMPORTS}{{id}}/"
_SCHEMAS = f"{API_PREFIX}/schemas/"
_SCHEMA = f"{_SCHEMAS}{{id}}/"


class Api:
    """Authentication comes first, then a scripted fault, then the quota, then the rest."""

    def __init__(self, context: SandboxContext) -> None:
        self._context = context
        self._state = context.state
        self._hooks = HookCheck()

    def routes(self) -> list[web.RouteDef]:
        return [
            self._route("POST", _IMPORTS, "create", self._create),
            self._route("GET", _IMPORTS, "list", self._list),
            self._route("GET", _IMPORT, "retrieve", self._retrieve),
            self._route("DELETE", _IMPORT, "retrieve", self._delete),
            self._route("GET", f"{_IMPORT}url/", "url", self._results_url),
            self._route("GET", _SCHEMAS, "schema", self._all_schemas),
            self._route("POST", _SCHEMAS, "schema", self._create_schema),
            self._route("GET", _SCHEMA, "schema", self._schema),
            self._route("PUT", _SCHEMA, "schema", self._replace_schema),
            self._route("DELETE", _SCHEMA, "schema", self._delete_schema),
            web.route("*", f"{API_PREFIX}/{{tail:.*[^/]}}", _append_slash),
        ]

    def _route(self, method: str, path: str, operation: Operation, handler: Handler) -> web.RouteDef:
        struck = with_faults(self._context, operation, handler)

        async def authenticated(request: web.Request) -> web.StreamResponse:
            self._state.authenticate(request.headers.get(LICENSE_KEY_HEADER))
            return await struck(request)

        return web.route(method, path, authenticated)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        text = await request.read()
        self._state.admit_create(self._context.now)
        body = parse_json(text)
        await asyncio.to_thread(self._hooks.check, body)
        origin = ItemOrigin.read(request.headers.get(ITEM_HEADER))
        return json_answer(self._state.create_admitted(body, self._context.now, origin=origin), status=201)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        limit, offset = request.query.get("limit"), request.query.get("offset")
        return json_answer(self._state.list_imports(self._context.now, limit=limit, offset=offset))

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._state.retrieve(request.match_info["id"], self._context.now))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self._state.delete(request.match_info["id"], self._context.now)
        return web.Response(status=204)

    async def _results_url(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._state.results_url(request.match_info["id"], self._context.now))

    async def _all_schemas(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(self._state.schemas.all())

    async def _create_schema(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        await asyncio.to_thread(self._hooks.check, body)
        return json_answer(self._state.schemas.create(body), status=201)

    async def _schema(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._state.schemas.get(request.match_info["id"]))

    async def _replace_schema(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        self._state.schemas.get(request.match_info["id"])
        await asyncio.to_thread(self._hooks.check, body)
        return json_answer(self._state.schemas.replace(request.match_info["id"], body))

    async def _delete_schema(self, request: web.Request) -> web.StreamResponse:
        self._state.schemas.delete(request.match_info["id"])
        return web.Response(status=204)


async def read_json(request: web.Request) -> object:
    """Return the body's JSON value. Raises ApiProblem 400."""
    return parse_json(await request.read())


async def _append_slash(request: web.Request) -> web.StreamResponse:
    path, question_mark, query = request.raw_path.partition("?")
    raise web.HTTPMovedPermanently(f"{path}/{question_mark}{query}")
