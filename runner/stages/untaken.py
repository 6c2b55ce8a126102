"""Untaken uploads: imports that still wait for a file although storage has it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from runner.events import EventHook, Notice
from runner.models import ImportStatus, ItemState
from runner.stages.upload_urls import URL_LIFE

if TYPE_CHECKING:
    from datetime import datetime

    from runner.dromo.clock import VendorTime
    from runner.models import Item

_MARGIN = timedelta(minutes=5)
NOT_TAKEN = "storage took the file, but the vendor still waits for it"


class Wait(Enum):
    """How long an import has waited for a file that storage has."""

    SHORT = "short"
    TOO_LONG = "too_long"
    """Longer than a run waits; a later run looks again."""
    OVER = "over"
    """The upload URL has ended, so the import can get no file any more."""


def is_untaken(item: Item, status: str) -> bool:
    """Return whether an import waits for a file that was uploaded, as its status and its item say."""
    return status == ImportStatus.AWAITING_UPLOAD and item.state is ItemState.PROCESSING


def is_over(item: Item, now: datetime) -> bool:
    """Return whether every URL with which the item's file can have been sent has ended; `now`: the vendor's time."""
    known = [instant for instant in (item.created_at, item.uploaded_at) if instant is not None]
    return bool(known) and now - max(known) > URL_LIFE + _MARGIN


class UntakenUploads:
    """The untaken uploads that a run has seen; emits a notice for each after `settle_s`."""

    def __init__(self, *, settle_s: float, stuck_after_s: float, vendor_time: VendorTime, emit: EventHook) -> None:
        self._settle_s = settle_s
        self._stuck_after_s = stuck_after_s
        self._vendor_time = vendor_time
        self._emit = emit
        self._since: dict[str, float] = {}
        self._noticed: set[str] = set()

    def seen(self, item: Item) -> Wait:
        """Note that the import of an item still waits for its file."""
        if is_over(item, self._vendor_time.now()):
            return Wait.OVER
        now = asyncio.get_running_loop().time()
        waited_s = now - self._since.setdefault(item.bound_id, now)
        if waited_s >= self._settle_s and item.bound_id not in self._noticed:
            self._noticed.add(item.bound_id)
            self._emit(Notice(code="upload_not_taken", message=f"{item.label}: {NOT_TAKEN}"))
        return Wait.TOO_LONG if waited_s >= self._stuck_after_s else Wait.SHORT
