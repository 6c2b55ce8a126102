"""Reviews that stay open over several nights: who collects them, when they count, and how a person ends them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner import Bulkhead
from runner.errors import ConfigError, Unavailable
from runner.local import dismiss as dismissing
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import BatchState, Item, ItemState
from runner.stages.collect import Collector
from runner.stages.track import Tracker
from sandbox.engine.outcome import failed
from tests.support.inbox_nights import REVIEW, SUCCESS, InboxNights, inbox_nights

S = ItemState


@pytest.fixture
async def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InboxNights]:
    monkeypatch.chdir(tmp_path)
    async with inbox_nights(tmp_path) as found:
        yield found


async def left_open(nights: InboxNights, **contents: str) -> BatchOutcome:
    """Run a night on which every file needs review."""
    nights.write(**contents)
    nights.end = REVIEW
    outcome = await nights.run()
    nights.end = SUCCESS
    return outcome


def lines(outcome: BatchOutcome) -> dict[str, Any]:
    text = (Path(outcome.out) / "manifest.jsonl").read_text()
    return {line["source"]: line for line in map(json.loads, text.splitlines())}


async def test_an_open_review_counts_on_a_later_night_although_its_file_is_gone(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    (nights.inbox / "east.csv").unlink()
    nights.write(west="2")
    second = await nights.run()
    assert second.by_state == {S.COLLECTED: 1}
    assert (second.exit_code, second.state) == (ExitCode.NEEDS_REVIEW, BatchState.COMPLETE)
    (review,) = second.earlier_reviews.first
    assert (review.source, review.batch_id) == ("east.csv", first.batch.batch_id)
    assert review.review_url is not None


async def test_summary_and_report_name_the_oldest_reviews_of_earlier_batches_and_count_all(nights: InboxNights) -> None:
    first = await left_open(nights, **{f"old{number:02}": str(number) for number in range(30)})
    nights.write(west="new")
    second = await nights.run()
    out = Path(second.out)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary)[-3:-1] == ["earlier_review_count", "earlier_reviews"]
    assert (summary["exit_code"], summary["earlier_review_count"], len(summary["earlier_reviews"])) == (6, 30, 20)
    named = summary["earlier_reviews"][0]
    assert named.keys() == {"batch_id", "source", "import_id", "schema_id", "opened_at"}
    assert (named["batch_id"], named["source"][:3]) == (first.batch.batch_id, "old")
    assert "/review/" not in (out / "summary.json").read_text()
    page = (out / "report.html").read_text()
    assert "30 open reviews of earlier batches, oldest first" in page
    assert page.count("/review/") == 20
    assert "Not shown: 10 more reviews" in page
    (out / "report.html").unlink()
    async with nights.bulkhead() as bulkhead:
        await bulkhead.report(second.batch.batch_id)
    assert "30 open reviews of earlier batches, oldest first" in (out / "report.html").read_text()


async def test_a_report_names_no_review_of_a_later_batch(nights: InboxNights) -> None:
    nights.write(west="1")
    first = await nights.run()
    await left_open(nights, east="2")
    async with nights.bulkhead() as bulkhead:
        await bulkhead.report(first.batch.batch_id)
    assert "of earlier batches" not in (Path(first.out) / "report.html").read_text()


async def test_a_run_first_collects_reviews_finished_since_into_the_folder_of_their_batch(
    nights: InboxNights, tmp_path: Path
) -> None:
    first = await left_open(nights, east="1")
    await nights.finish_review(first, "east.csv")
    second = await nights.run(out=tmp_path / "second")
    assert (second.exit_code, second.by_state) == (ExitCode.OK, {S.SKIPPED: 1})
    result = Path(first.out) / "results" / "east.csv.json"
    assert json.loads(result.read_text()) == [{"name": "Ada"}]
    assert "collected 1 finished review of batch" in nights.notices["reviews_collected"]
    assert lines(first)["east.csv"]["state"] == "collected"
    async with nights.bulkhead() as bulkhead:
        status = await bulkhead.status(first.batch.batch_id)
    assert (status.batch.state, status.batch.exit_code) == (BatchState.COMPLETE, 0)
    skipped = lines(second)["east.csv"]
    assert skipped["earlier_batch_id"] == first.batch.batch_id
    assert (skipped["earlier_state"], skipped["result"]) == ("collected", str(result))


async def test_a_run_names_all_reviews_that_were_finished_since_the_last_one(nights: InboxNights) -> None:
    nights.write(east="1", north="2", west="3")
    nights.end = REVIEW
    first = await nights.run()
    for source in ("east.csv", "north.csv", "west.csv"):
        await nights.finish_review(first, source)
    assert (await nights.run()).exit_code is ExitCode.OK
    said = nights.notices["reviews_collected"]
    assert said.startswith("collected 3 finished reviews of batch")
    assert sorted(said.rpartition(": ")[2].split(", ")) == ["east.csv", "north.csv", "west.csv"]


async def test_a_result_in_the_same_folder_is_named_relative_to_the_manifest(
    nights: InboxNights, tmp_path: Path
) -> None:
    nights.write(east="1")
    await nights.run(out=tmp_path / "out")
    second = await nights.run(out=tmp_path / "out")
    assert lines(second)["east.csv"]["result"] == "results/east.csv.json"


async def test_a_review_of_a_version_that_was_replaced_is_superseded_and_does_not_count(nights: InboxNights) -> None:
    await left_open(nights, east="1")
    nights.write(east="2")
    second = await nights.run()
    assert (second.exit_code, second.by_state, second.earlier_reviews.count) == (ExitCode.OK, {S.COLLECTED: 1}, 0)
    async with nights.bulkhead() as bulkhead:
        (review,) = await bulkhead.reviews()
    assert review.is_superseded


async def test_a_file_that_is_back_at_the_content_under_review_waits_for_that_review(nights: InboxNights) -> None:
    await left_open(nights, east="1")
    nights.write(east="2")
    await nights.run()
    nights.write(east="1")
    third = await nights.run()
    assert (third.exit_code, third.by_state, third.earlier_reviews.count) == (
        ExitCode.NEEDS_REVIEW, {S.SKIPPED: 1}, 1,
    )  # fmt: skip


async def test_a_folder_that_cannot_take_earlier_results_is_a_notice_and_the_run_goes_on(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    await nights.finish_review(first, "east.csv")
    results = Path(first.out) / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.write_text("in the way")
    nights.write(west="2")
    second = await nights.run()
    assert second.by_state == {S.COLLECTED: 1, S.SKIPPED: 1}
    assert first.batch.batch_id in nights.notices["reviews_not_collected"]
    results.unlink()
    assert (await nights.run()).exit_code is ExitCode.OK
    assert json.loads((results / "east.csv.json").read_text()) == [{"name": "Ada"}]


async def test_a_result_that_cannot_be_fetched_tonight_is_fetched_on_the_next_night_in_a_batch_of_its_own(
    nights: InboxNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await left_open(nights, east="1")
    await nights.finish_review(first, "east.csv")
    nights.write(west="2")
    collect = Collector.collect

    async def refuse_east(collector: Collector, item: Item) -> Item:
        if item.source == "east.csv":
            raise Unavailable("the result cannot be fetched")
        return await collect(collector, item)

    with monkeypatch.context() as broken:
        broken.setattr(Collector, "collect", refuse_east)
        second = await nights.run()
    assert second.batch.batch_id != first.batch.batch_id
    assert "east.csv" in nights.notices["review_not_collected"]
    third = await nights.run()
    assert third.batch.batch_id != first.batch.batch_id
    assert lines(first)["east.csv"]["state"] == "collected"


async def test_a_batch_of_another_account_is_left_alone(nights: InboxNights) -> None:
    await left_open(nights, east="1")
    async with nights.bulkhead() as bulkhead:
        (batch,) = [status.batch for status in await bulkhead.batches()]
        ledger = await bulkhead._resources.ledger(write=True)
        await ledger.update_batch(batch.batch_id, account=f"{batch.account}x")
    nights.write(west="2")
    await nights.run()
    assert "another license key" in nights.notices["reviews_not_collected"]


async def test_tracking_without_an_id_takes_all_batches_that_wait(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    second = await left_open(nights, west="2")
    nights.write(north="3")
    await nights.run()
    await nights.finish_review(first, "east.csv")
    async with nights.bulkhead() as bulkhead:
        outcomes = await bulkhead.track_all()
    assert [(one.batch.batch_id, one.exit_code) for one in outcomes] == [
        (first.batch.batch_id, ExitCode.OK), (second.batch.batch_id, ExitCode.NEEDS_REVIEW),
    ]  # fmt: skip


async def test_tracking_without_an_id_ends_with_the_first_batch_that_the_vendor_does_not_answer_for(
    nights: InboxNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await left_open(nights, east="1")
    await left_open(nights, west="2")

    async def unanswered(_bulkhead: Bulkhead, batch_id: str) -> BatchOutcome:
        assert batch_id == first.batch.batch_id
        return replace(first, exit_code=ExitCode.TRY_AGAIN, outage="the vendor has not answered since 02:10")

    monkeypatch.setattr(Bulkhead, "track", unanswered)
    nights.events.clear()
    async with nights.bulkhead() as bulkhead:
        (outcome,) = await bulkhead.track_all()
    assert outcome.exit_code is ExitCode.TRY_AGAIN
    assert "batches not tracked: 1 more" in nights.notices["not_tracked"]


async def test_tracking_without_an_id_takes_the_newest_batch_if_nothing_waits(nights: InboxNights) -> None:
    nights.write(east="1")
    first = await nights.run()
    async with nights.bulkhead() as bulkhead:
        (outcome,) = await bulkhead.track_all()
    assert (outcome.batch.batch_id, outcome.exit_code) == (first.batch.batch_id, ExitCode.OK)


async def test_reviews_are_listed_oldest_first_over_all_batches_or_one(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    second = await left_open(nights, west="2")
    async with nights.bulkhead() as bulkhead:
        assert [review.source for review in await bulkhead.reviews()] == ["east.csv", "west.csv"]
        (review,) = await bulkhead.reviews(second.batch.batch_id)
    assert (review.source, review.why) == ("west.csv", "No header row.")
    assert first.batch.batch_id != second.batch.batch_id


async def test_a_plan_names_the_open_reviews_of_its_source_and_collects_nothing(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    await nights.finish_review(first, "east.csv")
    async with nights.bulkhead() as bulkhead:
        plan = await bulkhead.plan(nights.spec())
        (item,) = [item async for item in bulkhead.items(first.batch.batch_id)]
    assert [(review.source, review.batch_id) for review in plan.earlier_reviews] == [("east.csv", first.batch.batch_id)]
    assert item.state is S.NEEDS_REVIEW


async def test_a_dismissed_review_ends_as_failed_and_changes_no_exit_code_on_any_night(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    async with nights.bulkhead() as bulkhead:
        batch, (was,) = await bulkhead.dismiss(reason="the customer  left\n")
        item = await anext(bulkhead.items(batch.batch_id))
    assert (batch.batch_id, was.state) == (first.batch.batch_id, S.NEEDS_REVIEW)
    assert (item.state, item.error_code, item.error_message) == (
        S.FAILED, "review_dismissed", "dismissed: the customer left",
    )  # fmt: skip
    assert lines(first)["east.csv"]["error_code"] == "review_dismissed"
    summary = json.loads((Path(first.out) / "summary.json").read_text())
    assert (summary["exit_code"], summary["state"]) == (0, "complete")
    for options in ({}, {"again": True}, {"retry_failed": True}):
        later = await nights.run(**options)
        assert (later.exit_code, later.by_state) == (ExitCode.OK, {S.SKIPPED: 1})
    assert nights.creates == 1


async def test_a_dismissed_review_that_is_finished_anyway_is_collected_by_track(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    async with nights.bulkhead() as bulkhead:
        await bulkhead.dismiss(reason="not needed")
        still = await bulkhead.track(first.batch.batch_id)
    assert (still.exit_code, still.by_state) == (ExitCode.OK, {S.FAILED: 1})
    await nights.finish_review(first, "east.csv")
    async with nights.bulkhead() as bulkhead:
        outcome = await bulkhead.track(first.batch.batch_id)
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 1})


async def dismissed(nights: InboxNights, *files: str) -> list[BatchOutcome]:
    """A night for each file, whose review is dismissed after it."""
    outcomes = []
    for name in files:
        outcomes.append(await left_open(nights, **{name: name}))
        async with nights.bulkhead() as bulkhead:
            await bulkhead.dismiss(reason="nobody answers")
    return outcomes


async def calls(nights: InboxNights) -> tuple[int, int]:
    """How many lists and retrieves the vendor has answered."""
    counters = await nights.box.counters()
    return counters["list_calls"], sum(counters["polls"].values())


async def test_tracking_without_an_id_collects_a_dismissed_review_that_somebody_finished(
    nights: InboxNights,
) -> None:
    first, second = await dismissed(nights, "east", "west")
    nights.write(north="3")
    await nights.run()
    await nights.finish_review(first, "east.csv")
    async with nights.bulkhead() as bulkhead:
        (outcome,) = await bulkhead.track_all()
        items = {item.source: item async for item in bulkhead.items(second.batch.batch_id)}
    assert (outcome.batch.batch_id, outcome.by_state) == (first.batch.batch_id, {S.COLLECTED: 1})
    assert (items["west.csv"].state, items["west.csv"].error_code) == (S.FAILED, "review_dismissed")
    assert lines(first)["east.csv"]["state"] == "collected"


async def test_dismissed_reviews_cost_one_list_and_no_retrieve_and_track_has_nothing_new(nights: InboxNights) -> None:
    *_, newest = await dismissed(nights, "east", "west", "south")
    lists, retrieves = await calls(nights)
    async with nights.bulkhead() as bulkhead:
        (outcome,) = await bulkhead.track_all()
    assert await calls(nights) == (lists + 2, retrieves)
    assert (outcome.batch.batch_id, outcome.exit_code) == (newest.batch.batch_id, ExitCode.OK)


async def test_a_dismissed_review_is_looked_for_only_some_weeks(
    nights: InboxNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dismissed(nights, "east")
    nights.write(west="2")
    await nights.run()
    lists, _ = await calls(nights)
    monkeypatch.setattr(dismissing, "LOOKED_FOR", timedelta(0))
    async with nights.bulkhead() as bulkhead:
        await bulkhead.track_all()
    assert (await calls(nights))[0] == lists + 1


async def test_a_vendor_that_does_not_answer_about_dismissed_reviews_is_a_notice(
    nights: InboxNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unanswered(Tracker):
        async def list_once(self) -> None:
            raise Unavailable("the API answered 503")

    await dismissed(nights, "east")
    monkeypatch.setattr("runner.local.dismissed.Tracker", Unanswered)
    nights.events.clear()
    async with nights.bulkhead() as bulkhead:
        (outcome,) = await bulkhead.track_all()
    assert outcome.exit_code == ExitCode.OK
    assert "the API answered 503" in nights.notices["dismissed_not_checked"]


async def test_a_stop_while_dismissed_reviews_are_looked_for_tracks_no_batch(
    nights: InboxNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await dismissed(nights, "east")
    bulkheads: list[Bulkhead] = []

    class Stopped(Tracker):
        async def list_once(self) -> None:
            bulkheads[0].stop()
            await asyncio.Event().wait()

    monkeypatch.setattr("runner.local.dismissed.Tracker", Stopped)
    lists, _ = await calls(nights)
    async with nights.bulkhead() as bulkhead:
        bulkheads.append(bulkhead)
        (outcome,) = await bulkhead.track_all()
        status = await bulkhead.status(first.batch.batch_id)
    assert (outcome.exit_code, (await calls(nights))[0]) == (ExitCode.OK, lists)
    assert status.batch.state is BatchState.COMPLETE


async def test_a_run_collects_a_dismissed_review_of_its_source_that_somebody_has_finished(nights: InboxNights) -> None:
    (first,) = await dismissed(nights, "east")
    await nights.finish_review(first, "east.csv")
    nights.write(west="2")
    second = await nights.run()
    assert second.exit_code == ExitCode.OK
    assert lines(first)["east.csv"]["state"] == "collected"
    assert "east.csv" in nights.notices["reviews_collected"]


async def test_a_failed_file_that_is_dismissed_is_not_reported_again_until_it_changes(nights: InboxNights) -> None:
    nights.write(east="1", west="2")
    nights.end = failed("PARSE", "The file could not be parsed.")
    await nights.run()
    second = await nights.run()
    assert second.exit_code is ExitCode.ITEMS_FAILED
    async with nights.bulkhead() as bulkhead:
        _, items = await bulkhead.dismiss(match="east*", reason="known to be broken")
    assert [item.source for item in items] == ["east.csv"]
    nights.end = SUCCESS
    third = await nights.run()
    assert (third.exit_code, third.by_state) == (ExitCode.ITEMS_FAILED, {S.SKIPPED: 1, S.FAILED: 1})
    async with nights.bulkhead() as bulkhead:
        await bulkhead.dismiss(reason="this one, too")
    assert (await nights.run()).exit_code is ExitCode.OK
    nights.write(east="3")
    fifth = await nights.run()
    assert (fifth.exit_code, fifth.by_state) == (ExitCode.OK, {S.COLLECTED: 1, S.SKIPPED: 1})


async def test_a_failure_of_an_earlier_night_that_is_dismissed_is_in_that_nights_manifest_too(
    nights: InboxNights,
) -> None:
    nights.write(east="1")
    nights.end = failed("PARSE", "The file could not be parsed.")
    first = await nights.run()
    second = await nights.run()
    async with nights.bulkhead() as bulkhead:
        await bulkhead.dismiss(second.batch.batch_id, reason="the customer left")
        status = await bulkhead.status(first.batch.batch_id)
    assert (lines(first)["east.csv"]["error_code"], status.batch.exit_code) == ("dismissed", 0)
    assert lines(second)["east.csv"]["state"] == "skipped"


async def test_without_a_name_the_newest_batch_with_something_left_to_dismiss_is_taken(nights: InboxNights) -> None:
    first = await left_open(nights, east="1")
    second = await left_open(nights, west="2")
    async with nights.bulkhead() as bulkhead:
        named = [(await bulkhead.dismiss(reason="replaced"))[0].batch_id for _ in range(3)]
        assert not await bulkhead.reviews()
    assert named == [second.batch.batch_id, first.batch.batch_id, second.batch.batch_id]


async def test_a_dismissed_item_is_redriven_only_by_name(nights: InboxNights) -> None:
    nights.write(east="1", west="2")
    nights.end = failed("PARSE", "The file could not be parsed.")
    await nights.run()
    async with nights.bulkhead() as bulkhead:
        await bulkhead.dismiss(match="east*", reason="known to be broken")
        assert await bulkhead.redrive(states={S.FAILED}) == 1
        assert await bulkhead.redrive(states={S.FAILED}, match="east.csv") == 1


@pytest.mark.parametrize("reason", ["", " \n", "x" * 501])
async def test_a_dismissal_needs_a_reason(nights: InboxNights, reason: str) -> None:
    await left_open(nights, east="1")
    async with nights.bulkhead() as bulkhead:
        with pytest.raises(ConfigError, match="--reason must have 1 to 500 characters"):
            await bulkhead.dismiss(reason=reason)
        assert len(await bulkhead.reviews()) == 1


async def test_no_command_but_a_run_creates_a_ledger(nights: InboxNights) -> None:
    async with nights.bulkhead() as bulkhead:
        for command in (
            bulkhead.track(),
            bulkhead.track_all(),
            bulkhead.resume(),
            bulkhead.reviews(),
            bulkhead.redrive(states={S.FAILED}),
            bulkhead.dismiss(reason="not needed"),
            bulkhead.reconcile(fix=True),
        ):
            with pytest.raises(ConfigError, match="there is no ledger at"):
                await command
    assert not nights.settings.ledger_is_there
