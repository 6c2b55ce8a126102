"""The sandbox as a server: every route on one port, the engine beside it."""

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from sandbox.answers import as_answers, dated
from sandbox.api_routes import Api
from sandbox.clock import SandboxClock
from sandbox.control_routes import CONTROL_PREFIX, Control
from sandbox.faults import FaultPlan
from sandbox.review import Review
from sandbox.state import API_PREFIX, Engine, SandboxSettings, SandboxState, default_engine
from sandbox.storage import Storage
from sandbox.storage_routes import StorageRoutes
from sandbox.world import World, run_engine

API_BODY_MAX_BYTES = 64 * 1024 * 1024
_READ_BUFFER_BYTES = 1024 * 1024
_SHUTDOWN_S = 1.0


class SandboxServer:
    """An async context manager that serves one sandbox on `host`, on a free port when `port` is 0.

    Stored files lie below `data`, or in a temporary directory that goes with the server. With a `seed`, ids, URLs
    and faults repeat. `world` gives a test the state and the clock.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: SandboxSettings | None = None,
        schemas: Iterable[Mapping[str, Any]] = (),
        data: Path | None = None,
        speed: float = 1.0,
        seed: int | None = None,
        engine: Engine = default_engine,
    ) -> None:
        self._host = host
        self._port = port
        self._stack = contextlib.AsyncExitStack()
        self._data = data
        rng = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - repeatable on purpose
        state = SandboxState(rng, settings=settings, engine=engine, schemas=schemas, inline=False)
        self.world = World(state=state, clock=SandboxClock(speed=speed), faults=FaultPlan(rng))

    @property
    def origin(self) -> str:
        return self.world.state.origin

    @property
    def base_url(self) -> str:
        """What a client takes as the API's base, without a slash at the end."""
        return self.origin + API_PREFIX

    @property
    def control_url(self) -> str:
        return self.origin + CONTROL_PREFIX

    async def __aenter__(self) -> Self:
        """Raises OSError when the port or the directory cannot be had."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.world.closing.set()
        await self._stack.aclose()

    async def _start(self) -> None:
        directory = self._data or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        self.world.state.storage = Storage(directory)
        runner = web.AppRunner(
            build_app(self.world),
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            read_bufsize=_READ_BUFFER_BYTES,
            lingering_time=_SHUTDOWN_S,
        )
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        host, port = runner.addresses[0][:2]
        self.world.state.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        engine = asyncio.create_task(run_engine(self.world))
        self._stack.push_async_callback(_cancelled, engine)


def build_app(world: World) -> web.Application:
    app = web.Application(middlewares=[as_answers], client_max_size=API_BODY_MAX_BYTES)
    for part in (Api(world), StorageRoutes(world), Review(world), Control(world)):
        app.add_routes(part.routes())
    app.on_response_prepare.append(dated(world))
    return app


async def run_sandbox(server: SandboxServer, *, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set; `on_ready` gets the base URL once the port is open. Raises OSError."""
    async with server:
        on_ready(server.base_url)
        await stop.wait()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
