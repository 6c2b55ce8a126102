"""The notifier listens to a run and never changes it: one message for each occasion, and a notice if that fails."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.config.notify_values import Occasion
from runner.config.settings import Settings
from runner.errors import SourceNotFound
from runner.events import BatchFinished, BatchStarted, ItemMoved, ManifestWritten, OutageBegan, OutageEnded
from runner.models import BatchState, ItemState
from runner.notify import Notifier
from runner.notify.message import Message
from tests.support.notified import running_receivers

STARTED = BatchStarted(batch_id="b-1", source_uri="file:///in", out="/out", resumed=False, by_state={}, slots_free=1)
WRITTEN = ManifestWritten(batch_id="b-1", out="/out", summary={"batch_id": "b-1", "exit_code": 0})
DONE = BatchFinished(batch_id="b-1", state=BatchState.COMPLETE, by_state={"collected": 1}, exit_code=0, reason="done")
OUTAGE = "vendor unreachable since 02:14: refused"
LOST = replace(DONE, state=BatchState.PAUSED, exit_code=5, reason=OUTAGE)
BEGAN = OutageBegan(since=datetime(2026, 7, 1, tzinfo=UTC), reason="refused", message=OUTAGE)
ENDED = OutageEnded(message="the vendor answers again")
MOVED = ItemMoved(source="a", old=ItemState.NEEDS_REVIEW, new=ItemState.COLLECTED, reason="x", import_id=None)


def keep(notices: list[str]) -> Callable[[str, str], None]:
    return lambda text, output: notices.append(text + output)


class Fake:
    """A service that keeps what it gets, and does what a test says."""

    def __init__(self, label: str = "Fake", act: Callable[[], str | None] = lambda: None) -> None:
        self.label = label
        self.got: list[Message] = []
        self._act = act

    @property
    def titles(self) -> list[str]:
        return [message.title.removeprefix("Bulkhead: ") for message in self.got]

    def send(self, message: Message) -> str | None:
        self.got.append(message)
        return self._act()


@pytest.fixture
def open_gate() -> Iterator[threading.Event]:
    """A gate for services that hang until the end of a test."""
    gate = threading.Event()
    yield gate
    gate.set()


async def told(*events: Any, **given: Any) -> tuple[list[str], list[str]]:
    """Return the titles that a service got, and the notices."""
    service, notices = Fake(), []
    notifier = Notifier([service], tell=keep(notices), **given)
    for event in events:
        notifier.take(event)
    await notifier.drained()
    return service.titles, notices


async def test_the_end_of_a_batch_is_one_message() -> None:
    assert await told(STARTED, MOVED, WRITTEN, DONE) == (["batch finished with exit code 0"], [])


@pytest.mark.parametrize(
    ("occasions", "count"),
    [((), 0), ((Occasion.PAUSED,), 0), ((Occasion.NEEDS_REVIEW,), 1), ((Occasion.FINISHED, Occasion.NEEDS_REVIEW), 1)],
)
async def test_people_choose_what_they_are_told_of(occasions: tuple[Occasion, ...], count: int) -> None:
    reviews = replace(DONE, state=BatchState.SETTLED, exit_code=6, by_state={"needs_review": 1})
    titles, _ = await told(STARTED, reviews, occasions=occasions)
    assert len(titles) == count


async def test_reviews_of_earlier_batches_are_open_reviews_too() -> None:
    written = replace(WRITTEN, summary={"earlier_review_count": 1})
    titles, _ = await told(STARTED, written, DONE, occasions=[Occasion.NEEDS_REVIEW])
    assert len(titles) == 1


async def test_an_outage_is_told_of_once_while_the_run_goes_on() -> None:
    titles, _ = await told(STARTED, BEGAN, WRITTEN, LOST)
    assert len(titles) == 2
    assert "cannot be reached" in titles[0]
    assert "paused with exit code 5" in titles[1]
    titles, _ = await told(STARTED, BEGAN, WRITTEN, LOST, occasions=[Occasion.UNREACHABLE])
    assert len(titles) == 1


async def test_a_second_outage_is_told_of_again_also_if_it_is_seen_only_at_the_end() -> None:
    titles, _ = await told(STARTED, BEGAN, ENDED, BEGAN, ENDED, LOST, occasions=[Occasion.UNREACHABLE])
    assert len(titles) == 3


async def test_an_outage_that_outlasts_a_batch_is_told_of_once_and_the_next_one_again() -> None:
    given = {"occasions": [Occasion.UNREACHABLE]}
    assert len((await told(STARTED, BEGAN, LOST, STARTED, BEGAN, LOST, **given))[0]) == 1
    assert len((await told(STARTED, BEGAN, LOST, STARTED, DONE, STARTED, BEGAN, **given))[0]) == 2


async def test_tracking_that_finds_nothing_new_is_silent_unless_it_could_not_track() -> None:
    assert await told(STARTED, WRITTEN, DONE, only_news=True, on_finish=["absent-program"]) == ([], [])
    titles, notices = await told(STARTED, MOVED, WRITTEN, DONE, STARTED, WRITTEN, LOST, only_news=True)
    assert titles == ["batch finished with exit code 0", "batch paused with exit code 5"]
    assert notices == []


async def test_an_error_is_told_of_unless_the_end_of_its_batch_was() -> None:
    service = Fake()
    notifier = Notifier([service], tell=print)
    notifier.failed(SourceNotFound("inbox does not exist"), "inbox does not exist", None, 3)
    await notifier.drained()
    assert service.titles == ["could not run, exit code 3"]
    notifier.take(STARTED)
    notifier.take(LOST)
    notifier.failed(RuntimeError(LOST.reason), "unexpected error", None, 1)
    await notifier.drained()
    assert service.titles[1:] == ["batch paused with exit code 5"]
    notifier.failed(RuntimeError("of another batch"), "of another batch", None, 7)
    await notifier.drained()
    assert service.titles[2:] == ["could not run, exit code 7"]


def boom() -> str:
    raise RuntimeError("https://hooks.example.com/canary-token")


async def test_services_that_fail_are_notices_with_their_names_and_the_others_are_notified() -> None:
    notices: list[str] = []
    last = Fake("C")
    notifier = Notifier([Fake("A", boom), Fake("B", lambda: "error 500"), last], tell=keep(notices))
    notifier.take(DONE)
    await notifier.drained()
    assert notices == ["A is not notified: unexpected error (RuntimeError)", "B is not notified: error 500"]
    assert len(last.got) == 1


async def test_a_service_that_never_answers_is_given_up(open_gate: threading.Event) -> None:
    notices: list[str] = []
    hanging = Fake("H", lambda: str(open_gate.wait()))
    notifier = Notifier([hanging, Fake()], tell=keep(notices), send_within_s=0.05)
    notifier.take(STARTED)
    notifier.take(BEGAN)
    notifier.take(DONE)
    await notifier.drained()
    assert notices == ["H is not notified: no answer within 1 s"] * 2
    assert not [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]


async def test_a_person_who_does_not_want_to_wait_skips_all(open_gate: threading.Event, tmp_path: Path) -> None:
    notices: list[str] = []
    notifier = Notifier(
        [Fake("H", lambda: str(open_gate.wait()))], tell=keep(notices), on_finish=["sh", "-c", "exec sleep 300"]
    )
    for event in (STARTED, WRITTEN, DONE, WRITTEN, DONE):
        notifier.take(event)
    await asyncio.sleep(0)
    notifier.skip()
    await notifier.drained()
    assert not notifier.is_busy
    assert sorted(notices) == [
        "H is not notified: it was skipped",
        "H is not notified: it was skipped",
        "on_finish: sh was ended, as you asked",
        "on_finish: sh was not run: it was skipped",
    ]


async def test_the_command_gets_the_summary_of_each_batch_one_after_the_other(tmp_path: Path) -> None:
    second = replace(WRITTEN, batch_id="b-2", summary={"batch_id": "b-2"})
    command = ["sh", "-c", f"cat >> {tmp_path}/got; echo end >> {tmp_path}/got"]
    titles, notices = await told(STARTED, WRITTEN, DONE, STARTED, second, DONE, on_finish=command)
    assert (len(titles), notices) == (2, [])
    first, other, rest = (tmp_path / "got").read_text().split("end\n")
    assert [json.loads(first)["batch_id"], json.loads(other)["batch_id"], rest] == ["b-1", "b-2", ""]


async def test_the_command_is_not_run_without_a_manifest() -> None:
    _, notices = await told(STARTED, WRITTEN, DONE, STARTED, DONE, on_finish=["true"])
    assert notices == ["on_finish: true was not run, because the manifest could not be written"]


async def test_the_title_says_that_a_run_was_in_the_sandbox() -> None:
    service = Fake()
    notifier = Notifier([service], tell=print, in_sandbox=True)
    notifier.take(DONE)
    await notifier.drained()
    assert service.got[0].title.startswith("Sandbox: Bulkhead: ")


def gone(_text: str, _output: str) -> None:
    raise BrokenPipeError


async def test_a_screen_that_is_gone_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier([Fake("A", boom)], tell=gone)
    notifier.take(DONE)
    await notifier.drained()
    del notifier
    assert not caplog.records


async def test_settings_say_whom_to_notify_and_what_to_run_and_the_key_stays_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "canary-license-key")
    notices: list[str] = []
    with running_receivers() as receivers:
        settings = Settings(
            license_key=SecretStr("canary-license-key"),
            notify_urls=(SecretStr(receivers.url("good")),),
            notify_on=(Occasion.PAUSED,),
            on_finish=("sh", "-c", f"env > {tmp_path}/env"),
        )
        notifier = await Notifier.of(settings, tell=keep(notices), options=" --ledger L")
        for event in (STARTED, WRITTEN, DONE, replace(LOST, reason="refused: canary-license-key")):
            notifier.take(event)
        await notifier.drained()
    (message,) = receivers.got["good"]
    assert message["message"].endswith("refused: ***\nReport: /out/report.html\nNext: bulkhead resume b-1 --ledger L")
    assert notices == []
    assert "canary" not in (tmp_path / "env").read_text()


async def test_a_library_user_gives_it_to_bulkhead_as_a_listener(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("name\nAda\n")
    service, notices = Fake(), list[str]()
    got = tmp_path / "got.json"
    notifier = Notifier([service], tell=keep(notices), on_finish=["sh", "-c", f"cat > {got}"])
    async with Bulkhead(settings, on_event=notifier.take) as bulkhead:
        spec = RunSpec(source=source_spec(str(tmp_path / "in")), routes=Routes.single(schema_id="customers"))
        outcome = await bulkhead.run(spec)
    await notifier.drained()
    assert notices == []
    assert service.titles == ["batch finished with exit code 0"]
    assert outcome.batch.batch_id in service.got[0].body
    assert got.read_bytes() == (Path(outcome.out) / "summary.json").read_bytes()
