"""The control plane under `/_sandbox/`: what a test or a person can change in the sandbox itself."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from aiohttp import web

from sandbox.answers import Handler, json_answer
from sandbox.api_routes import read_json
from sandbox.context import SandboxContext
from sandbox.faults import parse_rule
from sandbox.problems import ApiProblem, RetryAfter
from sandbox.quotas import Rate, parse_rate
from sandbox.settings import IfNoneMatch, SandboxSettings
from sandbox.storage import LICENSE_KEY_HEADER

CONTROL_PREFIX = "/_sandbox"
CHOICES = {"if_none_match": get_args(IfNoneMatch), "retry_after": get_args(RetryAfter)}


class Control:
    def __init__(self, context: SandboxContext) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        routes = [
            web.get(f"{CONTROL_PREFIX}/health", self._health),
            web.get(f"{CONTROL_PREFIX}/counters", self._counters),
            web.post(f"{CONTROL_PREFIX}/faults", self._set_faults),
            web.delete(f"{CONTROL_PREFIX}/faults", self._clear_faults),
            web.post(f"{CONTROL_PREFIX}/imports/{{id}}/finish", self._finish_review),
            web.get(f"{CONTROL_PREFIX}/webhooks", self._all_webhooks),
            web.post(f"{CONTROL_PREFIX}/webhooks", self._register_webhook),
            web.delete(f"{CONTROL_PREFIX}/webhooks/{{id}}", self._unregister_webhook),
            web.get(f"{CONTROL_PREFIX}/deliveries", self._deliveries),
            web.post(f"{CONTROL_PREFIX}/settings", self._configure),
            web.post(f"{CONTROL_PREFIX}/clock", self._set_clock),
            web.post(f"{CONTROL_PREFIX}/reset", self._reset),
        ]
        return [web.route(route.method, route.path, _not_for_pages(route.handler)) for route in routes]

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return json_answer({"status": "ok", "now": self._context.now, "speed": self._context.clock.speed})

    async def _counters(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(self._context.state.counters.as_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        rules = await read_json(request)
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise ApiProblem(400, {"detail": "Expected a list of fault rules."})
        try:
            self._context.faults.rules = [parse_rule(rule) for rule in rules]
        except (ValueError, TypeError) as error:
            raise ApiProblem(400, {"detail": str(error)}) from None
        return json_answer({"rules": len(rules)})

    async def _clear_faults(self, _request: web.Request) -> web.StreamResponse:
        self._context.faults.rules = []
        return web.Response(status=204)

    async def _finish_review(self, request: web.Request) -> web.StreamResponse:
        self._context.state.finish_review(request.match_info["id"], self._context.now)
        return web.Response(status=204)

    async def _all_webhooks(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(self._context.webhooks.all())

    async def _register_webhook(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._context.webhooks.register(await _object(request)), status=201)

    async def _unregister_webhook(self, request: web.Request) -> web.StreamResponse:
        self._context.webhooks.unregister(request.match_info["id"])
        return web.Response(status=204)

    async def _deliveries(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(self._context.webhooks.pending())

    async def _configure(self, request: web.Request) -> web.StreamResponse:
        current = self._context.state.settings
        try:
            settings = changed_settings(current, await _object(request))
        except (ValueError, TypeError) as error:
            raise ApiProblem(400, {"detail": str(error)}) from None
        if current.license_key not in {None, settings.license_key}:
            self._context.state.authenticate(request.headers.get(LICENSE_KEY_HEADER))
        self._context.state.configure(settings)
        return web.Response(status=204)

    async def _set_clock(self, request: web.Request) -> web.StreamResponse:
        given = await _object(request)
        try:
            self._context.clock.advance(float(given.get("advance_s", 0)))
            self._context.clock.set_speed(float(given.get("speed", self._context.clock.speed)))
        except (ValueError, TypeError) as error:
            raise ApiProblem(400, {"detail": str(error)}) from None
        self._context.journal.clock_set(self._context.clock.reading)
        self._context.webhooks_due.set()
        return await self._health(request)

    async def _reset(self, _request: web.Request) -> web.StreamResponse:
        self._context.state.reset()
        self._context.webhooks.reset()
        self._context.faults.rules = []
        return web.Response(status=204)


def changed_settings(settings: SandboxSettings, given: Mapping[str, Any]) -> SandboxSettings:
    """Return `settings` with the values of a JSON object; quotas are texts such as "20/60s".

    Raises ValueError or TypeError for an unknown key or a value of another type.
    """
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    changes: dict[str, Any] = {name: _setting(name, value, now=fields.get(name)) for name, value in given.items()}
    return dataclasses.replace(settings, **changes)


def _setting(name: str, value: Any, *, now: object) -> Any:
    if name == "license_key":
        return _of_type(name, value, str | None, "a text or null")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}")
    if isinstance(now, Rate):
        return parse_rate(_of_type(name, value, str, "a text such as 20/60s"))
    if isinstance(now, bool) != isinstance(value, bool):
        raise TypeError(f"{name} must be {'true or false' if isinstance(now, bool) else 'a number or a text'}")
    if isinstance(now, float):
        return float(_of_type(name, value, int | float, "a number of seconds"))
    return _of_type(name, value, type(now), "of the same type as before")


def _of_type(name: str, value: Any, kind: Any, meaning: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {meaning}")
    return value


def _not_for_pages(handler: Any) -> Handler:
    """Return `handler`, but refuse requests from pages of other sites in a browser on this machine."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("//")[2] != request.host:
            raise ApiProblem(403, {"detail": "The control plane is not for web pages."})
        answer: web.StreamResponse = await handler(request)
        return answer

    return guarded


async def _object(request: web.Request) -> dict[str, Any]:
    given = await read_json(request)
    if not isinstance(given, dict):
        raise ApiProblem(400, {"detail": "Expected an object."})
    return given
