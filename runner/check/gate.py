"""The gate of `run --check`: checks each file once, before its first create, and can reject it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.check.predictions import FileCheck, Prediction
from runner.check.worker import FileToCheck
from runner.errors import ItemRejected
from runner.events import Notice

if TYPE_CHECKING:
    from runner.check.pool import WorkerPool
    from runner.check.schemas import BoundRoute
    from runner.config.routes import Route
    from runner.events import EventHook
    from runner.models import Item

logger = logging.getLogger(__name__)

NOTICES_MAX = 20


OpenPool = Callable[[], Awaitable[tuple["WorkerPool", "list[BoundRoute]"]]]


class GateMode(StrEnum):
    """What to do with a file that would fail: `skip` rejects it, `warn` sends it and emits a notice."""

    SKIP = "skip"
    WARN = "warn"


class Gate:
    """Checks items before their first create; implements `protocols.Gate`.

    `open_pool` is called for the first item; it returns the pool and the routes that the pool knows.
    """

    def __init__(self, open_pool: OpenPool, *, mode: GateMode, emit: EventHook) -> None:
        self._open_pool = open_pool
        self._opening = asyncio.Lock()
        self._opened: tuple[WorkerPool, dict[str, int]] | None = None
        self._mode = mode
        self._emit = emit
        self._notice_count = 0

    async def admit(self, item: Item, route: Route) -> None:
        """Raise ItemRejected (`check_failed`) for a file that would fail, in mode `skip`.

        An item that has changed state before is admitted: it has passed the gate, or somebody queued it again on
        purpose. Also raises AuthRefused and TransientError, from reading the schemas.
        """
        if item.revision:
            return
        pool, places = await self._open()
        at = places.get(route.binding)
        if at is None:
            return
        (check,) = await pool.check([FileToCheck(item.source, item.size_bytes or 0, at)])
        if check.prediction is Prediction.FAIL and check.is_judged:
            self._refuse(check)
        elif not check.is_judged:
            logger.warning("file not judged", extra={"item": item.source, "code": check.code})

    async def _open(self) -> tuple[WorkerPool, dict[str, int]]:
        """Return the pool, and the index of each route that it knows, by the route's binding."""
        async with self._opening:
            if self._opened is None:
                pool, bound = await self._open_pool()
                self._opened = pool, {one.route.binding: at for at, one in enumerate(bound) if one.missing is None}
            return self._opened

    def _refuse(self, check: FileCheck) -> None:
        if self._mode is GateMode.SKIP:
            raise ItemRejected("check_failed", f"the check predicts a failure: {check.message}")
        self._notice_count += 1
        if self._notice_count <= NOTICES_MAX:
            self._say(f"{check.source}: the check predicts a failure: {check.message}")
        elif self._notice_count == NOTICES_MAX + 1:
            self._say("more files would fail; `bulkhead check` lists them all")

    def _say(self, message: str) -> None:
        self._emit(Notice(code="check_failed", message=message))
