"""One folder for the results of many nights: no result is lost, and none is replaced by an older or a foreign one."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import FileUnavailable
from runner.models import ItemState
from runner.sinks import local as sinks
from tests.support.nights import SOURCE, USUAL, Nights, rows, stream

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path / "out")


async def test_a_newer_version_replaces_the_result_of_an_older_one(nights: Nights) -> None:
    for number in (1, 2, 3):
        assert await nights.collect(await nights.night(number), rows(number)) == USUAL
    assert nights.content() == rows(3)
    assert nights.notices == []


async def test_an_older_version_that_arrives_late_is_saved_beside_the_newer(nights: Nights) -> None:
    late = await nights.night(1)
    assert await nights.collect(await nights.night(2), rows(2)) == USUAL
    assert await nights.collect(late, rows(1)) == "results/in/a.csv.~import-1.json"
    assert (nights.content(), nights.content("results/in/a.csv.~import-1.json")) == (rows(2), rows(1))
    assert await nights.collect(await nights.night(3), rows(3)) == USUAL


async def test_an_older_version_is_late_even_if_the_newer_result_was_moved_away(nights: Nights) -> None:
    late = await nights.night(1)
    await nights.collect(await nights.night(2), rows(2))
    (nights.out / USUAL).unlink()
    assert await nights.collect(late, rows(1)) == "results/in/a.csv.~import-1.json"
    assert not (nights.out / USUAL).exists()


async def test_a_newer_version_whose_results_go_elsewhere_makes_none_late(nights: Nights, tmp_path: Path) -> None:
    older = await nights.night(1)
    other = Nights(tmp_path / "other")
    other.ledger = nights.ledger
    await other.collect(await other.night(2), rows(2))
    assert await nights.collect(older, rows(1)) == USUAL


async def test_age_is_the_order_of_batches_and_not_of_times_of_files(nights: Nights) -> None:
    late = await nights.night(1)
    await nights.collect(await nights.night(2), rows(2))
    os.utime(nights.out / USUAL, (0, 0))
    assert await nights.collect(late, rows(1)) != USUAL


async def test_what_the_ledger_does_not_know_is_kept_and_told(nights: Nights) -> None:
    (nights.out / USUAL).parent.mkdir(parents=True)
    (nights.out / USUAL).write_bytes(b"[mine]")
    beside = "results/in/a.csv.~import-1.json"
    assert await nights.collect(await nights.night(1), rows(1)) == beside
    assert (nights.content(), nights.content(beside)) == (b"[mine]", rows(1))
    assert nights.notices == [
        f"{USUAL} is not a result that this ledger knows: it is kept, and the result of {SOURCE} is in {beside}"
    ]


async def test_a_result_that_somebody_has_changed_is_kept(nights: Nights) -> None:
    await nights.collect(await nights.night(1), rows(1))
    (nights.out / USUAL).write_bytes(b"[corrected by hand]")
    assert await nights.collect(await nights.night(2), rows(2)) == "results/in/a.csv.~import-2.json"
    assert nights.content() == b"[corrected by hand]"


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "pipe"])
async def test_what_is_no_file_is_kept_and_never_followed(nights: Nights, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    place = nights.out / USUAL
    place.parent.mkdir(parents=True)
    if kind == "directory":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(target)
    if kind == "link":
        target.write_bytes(rows(1))
    assert await nights.collect(await nights.night(1), rows(1)) == "results/in/a.csv.~import-1.json"
    assert target.exists() == (kind == "link")
    assert place.name in [entry.name for entry in os.scandir(place.parent)]


async def test_a_crash_between_rename_and_record_is_recognized_by_the_ledger(nights: Nights) -> None:
    item, _ = await nights.save(await nights.night(1), rows(1))
    assert await nights.collect(await nights.current(1), b'[{"version":1}]') == USUAL
    assert (await nights.current(1)).result_sha256 == hashlib.sha256(b'[{"version":1}]').hexdigest()
    assert (nights.notices, item.state) == ([], ItemState.SUCCEEDED)


async def test_a_newer_version_replaces_what_a_killed_run_has_saved_but_not_recorded(nights: Nights) -> None:
    await nights.save(await nights.night(1), rows(1))
    assert await nights.collect(await nights.night(2), rows(2)) == USUAL
    assert await nights.collect(await nights.current(1), rows(1)) == "results/in/a.csv.~import-1.json"
    assert nights.content() == rows(2)
    assert nights.notices == []


async def test_an_older_version_does_not_replace_what_a_killed_run_has_saved_but_not_recorded(nights: Nights) -> None:
    late = await nights.night(1)
    await nights.save(await nights.night(2), rows(2))
    assert await nights.collect(late, rows(1)) == "results/in/a.csv.~import-1.json"
    assert nights.content() == rows(2)


async def test_what_a_killed_run_has_saved_beside_is_replaced_also_if_the_newer_result_was_moved_away(
    nights: Nights,
) -> None:
    late = await nights.night(1)
    await nights.collect(await nights.night(2), rows(2))
    await nights.save(late, rows(1))
    (nights.out / USUAL).unlink()
    beside = "results/in/a.csv.~import-1.json"
    assert await nights.collect(await nights.current(1), rows(3)) == beside
    assert nights.content(beside) == rows(3)


async def test_a_rename_that_fails_is_made_up_for(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    item = await nights.night(1)
    place = nights.places().of(item)
    with monkeypatch.context() as patch:
        patch.setattr(sinks.os, "replace", broken)
        with pytest.raises(FileUnavailable, match="Too many open files"):
            await nights.sink.save_result(SOURCE, stream(rows(1)), place)
    saved = await nights.sink.save_result(SOURCE, stream(rows(1)), place)
    assert (saved.path, nights.content()) == (USUAL, rows(1))


async def test_results_of_version_0_1_0_are_known_by_their_source(nights: Nights) -> None:
    late = await nights.night(1, file_key="")
    await nights.collect(await nights.night(2, file_key=""), rows(2))
    assert await nights.collect(late, rows(1)) == "results/in/a.csv.~import-1.json"
    assert await nights.collect(await nights.night(3), rows(3)) == USUAL
    assert nights.content() == rows(3)
    assert nights.notices == []


async def test_a_result_equal_to_what_is_there_takes_its_place(nights: Nights) -> None:
    (nights.out / USUAL).parent.mkdir(parents=True)
    (nights.out / USUAL).write_bytes(rows(1))
    assert await nights.collect(await nights.night(1), rows(1)) == USUAL
    assert nights.notices == []


@pytest.mark.parametrize("first", [1, 2])
async def test_two_batches_that_save_the_same_file_at_once_leave_the_newer_in_its_place(
    nights: Nights, first: int
) -> None:
    numbers = [first, 3 - first]
    items = [await nights.night(number) for number in (1, 2)]
    paths = await asyncio.gather(*[nights.collect(items[number - 1], rows(number)) for number in numbers])
    by_number = dict(zip(numbers, paths, strict=True))
    assert by_number[2] == USUAL
    assert nights.content() == rows(2)
    assert by_number[1] in (USUAL, "results/in/a.csv.~import-1.json")


async def test_another_import_with_an_odd_id_gets_a_plain_name(nights: Nights) -> None:
    late = await nights.night(1)
    late = await nights.ledger.advance(late, ItemState.SUCCEEDED, reason="test")
    late = replace(late, import_id="../../x")
    await nights.collect(await nights.night(2), rows(2))
    place = nights.places().of(late)
    assert place.import_id == "../../x"
    saved = await nights.sink.save_result(SOURCE, stream(rows(1)), place)
    assert saved.path.startswith("results/in/a.csv.~")
    assert saved.path.count("/") == 2
