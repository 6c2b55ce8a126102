"""Standing: where the batches of a deployment stand, and where their manifests lie."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.config.run_spec import driver_of
from runner.models import BatchState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger import CloudLedger
    from runner.models import Batch, ItemState

RECENT = 20
_ASKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A batch, how many of its items are in each state, who takes them further, and how late its manifest is.

    `moves` counts what has happened in the batch, `manifest_moves` is up to which of it the manifest was written.
    """

    batch: Batch
    by_state: dict[ItemState, int]
    driver: str
    moves: int
    manifest_moves: int

    @property
    def manifest(self) -> str | None:
        """Return where the stack has written the manifest; None where it has not, or a runner does."""
        if self.driver == "runner" or not self.manifest_moves:
            return None
        return f"{self.batch.out}/manifest.jsonl"

    @property
    def manifest_is_current(self) -> bool:
        """Tell whether nothing has happened since the manifest was written."""
        return self.manifest is not None and self.manifest_moves >= self.moves


async def standing(ledger: CloudLedger, batch: Batch) -> Standing:
    """Read where one batch stands."""
    moves, manifest_moves = await ledger.moves_of(batch.batch_id)
    return Standing(
        batch=batch,
        by_state=await ledger.counts(batch.batch_id),
        driver=driver_of(batch.config),
        moves=moves,
        manifest_moves=manifest_moves,
    )


async def standings(ledger: CloudLedger, *, recent: int = RECENT) -> list[Standing]:
    """Read where the newest batches stand, and all that are running, oldest first."""
    batches = await ledger.batches()
    newest = batches[-recent:] if recent else []
    shown = {batch.batch_id for batch in newest}
    return await _of(
        [batch for batch in batches if batch.batch_id in shown or batch.state is BatchState.RUNNING], ledger
    )


async def _of(batches: Iterable[Batch], ledger: CloudLedger) -> list[Standing]:
    turn = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def one(batch: Batch) -> Standing:
        async with turn:
            return await standing(ledger, batch)

    async with asyncio.TaskGroup() as asking:
        tasks = [asking.create_task(one(batch)) for batch in batches]
    return [task.result() for task in tasks]
