"""Many nights with one folder for results, in any order, with kills and other people's files: nothing is lost there."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from runner.errors import FileUnavailable
from runner.models import ItemState
from runner.sinks import local
from runner.stages import result_places
from tests.support.nights import USUAL, Nights, rows

pytestmark = pytest.mark.virtual_time

SEEDS = 60
NIGHTS = 5
FOREIGN = b"[somebody else]"


@pytest.fixture(autouse=True)
def without_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine does not lose power here."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


class Story:
    """What happens to one file in some nights, drawn from a seed."""

    def __init__(self, seed: int, out: Path) -> None:
        self._rng = random.Random(f"{seed} nights")
        self._nights = Nights(out)
        self._foreign: Path | None = None
        self._touched = False

    async def play(self) -> None:
        """Live all nights; late and killed ones end in any order. Raises AssertionError."""
        left = list(range(1, NIGHTS + 1))
        for number in left:
            await self._nights.night(number)
        self._rng.shuffle(left)
        if self._rng.random() < 0.7:
            left.sort(key=lambda number: number + self._rng.choice((0, 0, 3)))
        while left:
            self._person()
            at_once = [left.pop(0) for _ in range(min(len(left), self._rng.choice((1, 1, 2, 3))))]
            await asyncio.gather(*[self._live(number) for number in at_once])
            await self._judge()
        if not self._touched:
            assert self._nights.content() == rows(NIGHTS)
            assert self._nights.notices == []

    async def _live(self, number: int) -> None:
        """Collect a night's result, maybe only after runs that were killed, or in which a rename failed."""
        later = [await self._nights.current(other) for other in range(number + 1, NIGHTS + 1)]
        is_late = any(item.state is ItemState.COLLECTED for item in later)
        for _ in range(self._rng.choice((0, 0, 1, 2))):
            with suppress(FileUnavailable):
                await self._nights.save(await self._nights.current(number), rows(number))
            await asyncio.sleep(self._rng.choice((0.0, 1.0)))
        path = await self._nights.collect(await self._nights.current(number), rows(number))
        assert not is_late or path != USUAL, f"the late result of night {number} is in the place of newer ones"

    def _person(self) -> None:
        """Move the result away, or put another file in its place, now and then."""
        place, draw = self._nights.out / USUAL, self._rng.random()
        if draw < 0.1 and place.exists() and self._foreign is None:
            place.unlink()
            self._touched = True
        elif draw < 0.2:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(FOREIGN)
            self._foreign, self._touched = place, True

    async def _judge(self) -> None:
        """Every result that was collected is where the ledger says, or a newer version or a person took its place."""
        if self._foreign is not None:
            assert self._foreign.read_bytes() == FOREIGN, "a file of somebody else was replaced"
        for number in range(1, NIGHTS + 1):
            item = await self._nights.current(number)
            if item.state is not ItemState.COLLECTED:
                continue
            place = self._nights.out / (item.result or "")
            newer = [rows(later) for later in range(number + 1, NIGHTS + 1)]
            if item.result == USUAL and (self._touched or place.read_bytes() in newer):
                continue
            assert place.read_bytes() == rows(number), f"the result of night {number} was lost"


async def _play(seeds: int, out: Path) -> None:
    for seed in range(seeds):
        await Story(seed, out / str(seed)).play()


async def test_no_result_is_lost_or_replaced_by_an_older_one(tmp_path: Path) -> None:
    await _play(SEEDS, tmp_path)


def _late_ones_replace(patch: pytest.MonkeyPatch) -> None:
    async def none_is_newer(*_: Any) -> bool:
        return False

    patch.setattr(result_places.ResultPlaces, "has_result_here", none_is_newer)


def _unknown_is_taken_for_own(patch: pytest.MonkeyPatch) -> None:
    async def own(*_: Any) -> Any:
        return result_places._Whose.OWN_OR_OLDER

    patch.setattr(result_places.ResultPlace, "_whose", own)


def _place_not_recorded(patch: pytest.MonkeyPatch) -> None:
    async def forgotten(_places: Any, item: Any, *_: Any) -> Any:
        return item

    patch.setattr(result_places.ResultPlaces, "record", forgotten)


def _places_chosen_without_the_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local, "_is_locked_now", lambda _folder: True)
    patch.setattr(local.asyncio, "Lock", nullcontext)
    record = result_places.ResultPlaces.record

    async def slow(places: Any, *rest: Any) -> Any:
        recorded = await record(places, *rest)
        await asyncio.sleep(random.Random(str(recorded.batch_id)).random())
        return recorded

    patch.setattr(result_places.ResultPlaces, "record", slow)


@pytest.mark.parametrize(
    "plant", [_late_ones_replace, _unknown_is_taken_for_own, _place_not_recorded, _places_chosen_without_the_lock]
)
async def test_a_planted_bug_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        await _play(SEEDS, tmp_path)
