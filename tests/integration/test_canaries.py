"""The first pack of a schema, when its files or its route are not what they were: its results are saved in any case."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runner.check.sandbox_engine import sandbox_engine
from runner.events import Event, ItemMoved, Notice, PacksChanged
from runner.local.outcome import ExitCode
from runner.models import ItemState, batch_of_packs
from sandbox import quotas
from sandbox.settings import SandboxSettings
from tests.integration.test_packing_rules import LICENSE_KEY, PEOPLE, Night, a_night, inbox_of
from tests.support.sandbox import running_sandbox

S = ItemState
FIVE = {f"0{number}.csv" for number in range(5)}


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    """The night of an engine that predicts what the sandbox does."""
    async with a_night(tmp_path) as night:
        night.engine = sandbox_engine
        yield night


def notices(night: Night, code: str) -> list[str]:
    return [event.message for event in night.events if isinstance(event, Notice) and event.code == code]


def all_sent(event: Event) -> bool:
    return isinstance(event, PacksChanged) and event.total > 0 and event.unsent == 0


async def stopped_while_its_canary_is_at_work(night: Night) -> None:
    """Stop a run of five files while their import is at work; it has ended when this returns."""
    inbox_of(night, 5)
    await night.slow(60.0)
    night.stop_when = all_sent
    await night.run()
    night.stop_when = None
    assert await night.named(S.PACKED) == sorted(FIVE)
    await night.sandbox.control("POST", "/clock", json={"advance_s": 100})
    await night.slow(0.05)


def moved_away(night: Night) -> None:
    (night.inbox / "02.csv").unlink()


def a_directory_now(night: Night) -> None:
    moved_away(night)
    (night.inbox / "02.csv").mkdir()


def inbox_emptied(night: Night) -> None:
    for path in night.inbox.iterdir():
        path.unlink()


def inbox_gone(night: Night) -> None:
    shutil.rmtree(night.inbox)


@pytest.mark.parametrize("change", [moved_away, a_directory_now, inbox_emptied, inbox_gone])
async def test_a_canary_is_collected_although_its_files_are_not_there_any_more(
    night: Night, change: Callable[[Night], None]
) -> None:
    await stopped_while_its_canary_is_at_work(night)
    change(night)
    night.events.clear()
    async with night.bulkhead() as bulkhead:
        outcome = await bulkhead.track()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})
    assert len(notices(night, "pack_not_compared")) == 1


async def test_the_next_run_collects_a_canary_whose_file_was_moved_away(night: Night) -> None:
    await stopped_while_its_canary_is_at_work(night)
    moved_away(night)
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})
    assert notices(night, "pack_not_compared") == [
        "the first pack of route all is compared without 02.csv: there is no such file"
    ]


async def test_results_of_a_canary_are_fetched_again_although_its_inbox_was_emptied(night: Night) -> None:
    inbox_of(night, 5)
    await night.run()
    inbox_emptied(night)
    shutil.rmtree(night.home / "out" / "results")
    async with night.bulkhead() as bulkhead:
        assert await bulkhead.fetch_results_again() == 5
    async with night.bulkhead() as bulkhead:
        outcome = await bulkhead.resume()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})


async def test_a_canary_is_collected_although_its_routes_have_changed(
    night: Night,
) -> None:
    await stopped_while_its_canary_is_at_work(night)
    outcome = await night.run(routes=night.routes("REMOVE_INVALID_ROWS"))
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})
    assert notices(night, "pack_not_compared") == [
        "a pack is not compared with its prediction, and its results are saved: no route makes imports as it did"
    ]


async def test_a_canary_that_a_run_without_packing_collects_is_no_proof(night: Night) -> None:
    await stopped_while_its_canary_is_at_work(night)
    outcome = await night.run(pack=0)
    assert outcome.by_state == {S.COLLECTED: 5}
    assert await codes_of_packs(night, outcome.batch.batch_id) == ["pack_not_compared"]


async def codes_of_packs(night: Night, batch_id: str) -> list[str | None]:
    async with night.bulkhead() as bulkhead:
        ledger = await bulkhead._resources.ledger(write=False)
        return [pack.error_code async for pack in ledger.items(batch_of_packs(batch_id))]


def append_to(path: Path) -> None:
    path.write_text(f"{path.read_text()}Late,late@example.com\n")


class Appending:
    """A person who adds a row to files of the canary at one moment; as a `stop_when` that never stops."""

    def __init__(self, night: Night, *, when: Callable[[Event], bool], most: int = 1) -> None:
        self.changed: list[str] = []
        self._packed: list[str] = []
        self._night = night
        self._when = when
        self._most = most

    def __call__(self, event: Event) -> bool:
        if isinstance(event, ItemMoved) and event.new is S.PACKED:
            self._packed.append(event.source)
        if not self.changed and self._packed and self._when(event):
            self.changed = self._packed[: self._most]
            for source in self.changed:
                append_to(self._night.inbox / source)
        return False


def just_packed(event: Event) -> bool:
    return isinstance(event, ItemMoved) and event.new is S.PACKED


def just_sent(event: Event) -> bool:
    return isinstance(event, PacksChanged) and event.unsent < event.total


async def sent_alone(night: Night) -> int:
    return sum(item.import_id is not None for item in (await night.items()).values())


async def test_a_canary_whose_file_changes_before_it_is_sent_is_followed_by_another_one(night: Night) -> None:
    inbox_of(night, 30)
    night.stop_when = person = Appending(night, when=just_packed)
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 30})
    assert await sent_alone(night) == 5
    assert notices(night, "packing")[1:] == [
        f"a pack of 5 files is not sent, so they travel alone: {person.changed[0]} changed after it was packed"
    ]


async def test_a_file_of_a_canary_that_changes_during_the_import_does_not_stop_packing(night: Night) -> None:
    inbox_of(night, 30)
    night.stop_when = person = Appending(night, when=just_sent)
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 30})
    assert await sent_alone(night) == 0
    assert notices(night, "pack_not_compared") == [
        f"the first pack of route all is compared without {person.changed[0]}: it has changed since it was packed"
    ]


async def test_a_canary_of_which_all_files_change_during_the_import_is_followed_by_another_one(night: Night) -> None:
    inbox_of(night, 30)
    night.stop_when = Appending(night, when=just_sent, most=5)
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 30})
    assert await sent_alone(night) == 0
    assert len(notices(night, "pack_not_compared")) == 1
    assert sorted(await codes_of_packs(night, outcome.batch.batch_id), key=str) == [None, None, "pack_not_compared"]


async def test_packing_stops_with_a_notice_if_the_first_pack_needs_a_review(tmp_path: Path) -> None:
    any_pace = quotas.Rate(100_000, 60.0)
    quick = SandboxSettings(license_key=LICENSE_KEY, create_quota=any_pace, poll_quota=any_pace)
    async with running_sandbox(settings=quick, schemas=[PEOPLE]) as sandbox:
        night = Night(sandbox, tmp_path)
        inbox_of(night, 3, bad=2)
        await night.run()
    assert notices(night, "packing")[1:] == [
        "a pack of 5 files needed a review: its files are sent otherwise",
        "packing of route all stops: the import of its first pack needed a review",
    ]


async def test_the_files_of_a_pack_that_is_not_sent_are_told_which_file_is_the_cause(night: Night) -> None:
    inbox_of(night, 5)
    gone: list[str] = []

    def remove(event: Event) -> bool:
        if isinstance(event, ItemMoved) and event.new is S.PACKED and not gone:
            gone.append(event.source)
            (night.inbox / event.source).unlink()
        return False

    night.stop_when = remove
    outcome = await night.run()
    assert outcome.by_state == {S.COLLECTED: 4, S.REJECTED: 1}
    left = [event.reason for event in night.events if isinstance(event, ItemMoved) and event.old is S.PACKED]
    assert left == [f"the pack was not sent: {gone[0]}: there is no such file"] * 5
