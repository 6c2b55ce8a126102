"""Packs that another ledger has sent, which is lost, or elsewhere: no file of them is imported again in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from runner import RunSpec, source_spec
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import ItemState
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
