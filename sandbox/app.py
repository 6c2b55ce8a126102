"""The sandbox as a server: every route on one port, and imports in the background."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from sandbox.answers import answer_problems, commit_requests, refuse_other_hosts, write_dates
from sandbox.api_routes import Api
from sandbox.api_state import API_PREFIX, SandboxState
from sandbox.archive import Archive
from sandbox.clock import SandboxClock
from sandbox.context import JobRunner, SandboxContext, ThreadRunner, run_engine
from sandbox.control_routes import CONTROL_PREFIX, Control
from sandbox.data_dir import locked_data_dir, temporary_data_dir
from sandbox.faults import FaultPlan
from sandbox.hooks import HookLimits
from sandbox.hosts import AllowedHosts, is_loopback
from sandbox.limits import WorkerLimits
from sandbox.options import KEEP_IMPORTS
from sandbox.review.index_page import IndexPage
from sandbox.review.routes import ReviewPages
from sandbox.runs import Engine
from sandbox.settings import SandboxSettings
from sandbox.storage import Storage
from sandbox.storage_routes import StorageRoutes
from sandbox.webhook_delivery import deliver_webhooks
from sandbox.webhooks import Webhooks
from sandbox.workers import WorkerPool, core_count

logger = logging.getLogger(__name__)

API_BODY_MAX_BYTES = 32 * 1024 * 1024
ARCHIVE_NAME = "sandbox.sqlite"
FILES_NAME = "files"
_READ_BUFFER_BYTES = 1024 * 1024
_SHUTDOWN_S = 1.0


class SandboxServer:
    """An async context manager that serves one sandbox on `host`, on a free port when `port` is 0.

    It answers requests that name `host`, `localhost`, an IP address, or one of `allow_hosts`.
    The account with its newest `keep` imports is saved in the directory `data`, and the next server there continues
    from it; without `data`, stored files are in a temporary directory that is removed with the server. Webhooks go only
    to this machine and to `webhook_hosts`, and hooks fetch only from `hook_hosts`. Imports run in `workers` processes
    within `limits`, or in threads of this process if there is an `engine`. With a `seed`, ids, URLs, and faults repeat.
    `context` gives a test the state and the clock. While it serves, `is_exposed` says whether other machines can reach
    it.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_hosts: Iterable[str] = (),
        settings: SandboxSettings | None = None,
        schemas: Iterable[Mapping[str, Any]] = (),
        data: Path | None = None,
        keep: int = KEEP_IMPORTS,
        webhook_hosts: Iterable[str] = (),
        hook_hosts: Iterable[str] = (),
        speed: float = 1.0,
        seed: int | None = None,
        engine: Engine | None = None,
        workers: int | None = None,
        limits: WorkerLimits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._hosts = AllowedHosts([host, *allow_hosts])
        self.is_exposed = False
        self._stack = contextlib.AsyncExitStack()
        self._data = data
        self._seed = seed
        rng = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._rng = rng
        limits_of_hooks = HookLimits(allow_hosts=tuple(hook_hosts))
        state = SandboxState(
            rng, settings=settings, schemas=schemas, inline=False, keep=keep, hook_hosts=limits_of_hooks.allow_hosts
        )
        faults = FaultPlan(rng)
        webhooks = Webhooks(rng, count=state.count, next_fault=lambda: faults.decide("webhook"), hosts=webhook_hosts)
        self._engine = engine
        self._workers = workers or core_count()
        self._limits = limits or WorkerLimits()
        self.context = SandboxContext(state=state, clock=SandboxClock(speed=speed), faults=faults, webhooks=webhooks)

    @property
    def origin(self) -> str:
        return self.context.state.origin

    @property
    def base_url(self) -> str:
        """The base URL of the API, without a slash at the end."""
        return self.origin + API_PREFIX

    @property
    def warnings(self) -> list[str]:
        """Sentences about saved schemas that the vendor would refuse to save."""
        return self.context.state.schemas.warnings()

    @property
    def control_url(self) -> str:
        return self.origin + CONTROL_PREFIX

    async def __aenter__(self) -> Self:
        """Raises OSError if the port or the directory is not available, ValueError for a directory of another kind."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.context.closing.set()
        await self._stack.aclose()

    async def _start(self) -> None:
        home = self._stack.enter_context(temporary_data_dir() if self._data is None else locked_data_dir(self._data))
        if self._data is None:
            self.context.state.storage = Storage(home)
        else:
            self._restore(home)
        runner = web.AppRunner(
            build_app(self.context, hosts=self._hosts),
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            read_bufsize=_READ_BUFFER_BYTES,
            lingering_time=_SHUTDOWN_S,
        )
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await self._listen(runner)
        self.is_exposed = not all(is_loopback(address[0]) for address in runner.addresses)
        host, port = runner.addresses[0][:2]
        self.context.state.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        for task in (run_engine(self.context, self._runs()), deliver_webhooks(self.context)):
            running = asyncio.create_task(task)
            running.add_done_callback(self._note_crash)
            self._stack.push_async_callback(_cancelled, running)

    async def _listen(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            more = "; --port names another" if error.errno == errno.EADDRINUSE else ""
            raise OSError(f"cannot listen on {self._host}, port {self._port}: {reason}{more}") from error

    def _runs(self) -> JobRunner:
        if self._engine is not None:
            return ThreadRunner(self._engine)
        return WorkerPool(count=self._workers, limits=self._limits)

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.critical("a task of the sandbox crashed", extra={"error": type(task.exception()).__name__})
            self.context.crashed.set()

    def _restore(self, home: Path) -> None:
        files = home / FILES_NAME
        archive = Archive(home / ARCHIVE_NAME, files=files)
        self._stack.callback(archive.close)
        if self._seed is not None and archive.generation > 1:
            self._rng.seed(f"{self._seed}, start {archive.generation}")
        saved, context = archive.load(), self.context
        context.state.storage = Storage(files, generation=archive.generation)
        context.journal = archive
        if saved.clock is not None:
            context.clock.resume(saved.clock)
        archive.clock_set(context.clock.reading)
        context.state.restore(saved, archive)
        context.webhooks.restore(saved, archive)
        context.commit()
        gc.collect()
        gc.freeze()  # so that collections skip a large account while a client waits for an answer


def build_app(context: SandboxContext, *, hosts: AllowedHosts) -> web.Application:
    app = web.Application(
        middlewares=[refuse_other_hosts(hosts), answer_problems, commit_requests(context)],
        client_max_size=API_BODY_MAX_BYTES,
    )
    for part in (Api(context), StorageRoutes(context), ReviewPages(context), IndexPage(context), Control(context)):
        app.add_routes(part.routes())
    app.on_response_prepare.append(write_dates(context))
    return app


async def run_sandbox(server: SandboxServer, *, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set; `on_ready` gets the base URL once the port is open.

    Raises OSError, also if the account can no longer be saved.
    """
    async with server:
        on_ready(server.base_url)
        ends = [asyncio.create_task(event.wait()) for event in (stop, server.context.crashed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    if server.context.crashed.is_set():
        raise OSError("the sandbox crashed")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
