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
    """What to do with a file that would fail or lose data: `skip` rejects it, `warn` sends it and emits a notice."""

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
        self._said: set[str] = set()

    async def admit(self, item: Item, route: Route) -> None:
        """In mode `skip`, raise ItemRejected: `check_failed` for a file that would fail, `check_data_lost` for one
        whose rows or cells would be lost or shifted. Other warnings are notices.

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
        if not check.is_judged:
            logger.warning("file not judged", extra={"item": item.source, "code": check.code})
        elif check.prediction is Prediction.FAIL:
            self._refuse(check, "check_failed", f"the check predicts a failure: {check.message}")
        elif (lost := check.lost_data) is not None:
            self._refuse(check, "check_data_lost", f"the check predicts lost data: {lost.sentence}")
        else:
            self._tell(check)

    async def _open(self) -> tuple[WorkerPool, dict[str, int]]:
        """Return the pool, and the index of each route that it knows, by the route's binding."""
        async with self._opening:
            if self._opened is None:
                pool, bound = await self._open_pool()
                self._opened = pool, {one.route.binding: at for at, one in enumerate(bound) if one.missing is None}
            return self._opened

    def _refuse(self, check: FileCheck, code: str, reason: str) -> None:
        if self._mode is GateMode.SKIP:
            raise ItemRejected(code, reason)
        self._say(code, f"{check.source}: {reason}")

    def _tell(self, check: FileCheck) -> None:
        """Emit a notice for each warning of the engine: nobody sees them in a run otherwise."""
        for one in check.problems:
            if one.kind == "warning":
                self._say("check_warning", f"{check.source}: the check warns: {one.sentence}")

    def _say(self, code: str, message: str) -> None:
        """Emit a notice, but no more than NOTICES_MAX of all, and one that says so.

        A file that travels alone is checked again after packs are planned, and told once.
        """
        if message in self._said:
            return
        self._notice_count += 1
        if self._notice_count <= NOTICES_MAX:
            self._said.add(message)
            self._emit(Notice(code=code, message=message))
        elif self._notice_count == NOTICES_MAX + 1:
            self._emit(Notice(code=code, message="the check found more; `bulkhead check` lists it all"))
