"""ResultPlaces: which path a result gets in a folder that nightly batches share, so that none replaces a newer one.

A result may replace only one of an older version of the same file, or of its own import. One that arrives after that
of a newer version, or whose path is taken by something that the ledger does not know, is saved beside it.
"""

from __future__ import annotations

import os
from enum import Enum, auto
from typing import TYPE_CHECKING

from runner.aws.s3 import is_s3
from runner.errors import SinkFailed
from runner.events import Notice
from runner.models import Batch, Item, ItemState, batch_of_packs
from runner.sinks.result_path import beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.protocols import Look, Occupant, SavedResult
    from runner.stages.transitions import Transitions


class _Whose(Enum):
    """Whose result is at a path, compared with the item that needs a place."""

    OWN_OR_OLDER = auto()
    NEWER = auto()
    UNKNOWN = auto()


class ResultPlaces:
    """Finds places for the results of one batch."""

    def __init__(self, ledger: Ledger, *, transitions: Transitions, emit: EventHook) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._emit = emit
        self._batches: dict[str, Batch] = {}

    def of(self, item: Item, *, import_id: str | None = None) -> ResultPlace:
        """Return the place of an item's result; `import_id` is that of the import with its data, if not its own."""
        return ResultPlace(item, import_id=import_id or item.bound_id, places=self)

    async def record(self, item: Item, path: str, saved: SavedResult) -> Item:
        """Record where a result is about to be, so that it is known as the item's own even if the run dies now."""
        if (item.result, item.result_sha256) == (path, saved.sha256):
            return item
        return await self._transitions.advance(
            item,
            item.state,
            reason=f"saving the result as {path}",
            result=path,
            result_sha256=saved.sha256,
            row_count=saved.row_count,
        )

    async def versions(self, item: Item) -> tuple[list[Item], list[Item]]:
        """Return the items of the same file in earlier batches, and those in later ones."""
        found = (await self._ledger.by_file([item.file_key])).get(item.file_key, []) if item.file_key else []
        at = next((at for at, other in enumerate(found) if other.is_same_as(item)), None)
        if at is None:
            return await self._versions_by_source(item)
        return found[:at], found[at + 1 :]

    async def older_without_key(self, item: Item) -> list[Item]:
        """Return the items of the file in earlier batches that version 0.1.0 recorded."""
        earlier, _ = await self._versions_by_source(item)
        return [other for other in earlier if not other.file_key]

    async def _versions_by_source(self, item: Item) -> tuple[list[Item], list[Item]]:
        """Find the versions of a file by its source, in all batches with the same folder for results."""
        out = await self._out(item)
        earlier: list[Item] = []
        found = earlier
        later: list[Item] = []
        for batch in await self._ledger.batches():
            if batch.batch_id == item.batch_id:
                found = later
            elif _place(batch.out) == out:
                other = await self._ledger.item(batch.batch_id, item.source)
                found += [other] if other is not None and other.was_tried else []
        return earlier, later

    async def has_result_here(self, other: Item, item: Item) -> bool:
        """Return whether another item has, or is about to have, a result in the folder of this item's."""
        is_saved = other.result is not None and other.state in (ItemState.SUCCEEDED, ItemState.COLLECTED)
        return is_saved and await self._out(other) == await self._out(item)

    async def is_replaced(self, item: Item) -> bool:
        """Return whether the result of a newer version of the file has taken the place of an item's result."""
        _, later = await self.versions(item)
        same_path = [other for other in later if other.result == item.result]
        return any([await self.has_result_here(other, item) for other in same_path])

    async def owner(self, import_id: str) -> tuple[str, str] | None:
        return (await self._ledger.owners([import_id])).get(import_id)

    def say_kept(self, item: Item, usual: str, path: str) -> None:
        message = (
            f"{usual} is not a result that this ledger knows: it is kept, and the result of {item.source} is in {path}"
        )
        self._emit(Notice(code="result_kept", message=message))

    async def _out(self, item: Item) -> str:
        if item.batch_id not in self._batches:
            batch = await self._ledger.batch(item.batch_id)
            assert batch is not None, "an item is in a batch"
            self._batches[item.batch_id] = batch
        return _place(self._batches[item.batch_id].out)


