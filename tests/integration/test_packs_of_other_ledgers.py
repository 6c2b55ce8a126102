"""Packs that another ledger has sent, which is lost, or elsewhere: no file of them is imported again in silence."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import pytest

from runner import RunSpec, source_spec
from runner.events import ItemMoved, Notice, PacksChanged
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import Item, ItemState
from runner.protocols import Prepared
from runner.stages import other_sources
from runner.stages.lost_members import LostMembers, MemberUnclear
from tests.integration.test_packing_rules import HEADER, Night, inbox_of, night

__all__ = ["night"]

S = ItemState


def lose_ledger(night: Night) -> None:
    """Remove the ledger, as a disk that breaks."""
    for path in night.home.glob("ledger.db*"):
        path.unlink()


async def run(night: Night, spec: RunSpec) -> BatchOutcome:
    async with night.bulkhead() as bulkhead:
        return await bulkhead.run(spec)


def spec_above(night: Night) -> RunSpec:
    """Return a run of the directory above the inbox, which has another file, too."""
    (night.home / "other").mkdir()
    (night.home / "other" / "o.csv").write_text(f"{HEADER}Ann o,o@example.com\n")
    source = source_spec(str(night.home), include=("inbox/**", "other/**"))
    return replace(night.spec(), out=str(night.home / "out of both"), source=source)


def spec_of_list(night: Night, *, count: int) -> RunSpec:
    """Return a run of a list of the first files of the inbox."""
    listed = night.home / "list.txt"
    listed.write_text("".join(f"{number:02}.csv\n" for number in range(count)))
    return replace(night.spec(), source=source_spec(str(night.inbox), files_from=str(listed)))


@pytest.mark.parametrize("pack", [1000, None], ids=["packed", "alone"])
async def test_without_the_ledger_the_directory_above_does_not_send_files_again(night: Night, pack: int | None) -> None:
    inbox_of(night, 5)
    await night.run()
    lose_ledger(night)
    outcome = await run(night, replace(spec_above(night), pack=pack))
    assert outcome.by_state == {S.COLLECTED: 6}
    assert await night.delivered() == Counter(["Ann o", *(f"Ann {number:02}.csv" for number in range(5))])


async def test_without_the_ledger_a_list_of_the_same_files_does_not_send_them_again(night: Night) -> None:
    inbox_of(night, 5)
    await night.run()
    lose_ledger(night)
    assert (await run(night, spec_of_list(night, count=5))).by_state == {S.COLLECTED: 5}
    lose_ledger(night)
    assert (await night.run()).by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_without_the_ledger_some_files_of_a_pack_are_not_sent_until_a_run_has_all(night: Night) -> None:
    inbox_of(night, 5)
    await night.run()
    lose_ledger(night)
    outcome = await run(night, spec_of_list(night, count=4))
    assert outcome.exit_code == ExitCode.FATAL
    assert "4 files of this run came with it (00.csv, 01.csv, 02.csv, and 1 more)" in outcome.reason
    assert (await night.run()).by_state == {S.COLLECTED: 5}
    assert (await run(night, spec_of_list(night, count=4))).by_state == {S.SKIPPED: 4}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


@pytest.mark.parametrize("pack", [1000, None], ids=["packed", "alone"])
async def test_files_that_cannot_be_read_while_packs_are_looked_up_are_not_sent_again_once_they_can_be(
    night: Night, monkeypatch: pytest.MonkeyPatch, pack: int | None
) -> None:
    async def unread(_: LostMembers, item: Item) -> Prepared | None:
        raise MemberUnclear(f"{item.source} cannot be read now")

    inbox_of(night, 5)
    await night.run()
    lose_ledger(night)
    with monkeypatch.context() as patch:
        patch.setattr(LostMembers, "_prepared", unread)
        outcome = await run(night, replace(spec_of_list(night, count=5), pack=pack))
    assert outcome.exit_code == ExitCode.FATAL
    assert "could not be read before" in outcome.reason
    assert (await run(night, spec_of_list(night, count=5))).by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


def swap_ledger(night: Night, old: str, new: str) -> None:
    """Give the ledger another name."""
    for path in night.home.glob(f"{old}.db*"):
        path.rename(path.with_name(path.name.replace(old, new)))


async def stop_with_a_pack_that_is_not_sent(night: Night) -> None:
    night.stop_when = lambda event: isinstance(event, ItemMoved) and event.new is S.PACKED
    await night.run()
    night.stop_when = None
    assert await night.named(S.PACKED)


@pytest.mark.parametrize("pack", [None, 3, 1000], ids=["alone", "in other packs", "in the same pack"])
@pytest.mark.parametrize("keeps_out", [True, False], ids=["with the results", "without them"])
async def test_files_of_an_unsent_pack_that_another_ledger_has_sent_are_not_sent_again(
    night: Night, pack: int | None, keeps_out: bool
) -> None:
    inbox_of(night, 5)
    await stop_with_a_pack_that_is_not_sent(night)
    swap_ledger(night, "ledger", "first")
    assert (await night.run(pack=pack)).by_state == {S.COLLECTED: 5}
    lose_ledger(night)
    swap_ledger(night, "first", "ledger")
    if not keeps_out:
        shutil.rmtree(night.home / "out")
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_an_unsent_pack_of_which_a_file_was_sent_from_another_source_is_not_sent(night: Night) -> None:
    inbox_of(night, 5)
    await stop_with_a_pack_that_is_not_sent(night)
    swap_ledger(night, "ledger", "first")
    await run(night, spec_of_list(night, count=3))
    lose_ledger(night)
    swap_ledger(night, "first", "ledger")
    outcome = await night.run()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 5})
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_filters_apply_to_files_of_an_unsent_pack_of_which_another_ledger_has_sent_a_file(night: Night) -> None:
    inbox_of(night, 5)
    await stop_with_a_pack_that_is_not_sent(night)
    swap_ledger(night, "ledger", "first")
    listed = spec_of_list(night, count=2)
    await run(night, replace(listed, pack=None))
    lose_ledger(night)
    swap_ledger(night, "first", "ledger")
    outcome = await run(night, replace(night.spec(), source=replace(night.spec().source, exclude=("04.csv",))))
    assert outcome.by_state == {S.COLLECTED: 4, S.SKIPPED: 1}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(4))


async def test_a_pack_that_was_given_up_here_and_sent_by_another_ledger_is_not_sent_again(night: Night) -> None:
    inbox_of(night, 5)
    await stop_with_a_pack_that_is_not_sent(night)
    night.stop_when = lambda event: isinstance(event, ItemMoved) and event.new is S.QUEUED
    await night.run(pack=0)
    night.stop_when = None
    assert len(await night.named(S.QUEUED)) == 5
    swap_ledger(night, "ledger", "first")
    await night.run()
    lose_ledger(night)
    swap_ledger(night, "first", "ledger")
    assert (await night.run()).by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


@pytest.mark.parametrize("pack", [1000, None, 0], ids=["packed", "as before", "off"])
@pytest.mark.parametrize("changed", ["content", "name"])
async def test_with_an_old_copy_of_the_ledger_only_a_file_that_changed_leaves_the_pack_that_was_sent(
    night: Night, changed: str, pack: int | None
) -> None:
    inbox_of(night, 5)
    await stop_with_a_pack_that_is_not_sent(night)
    for path in night.home.glob("ledger.db*"):
        shutil.copy(path, path.with_name(path.name.replace("ledger", "copy")))
    await night.run()
    lose_ledger(night)
    swap_ledger(night, "copy", "ledger")
    if changed == "content":
        night.add("02.csv", f"{HEADER}Changed,c@example.com\n")
    else:
        (night.inbox / "02.csv").rename(night.home / "away.csv")
    await night.run(pack=pack)
    assert await night.named(S.COLLECTED) == [
        f"{number:02}.csv" for number in range(5) if number != 2 or changed == "content"
    ]
    sent = [f"Ann {number:02}.csv" for number in range(5)]
    assert await night.delivered() == Counter([*sent, "Changed"] if changed == "content" else sent)
    assert (await night.run()).exit_code == ExitCode.OK


async def test_a_tag_to_be_ignored_that_no_pack_has_is_named(night: Night) -> None:
    inbox_of(night, 5)
    await night.run()
    (tag,) = {item.pack for item in (await night.items()).values()}
    lose_ledger(night)
    night.events.clear()
    outcome = await run(night, replace(night.spec(), ignored_packs=(tag or "", "abcdefghijklm")))
    said = [event.message for event in night.events if isinstance(event, Notice) and "--ignore-pack" in event.message]
    assert said == ["--ignore-pack abcdefghijklm: there is no pack with this tag to be ignored"]
    assert outcome.exit_code == ExitCode.OK


async def test_without_ledger_and_results_the_directory_waits_for_a_pack_of_a_list_that_is_at_work(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_sources, "_PAUSE_S", 0.2)
    inbox_of(night, 5)
    await night.slow(3.0)
    night.stop_when = lambda event: isinstance(event, PacksChanged) and event.total > 0 == event.unsent
    await run(night, spec_of_list(night, count=5))
    night.stop_when = None
    lose_ledger(night)
    shutil.rmtree(night.home / "out")
    outcome = await night.run()
    assert outcome.by_state == {S.COLLECTED: 5}
    said = [event.message for event in night.events if isinstance(event, Notice) and event.code == "packing"]
    assert any("the run waits for the end of their imports" in message for message in said)
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))
