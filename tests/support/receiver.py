"""A receiver of webhooks on a local port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import orjson
from aiohttp import web


class Receiver:
    """Accepts every POST; `answers` are the statuses of the next responses, followed by 204."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[int] = []
        self.got: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._came = asyncio.Condition()

    async def take(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        form = request.content_type == "application/x-www-form-urlencoded"
        async with self._came:
            self.got.append(parse_qs(text) if form else orjson.loads(text))
            self.headers.append(dict(request.headers))
            self.paths.append(request.path)
            self._came.notify_all()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"} if status == 302 else {})

    async def wait_for(self, count: int) -> list[Any]:
        """Return the bodies once there are `count` of them."""
        async with self._came, asyncio.timeout(10):
            await self._came.wait_for(lambda: len(self.got) >= count)
            return self.got


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/wh/v1/token"
        yield receiver
    finally:
        await runner.cleanup()
