"""A proxy between the functions and the local AWS that counts their calls, and the units that DynamoDB would bill."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.aws import free_port

_HOP_BY_HOP = {"connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"}
_BODY_MAX_BYTES = 64 * 1024 * 1024
_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}
_START_WITHIN_S = 10.0


class Meter:
    """Counts `calls` by service and operation, and `units` of DynamoDB by "read" and "write".

    A conditional write that fails is billed, too: one unit per item, two in a transaction, assuming items below 1 KB.
    A row that is read by its key is assumed to be below 4 KB.
    """

    def __init__(self) -> None:
        self.port, self.target_port = free_port(), free_port()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.units: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.calls.clear()
        self.units.clear()

    def count_units(self, operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any], *, status: int) -> None:
        kind = "write" if operation in _WRITES else "read"
        if status != 200:
            failed = "ConditionalCheckFailed" in str(answer) or "TransactionCanceled" in str(answer)
            self.units[kind] += 2 * len(asked.get("TransactItems", ())) or 1 if failed else 0
            return
        if operation in _READ_UNITS:
            self.units[kind] += _READ_UNITS[operation](asked, answer)
            return
        consumed = answer.get("ConsumedCapacity", [])
        for one in consumed if isinstance(consumed, list) else [consumed]:
            self.units[kind] += one["CapacityUnits"]


def _units_of_one(asked: Mapping[str, Any], _answer: Mapping[str, Any]) -> float:
    return _units_of_bytes(0, asked)


def _units_of_many(asked: Mapping[str, Any], _answer: Mapping[str, Any]) -> float:
    return sum(len(one["Keys"]) * _units_of_bytes(0, one) for one in asked["RequestItems"].values())


def _units_of_query(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    return _units_of_bytes(sum(map(_size_of, answer.get("Items", ()))), asked)


def _size_of(row: Mapping[str, Any]) -> int:
    """Return about how many bytes a row has, as DynamoDB counts them."""
    return sum(len(name) + len(str(next(iter(value.values())))) for name, value in row.items())


def _units_of_bytes(size: int, asked: Mapping[str, Any]) -> float:
    """Return what AWS bills for reading so many bytes: a unit for 4 KB, and half of it if the read may be late."""
    return max(1, -(-size // _READ_UNIT_BYTES)) * (1.0 if asked.get("ConsistentRead") else 0.5)


_READ_UNIT_BYTES = 4096
_READ_UNITS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], float]] = {
    "GetItem": _units_of_one,
    "BatchGetItem": _units_of_many,
    "Query": _units_of_query,
}
"""The emulator counts neither reads of many rows nor those that may be late, as AWS does."""


@contextmanager
def running_meter() -> Iterator[Meter]:
    """Forward calls from `url` to the server on `target_port` until the end of the block."""
    meter, loop, ready = Meter(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(meter, ready, stop),))
    thread.start()
    try:
        assert ready.wait(_START_WITHIN_S), "the meter did not start"
        yield meter
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _serve(meter: Meter, ready: threading.Event, stop: asyncio.Event) -> None:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:

        async def forward(request: web.Request) -> web.Response:
            return await _forward(meter, session, request)

        app = web.Application(client_max_size=_BODY_MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", meter.port).start()
        ready.set()
        await stop.wait()
        await runner.cleanup()


async def _forward(meter: Meter, session: aiohttp.ClientSession, request: web.Request) -> web.Response:
    body = await request.read()
    service, operation = _named(request)
    meter.calls[service, operation] += 1
    if service == "dynamodb":
        asked = json.loads(body) | {"ReturnConsumedCapacity": "TOTAL"}
        body = json.dumps(asked).encode()
    url = URL(f"http://127.0.0.1:{meter.target_port}{request.raw_path}", encoded=True)
    async with session.request(
        request.method, url, data=body, headers=_end_to_end(request.headers), allow_redirects=False
    ) as answer:
        content = await answer.read()
        if service == "dynamodb":
            meter.count_units(operation, asked, json.loads(content), status=answer.status)
        headers = _end_to_end(answer.headers)
        if request.method == "HEAD":
            headers["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status, body=content or None, headers=headers)


def _named(request: web.Request) -> tuple[str, str]:
    """Return the service that the signature names, and the operation: the target header's, or the method."""
    _, _, scope = request.headers.get("Authorization", "").partition("Credential=")
    service = scope.split("/")[3] if scope.count("/") > 3 else "unsigned"
    target = request.headers.get("X-Amz-Target", request.method)
    return service, target.rpartition(".")[2]


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
