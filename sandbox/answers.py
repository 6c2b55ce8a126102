"""HTTP answers: JSON, problems as answers, scripted faults, and the commit that comes before an answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import orjson
from aiohttp import web

from sandbox.context import NotSaved, SandboxContext
from sandbox.faults import Fault, Operation
from sandbox.hosts import AllowedHosts
from sandbox.problems import ApiProblem, StorageProblem
from sandbox.storage import OUT_OF_SPACE, STORAGE_PREFIX

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OTHER_HOST = "The sandbox doesn't answer under this host name; to allow it, start the sandbox with --allow-host NAME."
STRUCK = web.RequestKey("struck", str)


def json_answer(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def api_problem(problem: ApiProblem) -> web.Response:
    return json_answer(problem.body, status=problem.status, headers=problem.headers)


def storage_problem(problem: StorageProblem) -> web.Response:
    return web.Response(text=problem.xml, status=problem.status, content_type="application/xml")


def with_faults(context: SandboxContext, operation: Operation, handler: Handler) -> Handler:
    """Return `handler` with the faults that are scripted for `operation`."""

    async def struck(request: web.Request) -> web.StreamResponse:
        fault = context.faults.decide(operation)
        if fault is None:
            return await handler(request)
        context.state.counters.count("faults", f"{operation}:{fault.kind}")
        if fault.kind == "slow":
            await _pause(context, fault.delay_s)
            return await handler(request)
        if fault.kind in {"lost_reply", "error_after", "truncate"}:
            return await _after_effect(request, handler, fault)
        return await _before_effect(context, request, fault)

    return struck


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn problems into answers; under the API, aiohttp's own errors also into JSON. A client that left gets none."""
    try:
        return await handler(request)
    except OSError as error:
        return _of_trouble(request, error)
    except web.RequestPayloadError:
        return _error(request, 400, "The body is not as long as Content-Length says.")
    except ApiProblem as problem:
        return api_problem(problem)
    except StorageProblem as problem:
        return storage_problem(problem)
    except web.HTTPException as refusal:
        if refusal.status < 400 or not request.path.startswith("/api/"):
            raise
        return json_answer({"detail": _detail(request, refusal)}, status=refusal.status)


def commit_requests(context: SandboxContext) -> Any:
    """Return a middleware that commits what a request did, with or without an answer."""

    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            context.commit()
            if request.method != "GET":
                context.work_due.set()

    return keep


def refuse_other_hosts(hosts: AllowedHosts) -> Any:
    """Return a middleware that refuses every request for another host, before anything else looks at it."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.getall("Host", [])
        if len(given) != 1:
            return json_answer({"detail": "The request must have exactly one Host header."}, status=400)
        if not all(map(hosts.allow, [*given, request.host])):  # the second is of the target, if that is a whole URL
            return json_answer({"detail": _OTHER_HOST}, status=421)
        return await handler(request)

    return refuse


def write_dates(context: SandboxContext) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal handler that commits what the request did, then writes the sandbox's own time into `Date`."""

    async def write_date(_request: web.Request, response: web.StreamResponse) -> None:
        if not context.crashed.is_set():
            context.commit()
        response.headers["Date"] = formatdate(context.now, usegmt=True)

    return write_date


def cut_connection(request: web.Request) -> web.StreamResponse:
    """End the connection without an answer; the returned one is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _before_effect(context: SandboxContext, request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.kind == "error":
        return _error(request, fault.status)
    if fault.kind == "throttle":
        hint = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        return json_answer({"detail": "Request was throttled."}, status=429, headers=hint)
    if fault.kind == "expire_url":
        raise StorageProblem(403, "AccessDenied", "Request has expired")
    if fault.kind == "stall":
        await _pause(context, fault.delay_s)
    return cut_connection(request)


async def _after_effect(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    request[STRUCK] = fault.kind
    with contextlib.suppress(ApiProblem, StorageProblem):
        response = await handler(request)
        if fault.kind == "truncate" and isinstance(response, web.Response):
            return await _send_half(request, response)
    return _error(request, fault.status) if fault.kind == "error_after" else cut_connection(request)


async def _send_half(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send half of the body; nothing at all if there is none."""
    body = response.body if isinstance(response.body, bytes) else b""
    if not body:
        return cut_connection(request)
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


async def _pause(context: SandboxContext, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await context.closing.wait()


def _of_trouble(request: web.Request, error: OSError) -> web.StreamResponse:
    """Answer if the client left, the disk is full, or the journal was not written, which must not look like success."""
    if isinstance(error, ConnectionError | NotSaved):
        return cut_connection(request)
    if error.errno in OUT_OF_SPACE:
        return _error(request, 503, "There is no space left.")
    raise error


def _error(request: web.Request, status: int, sentence: str = "A server error occurred.") -> web.Response:
    if not request.path.startswith(STORAGE_PREFIX):
        return json_answer({"detail": sentence}, status=status)
    codes = {400: "IncompleteBody", 503: "ServiceUnavailable"}
    return storage_problem(StorageProblem(status, codes.get(status, "InternalError"), sentence))


def _detail(request: web.Request, refusal: web.HTTPException) -> str:
    if refusal.status == 405:
        return f'Method "{request.method}" not allowed.'
    return "Not found." if refusal.status == 404 else refusal.reason
