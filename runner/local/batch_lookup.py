"""Batches: which batch of the ledger a command means, and whether it can be resumed here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner import identity
from runner.errors import ConfigError, LedgerMismatch
from runner.events import Notice
from runner.local.dismiss import has_dismissible
from runner.models import OPEN_STATES, Batch, BatchState, ItemState, batch_of_packs

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.local.resources import Resources


WAITING_STATES = frozenset({ItemState.NEEDS_REVIEW, ItemState.PROCESSING, ItemState.SUCCEEDED})
"""States of items whose imports the vendor, or a person, may have finished since."""


class Batches:
    """Finds batches in the ledger. Its methods raise LedgerError, and ConfigError if there is no ledger to read."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def named(self, batch_id: str | None, *, write: bool, waiting_for: Collection[ItemState] = ()) -> Batch:
        """Return the batch with this id; without an id, the newest with an item in `waiting_for`, or else the newest.

        Raises ConfigError if there is no such batch.
        """
        ledger = await self.existing(write=write)
        if batch_id is not None:
            return await self._with_id(ledger, batch_id)
        newest_first = list(reversed(await ledger.batches()))
        for batch in newest_first if waiting_for else ():
            if (await ledger.counts(batch.batch_id)).keys() & set(waiting_for):
                return batch
        if newest_first:
            return newest_first[0]
        raise self._none("batch")

    async def dismissible(self, batch_id: str | None) -> Batch:
        """Return the batch with this id; without an id, a runner's newest with something to dismiss, or the newest.

        Raises ConfigError if there is no such batch, LedgerMismatch if a stack drives it.
        """
        if batch_id is None:
            ledger = await self.existing(write=True)
            for batch in reversed(await ledger.batches()):
                if batch.driver != "stack" and await has_dismissible(ledger, batch.batch_id):
                    return batch
        batch = await self.named(batch_id, write=True)
        self.refuse_stack(batch)
        return batch

    async def unsettled(self, batch_id: str | None) -> Batch:
        """Return the batch with this id; without an id, the newest of a runner that is not settled.

        Raises ConfigError if there is no such batch.
        """
        ledger = await self.existing(write=True)
        if batch_id is not None:
            return await self._with_id(ledger, batch_id)
        for batch in reversed(await ledger.batches()):
            if batch.driver != "stack" and await _has_open(ledger, batch):
                return batch
        raise self._none("batch to resume")

    async def unsettled_of(self, source_uri: str) -> Batch | None:
        """Return the newest batch of a runner for this source and endpoint that is not settled, or None.

        A batch that only lacks results is none if a newer one exists: `FinishedReviews` fetches them.
        """
        ledger = await self._resources.ledger(write=True)
        newest_first = [
            batch
            for batch in reversed(await ledger.batches(source_uri=source_uri))
            if self._is_here(batch) and batch.driver != "stack"
        ]
        for batch in newest_first:
            ignored = frozenset() if batch is newest_first[0] else frozenset({ItemState.SUCCEEDED})
            if await _has_open(ledger, batch, but=ignored):
                return batch
        return None

    async def as_it_is(self, batch: Batch) -> Batch:
        """Return the batch; one whose run was killed, and could not record that, as interrupted."""
        if batch.state is not BatchState.RUNNING or batch.driver == "stack":
            return batch
        if await self._resources.is_running(batch.batch_id):
            return batch
        return replace(batch, state=BatchState.INTERRUPTED)

    async def waiting(self, emit: EventHook) -> list[Batch]:
        """Return the batches of this account's runners with open reviews or imports, oldest first, or else the newest.

        Those of other accounts are left out, with a notice. Raises ConfigError if there is no batch at all.
        """
        ledger = await self.existing(write=True)
        found: list[Batch] = []
        for batch in await ledger.batches():
            if batch.driver == "stack" or not await _is_waiting(ledger, batch.batch_id):
                continue
            try:
                self.refuse_other_account(batch)
            except LedgerMismatch as error:
                emit(Notice(code="batch_not_tracked", message=f"not tracked: {error}"))
            else:
                found.append(batch)
        return found or [await self.named(None, write=True)]

    def is_of_account(self, batch: Batch) -> bool:
        """Return whether this API and license key started the batch, and no stack drives it."""
        try:
            self.refuse_other_account(batch)
        except LedgerMismatch:
            return False
        return True

    def refuse_stack(self, batch: Batch) -> None:
        """Raise LedgerMismatch if the functions of a stack move the batch's items."""
        if batch.driver == "stack":
            raise LedgerMismatch(
                f"batch {batch.batch_id} belongs to a stack on AWS",
                hint=f"`bulkhead cloud status {batch.batch_id}` shows it; `bulkhead cloud redrive` and "
                "`bulkhead cloud dismiss` move its items",
            )

    def refuse_other_account(self, batch: Batch) -> None:
        """Raise LedgerMismatch if the batch was started with another API or license key, or by a stack."""
        self.refuse_stack(batch)
        settings = self._resources.settings
        if not self._is_here(batch):
            raise LedgerMismatch(
                f"batch {batch.batch_id} was started with another API than {settings.api_url}",
                hint="set --api-url to the API that it was started with",
            )
        account = self._resources.account
        if batch.is_bound and batch.account != account and not settings.accept_new_key:
            raise LedgerMismatch(
                f"batch {batch.batch_id} was started with another license key",
                hint="if this is a new key of the same account, set BULKHEAD_ACCEPT_NEW_KEY=1",
            )

    def _is_here(self, batch: Batch) -> bool:
        return identity.endpoint_of(batch.account) == self._resources.endpoint

    async def existing(self, *, write: bool) -> Ledger:
        """Open a ledger that exists; only a run creates one."""
        return await self._resources.ledger(write=write and self._resources.settings.ledger_is_there)

    async def _with_id(self, ledger: Ledger, batch_id: str) -> Batch:
        batch = await ledger.batch(batch_id)
        if batch is None:
            raise ConfigError(f"there is no batch {batch_id}", hint="`bulkhead batches` lists them")
        return batch

    def _none(self, what: str) -> ConfigError:
        place = self._resources.settings.ledger
        return ConfigError(f"there is no {what} in {place}", hint="start one with `bulkhead run`")


async def _has_open(ledger: Ledger, batch: Batch, *, but: Collection[ItemState] = ()) -> bool:
    return not batch.listed or bool((OPEN_STATES - set(but)) & (await ledger.counts(batch.batch_id)).keys())


async def _is_waiting(ledger: Ledger, batch_id: str) -> bool:
    counts = await ledger.counts(batch_id)
    if ItemState.PACKED in counts:
        of_packs = await ledger.counts(batch_of_packs(batch_id))
        if (WAITING_STATES - {ItemState.NEEDS_REVIEW}) & of_packs.keys():
            return True
    return bool(WAITING_STATES & counts.keys())
