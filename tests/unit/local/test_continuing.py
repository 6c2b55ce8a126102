"""A run that continues an unfinished batch of its source: what of its options applies, and what is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.errors import ConfigError
from runner.events import BatchStarted, Event, Notice
from runner.local.continuing import Selection
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import FILTERED_OUT, BatchState, ItemState
from runner.stages.transitions import Transitions
from tests.support.bench import BATCH_ID, Bench
from tests.support.sandbox import LICENSE_KEY, RunningSandbox

FILES = ("a.csv", "b.csv", "c.csv", "keep/d.csv")
_S = ItemState


class Place:
    """An inbox, and runs over it that share a ledger."""

    def __init__(self, box: RunningSandbox, root: Path) -> None:
        self._url = box.base_url
        self.root = root
        self.inbox = root / "in"
        self.events: list[Event] = []
        self._quotas = 0
        for source in FILES:
            (self.inbox / source).parent.mkdir(parents=True, exist_ok=True)
            (self.inbox / source).write_text(f"name\n{source}\n")

    def spec(self, **options: Any) -> RunSpec:
        own = {name: options.pop(name) for name in ("again", "out") if name in options}
        return RunSpec(
            source=source_spec(str(self.inbox), **options), routes=Routes.single(schema_id="customers"), **own
        )

    async def run(self, spec: RunSpec, **settings: Any) -> BatchOutcome:
        """Run with the whole create quota free."""
        self._quotas += 1
        self.events.clear()
        given = Settings(
            api_url=self._url,
            license_key=SecretStr(LICENSE_KEY),
            ledger=self.root / "ledger.db",
            quota_store=self.root / f"quota-{self._quotas}" / "quota.db",
            **settings,
        )
        async with Bulkhead(given, on_event=self.events.append) as bulkhead:
            return await bulkhead.run(spec)

    async def half(self, spec: RunSpec) -> BatchOutcome:
        """Run until one file is sent and the time is over."""
        paused = await self.run(spec, create_quota=Rate(1, 3600.0), max_duration=0.4, uploads=1)
        assert paused.exit_code is ExitCode.OUT_OF_TIME
        assert paused.by_state[_S.QUEUED] == len(FILES) - 1
        return paused

    def notices(self) -> dict[str, str]:
        return {event.code: event.message for event in self.events if isinstance(event, Notice)}

    def lines(self, outcome: BatchOutcome) -> dict[str, dict[str, Any]]:
        lines = [orjson.loads(line) for line in (Path(outcome.out) / "manifest.jsonl").read_bytes().splitlines()]
        return {line["source"]: line for line in lines}


@pytest.fixture
def place(box: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(box, tmp_path)


async def test_a_run_that_continues_a_batch_says_which_and_how_much_is_queued(place: Place) -> None:
    paused = await place.half(place.spec())
    finished = await place.run(place.spec())
    at = f"{paused.batch.started_at.astimezone():%H:%M}"
    assert place.notices()["continuing_batch"] == f"continuing batch {paused.batch.batch_id} of {at}, 3 items queued"
    assert isinstance(place.events[0], BatchStarted)
    assert finished.by_state == {_S.COLLECTED: 4}


async def test_a_run_that_starts_a_batch_says_nothing_of_continuing(place: Place) -> None:
    await place.run(place.spec())
    assert "continuing_batch" not in place.notices()


@pytest.mark.parametrize(
    "filters", [{"exclude": ["b.csv"]}, {"include": ["[!b].csv", "keep/**"]}], ids=["exclude", "include"]
)
async def test_items_that_todays_filters_leave_out_are_not_sent_and_a_later_run_takes_them(
    box: RunningSandbox, place: Place, filters: dict[str, list[str]]
) -> None:
    await place.half(place.spec())
    finished = await place.run(place.spec(**filters))
    assert finished.by_state == {_S.COLLECTED: 3, _S.SKIPPED: 1}
    assert finished.exit_code is ExitCode.OK
    line = place.lines(finished)["b.csv"]
    assert (line["state"], line["error_code"]) == ("skipped", FILTERED_OUT)
    assert "1 item" in place.notices()[FILTERED_OUT]
    assert len((await box.counters())["created_ids"]) == 3

    later = await place.run(place.spec())
    assert later.batch.batch_id != finished.batch.batch_id
    assert later.by_state == {_S.COLLECTED: 1, _S.SKIPPED: 3}
    assert place.lines(later)["b.csv"]["state"] == "collected"


async def test_a_file_younger_than_todays_min_age_is_left_to_a_later_run(place: Place) -> None:
    old = time.time() - 3600
    for source in FILES:
        os.utime(place.inbox / source, (old, old))
    await place.half(place.spec())
    (place.inbox / "c.csv").write_text("name\nbeing written\n")
    finished = await place.run(place.spec(min_age_s=600.0))
    assert place.lines(finished)["c.csv"]["error_code"] == FILTERED_OUT
    os.utime(place.inbox / "c.csv", (old, old))
    later = await place.run(place.spec(min_age_s=600.0))
    assert place.lines(later)["c.csv"]["state"] == "collected"


async def test_a_run_with_wider_filters_takes_what_an_earlier_one_left_out_of_the_same_batch(place: Place) -> None:
    paused = await place.half(place.spec())
    left = await place.run(place.spec(exclude=["b.csv"]), create_quota=Rate(1, 3600.0), max_duration=0.4, uploads=1)
    assert left.exit_code is ExitCode.OUT_OF_TIME
    assert place.lines(left)["b.csv"]["state"] == "skipped"
    finished = await place.run(place.spec())
    assert finished.batch.batch_id == paused.batch.batch_id
    assert finished.by_state == {_S.COLLECTED: 4}
    assert place.lines(finished)["b.csv"]["error_code"] is None


async def test_a_queued_file_that_is_gone_is_rejected_and_not_filtered_out(place: Place) -> None:
    await place.half(place.spec())
    (place.inbox / "b.csv").unlink()
    finished = await place.run(place.spec(exclude=["b.csv"]))
    assert place.lines(finished)["b.csv"]["error_code"] == "not_found"


async def test_todays_limits_apply_to_a_batch_that_is_continued(place: Place) -> None:
    await place.half(place.spec())
    again = await place.run(place.spec(), create_quota=Rate(1, 3600.0), max_duration=0.4, uploads=1)
    assert (again.exit_code, again.by_state[_S.QUEUED]) == (ExitCode.OUT_OF_TIME, 2)
    assert again.state is BatchState.PAUSED


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"out": "elsewhere"}, "--out"),
        ({"order_by": "size"}, "--order-by"),
    ],
)
async def test_what_cannot_change_is_refused_with_the_option_and_the_next_command(
    box: RunningSandbox, place: Place, options: dict[str, Any], named: str
) -> None:
    paused = await place.half(place.spec())
    with pytest.raises(ConfigError, match=named) as refused:
        await place.run(place.spec(**options))
    assert f"bulkhead resume {paused.batch.batch_id}" in (refused.value.hint or "")
    assert len((await box.counters())["created_ids"]) == 1
    assert (await place.run(place.spec())).by_state == {_S.COLLECTED: 4}


async def test_again_is_refused_once_the_batch_has_skipped_unchanged_files(place: Place) -> None:
    await place.run(place.spec(include=["a.csv"]))
    paused = await place.run(place.spec(), create_quota=Rate(1, 3600.0), max_duration=0.4, uploads=1)
    assert paused.by_state[_S.SKIPPED] == 1
    with pytest.raises(ConfigError, match="--again"):
        await place.run(place.spec(again=True))


@pytest.mark.virtual_time
async def test_only_items_without_an_import_can_be_filtered_out() -> None:
    bench = Bench({f"{state}.csv": str(state).encode() for state in _S})
    for number, state in enumerate((_S.CREATED, _S.PROCESSING, _S.SUCCEEDED, _S.NEEDS_REVIEW)):
        await bench.leave(f"{state}.csv", state, import_id=f"import-{number}")
    await bench.leave("creating.csv", _S.CREATING)
    bench.source.left_out = set(bench.source.files)
    transitions = Transitions(
        bench.ledger, clock=bench.clock, emit=bench.events.append, by_state=await bench.ledger.counts(BATCH_ID)
    )
    selection = Selection(BATCH_ID, ledger=bench.ledger, source=bench.source, transitions=transitions)
    assert await selection.apply(bench.stop)
    states = await bench.states()
    assert states.pop("creating.csv") == "skipped"
    assert {source.removesuffix(".csv"): state for source, state in states.items()} == {
        str(state): str(state) for state in (_S.CREATED, _S.PROCESSING, _S.SUCCEEDED, _S.NEEDS_REVIEW)
    }