class ResultPlace:
    """The place of one item's result; implements `protocols.Place`. `item` is the item as it is now."""

    def __init__(self, item: Item, *, import_id: str, places: ResultPlaces) -> None:
        self.item = item
        self._import_id = import_id
        self._places = places
        self._own = {item.result_sha256}
        """Sums of results that were recorded with the item: until it is saved, an earlier one is in its place."""
        self._earlier: list[Item] = []
        self._later: list[Item] = []

    @property
    def import_id(self) -> str:
        return self._import_id

    async def choose(self, usual: str, look: Look, *, saved: SavedResult | None) -> str:
        """Return the path for the result, recorded with the item if the result is complete.

        Raises SinkFailed if even the path beside is taken.
        """
        self._earlier, self._later = await self._places.versions(self.item)
        path = await self._path(usual, look, saved)
        if saved is not None:
            self.item = await self._places.record(self.item, path, saved)
            self._own.add(saved.sha256)
        return path

    async def _path(self, usual: str, look: Look, saved: SavedResult | None) -> str:
        other = beside(usual, self.import_id)
        for newer in self._later:
            if await self._places.has_result_here(newer, self.item):
                return await self._beside(other, look, saved)
        whose = await self._whose(await look(usual), saved)
        if whose is _Whose.OWN_OR_OLDER:
            return usual
        path = await self._beside(other, look, saved)
        if whose is _Whose.UNKNOWN:
            self._places.say_kept(self.item, usual, path)
        return path

    async def _beside(self, path: str, look: Look, saved: SavedResult | None) -> str:
        if await self._whose(await look(path), saved) is _Whose.OWN_OR_OLDER:
            return path
        raise SinkFailed(f"{path} is not a result that this ledger knows", hint="move it away, and resume")

    async def _whose(self, found: Occupant | None, saved: SavedResult | None) -> _Whose:
        if found is None:
            return _Whose.OWN_OR_OLDER
        if found.import_id is not None:
            return await self._whose_import(found.import_id)
        if found.sha256 is None:
            return _Whose.UNKNOWN
        own = {saved.sha256 if saved else None, *self._own}
        if found.sha256 in own | {other.result_sha256 for other in self._earlier}:
            return _Whose.OWN_OR_OLDER
        if found.sha256 in {other.result_sha256 for other in self._later}:
            return _Whose.NEWER
        older = await self._places.older_without_key(self.item)
        is_older = found.sha256 in {other.result_sha256 for other in older}
        return _Whose.OWN_OR_OLDER if is_older else _Whose.UNKNOWN

    async def _whose_import(self, import_id: str) -> _Whose:
        owner = await self._places.owner(import_id)
        older = [self.item, *self._earlier]
        if _is_any_of(owner, older):
            return _Whose.OWN_OR_OLDER
        if _is_any_of(owner, self._later):
            return _Whose.NEWER
        without_key = await self._places.older_without_key(self.item) if owner is not None else []
        is_older = _is_any_of(owner, without_key)
        return _Whose.OWN_OR_OLDER if is_older else _Whose.UNKNOWN


def _is_any_of(owner: tuple[str, str] | None, items: Sequence[Item]) -> bool:
    """Return whether the owner of an import is one of the items, or the pack of one of them."""
    packs = [(batch_of_packs(item.batch_id), item.pack) for item in items if item.pack is not None]
    return owner in [*((item.batch_id, item.source) for item in items), *packs]


def _place(out: str) -> str:
    """Return the folder of results in a form in which equal folders are equal texts."""
    return out if is_s3(out) else os.path.realpath(out)
