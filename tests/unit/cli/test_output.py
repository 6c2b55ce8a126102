"""What a run shows: progress, the summary at the end, and the JSON events."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.cells import cell_len
from rich.console import Console

from runner.cli.json_output import dismissed_document, findings_document, plain, review_document
from runner.cli.ndjson import JsonEvents
from runner.cli.progress import Notices, ScreenProgress, live_view, plain_line, showing
from runner.cli.progress_state import ProgressState
from runner.cli.review_tables import print_open_reviews, print_tracked
from runner.cli.summary import RunSummary, next_commands, print_summary
from runner.cli.tables import print_differences, print_findings, print_plan
from runner.cli.triage import LISTED_MOST, Triage, needing_a_person
from runner.config.units import Rate
from runner.events import (
    BatchFinished,
    BatchStarted,
    BytesUploaded,
    CreateAnswered,
    CreateThrottled,
    Event,
    ItemMoved,
    Notice,
    OutageBegan,
    OutageEnded,
)
from runner.findings import fail, ok, warn
from runner.formatting import counted, lasting, near, shown, sized, storable
from runner.local.outcome import BatchOutcome, ExitCode
from runner.local.plan import PackingPlan, Plan
from runner.local.reconcile import Difference, DifferenceKind
from runner.manifest.row_summary import RowSummary
from runner.models import FAILED_BEFORE, OPEN_STATES, Batch, BatchState, Deferral, Deferrals, Item, ItemState
from runner.reviews import EarlierReviews, OpenReview
from runner.row_counts import RowTotals
from runner.stages.earlier import HeldBack

S = ItemState
NOW = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, markup=False, emoji=False, highlight=False)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def item(source: str, state: ItemState, **fields: object) -> Item:
    return Item(batch_id="b1", source=source, state=state, **fields)  # type: ignore[arg-type]


def triage_of(*items: Item) -> Triage:
    found = Triage()
    for one in items:
        found.take(one)
    return found


def outcome(state: BatchState = BatchState.SETTLED, **by_state: int) -> BatchOutcome:
    batch = Batch(
        batch_id="20260723-101502-k3f9x2",
        source_uri="file:///in",
        account="acc",
        out="/out",
        config="{}",
        started_at=NOW,
        state=state,
    )
    counts = {S(name): count for name, count in by_state.items()}
    return BatchOutcome(
        batch=batch, by_state=counts, exit_code=ExitCode.ITEMS_FAILED, reason="2 items failed", out="/out"
    )


def summary(found: Triage | None = None, *, options: str = "", **by_state: int) -> str:
    to = console()
    unfinished = RunSummary(outcome=outcome(**by_state), triage=found or Triage(), elapsed_s=41.2, options=options)
    print_summary(to, unfinished)
    return written(to)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (41, "41 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (33120, "9 h 12 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_show_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (12_340_000, "12.3 MB"),
        (2e18, "2000.0 PB"),
    ],
)
def test_sizes_are_decimal(count: float, text: str) -> None:
    assert sized(count) == text


def test_counts_agree_with_their_noun() -> None:
    assert [counted(1, "item"), counted(1204, "item")] == ["1 item", "1,204 items"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain name.csv", "plain name.csv"),
        ("\x1b[31mred\n.csv", "\\x1b[31mred\\n.csv"),
        ("a\u202egnp.csv", "a\\u202egnp.csv"),
        ("bytes\udcff.csv", "bytes\\udcff.csv"),
        ("[bold]ünïcode.csv", "[bold]ünïcode.csv"),
    ],
)
def test_names_cannot_steer_a_terminal(name: str, text: str) -> None:
    assert shown(name) == text


def test_a_path_below_the_current_directory_is_shown_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(str(tmp_path / "out" / "manifest.csv")) == "out/manifest.csv"
    assert near("/elsewhere/manifest.csv") == "/elsewhere/manifest.csv"


def test_a_name_that_is_not_utf8_can_be_stored_as_json() -> None:
    assert storable("a\udcff.csv") == "a\\udcff.csv"


AT = datetime(2026, 7, 23, 10, 28, tzinfo=UTC)


def local(instant: datetime) -> str:
    return f"{instant.astimezone():%H:%M}"


def test_the_plain_line_holds_the_whole_state() -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0, now=lambda: AT)
    state.take(started(queued=60, collected=5))
    state.take(CreateAnswered(source="a", slots_free=20))
    state.take(BytesUploaded(source="a", count=12_300_000))
    assert plain_line(state) == (
        "0 s: 5 of 65 items; queued 60, collected 5; 12.3 MB uploaded; 60 creates left, 20 free now; "
        f"done after {local(AT + timedelta(minutes=2))}, in 2 min"
    )


def test_free_slots_are_known_before_the_first_create() -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0)
    state.take(started(queued=2))
    assert plain_line(state).endswith("2 creates left, 20 free now")


def test_all_numbers_of_creates_are_written_alike() -> None:
    state = ProgressState(quota=Rate(100_000, 60.0), ticks=lambda: 0.0)
    state.take(replace(started(queued=2000), slots_free=99_271))
    line = plain_line(state)
    assert "queued 2,000; " in line
    assert "2,000 creates left, 99,271 free now" in line


def test_an_outage_is_shown_until_the_vendor_answers_again() -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0)
    sentence = "vendor unreachable since 10:28: the API answered 503"
    state.take(OutageBegan(since=datetime(2026, 7, 23, 10, 28, tzinfo=UTC), reason="503", message=sentence))
    assert plain_line(state).endswith(sentence)
    to = console(terminal=True)
    to.print(live_view(state))
    assert sentence in written(to)
    state.take(OutageEnded(message="the vendor answers again"))
    assert "unreachable" not in plain_line(state)


def test_the_live_view_shows_states_and_outlook() -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0, now=lambda: AT)
    state.take(started(queued=60, needs_review=1))
    to = console(terminal=True)
    to.print(live_view(state))
    for part in ("b1", "1 of 61 items so far", "queued 60", "needs_review 1", "done after", "in 2 min"):
        assert part in written(to)


@pytest.mark.parametrize("width", [64, 80, 120])
def test_the_live_view_of_a_large_batch_fits_the_screen(width: int) -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0)
    state.take(replace(started(queued=87_655, collected=10_000, failed=2_345, skipped=1_000), batch_id="b" * 22))
    state.take(BytesUploaded(source="a", count=12_345_678_901))
    to = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    to.print(live_view(state))
    head, *lines = written(to).splitlines()
    assert "13,345 of 101,000 items so far 0 s" in head
    assert ("━" in head) is (width >= 80)
    assert all(line.startswith("  ") and cell_len(line.rstrip()) <= width for line in lines)


async def test_notices_are_shown_once_and_limited_creates_with_their_wait() -> None:
    to = console()
    async with showing(to, ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0)) as progress:
        for _ in range(3):
            progress.take(Notice(code="unreachable", message="the vendor cannot be reached"))
        progress.take(CreateThrottled(source="a.csv", wait_s=40.2))
    assert written(to).splitlines() == [
        "the vendor cannot be reached",
        "the vendor limits creates (429): all creates wait 41 s",
    ]


def test_creates_that_are_refused_at_the_same_time_are_one_line_until_one_is_answered() -> None:
    notices, refused = Notices(), CreateThrottled(source="a.csv", wait_s=41.0)
    sentence = notices.new_in(refused)
    assert sentence == "the vendor limits creates (429): all creates wait 41 s"
    assert notices.new_in(refused) is None
    assert notices.new_in(CreateAnswered(source="b.csv", slots_free=3)) is None
    assert notices.new_in(refused) == sentence


@pytest.mark.virtual_time
@pytest.mark.parametrize(("every_s", "count"), [(10.0, 3), (0.5, 69), (0.0, 0)])
async def test_without_a_terminal_a_line_is_written_every_so_often(every_s: float, count: int) -> None:
    to = console()
    async with showing(to, ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0), every_s=every_s):
        await asyncio.sleep(34.9)
    assert written(to).splitlines() == ["0 s: 0 of 0 items; nothing listed yet; 0 B uploaded"] * count


async def test_with_a_stamp_lines_and_notices_begin_with_it() -> None:
    to = console()
    async with showing(to, ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0), stamp=lambda: "17:42:03 ") as shown:
        shown.take(Notice(code="x", message="the vendor cannot be reached"))
    assert written(to) == "17:42:03 the vendor cannot be reached\n"


async def test_the_live_view_leaves_nothing_behind_but_what_was_said() -> None:
    to = console(terminal=True)
    async with showing(to, ProgressState(quota=Rate(20, 60.0), ticks=lambda: 0.0)) as progress:
        assert isinstance(progress, ScreenProgress)
        progress.say("stopping")
    assert "stopping" in written(to)


def test_the_summary_shows_only_states_that_have_items() -> None:
    text = summary(collected=9, failed=1)
    assert "Batch 20260723-101502-k3f9x2 finished after 42 s\n10 items: 9 collected, 1 failed\n" in text
    assert "collected            9" in text
    assert "queued" not in text


def test_the_summary_lists_reviews_with_their_urls() -> None:
    found = triage_of(
        item("eu.csv", S.NEEDS_REVIEW, review_url="https://app.example/review/1"), item("x.csv", S.NEEDS_REVIEW)
    )
    text = summary(found, needs_review=2)
    assert "  eu.csv\n    https://app.example/review/1\n" in text
    assert "  x.csv\n    the vendor has not sent a review URL yet\n" in text


def test_failures_that_differ_only_in_numbers_are_one_group() -> None:
    found = triage_of(
        item("a.csv", S.FAILED, error_code="import_failed", error_message="row 17 is too long"),
        item("b.csv", S.FAILED, error_code="import_failed", error_message="row 4 is too long"),
        item("c.csv", S.FAILED, error_code="import_failed", error_message="a hook threw"),
    )
    text = summary(found, failed=3)
    assert "Failed: 3 items, 2 reasons" in text
    assert "2x row 17 is too long\n          such as a.csv  [import_failed]" in text
    assert "1x a hook threw\n          c.csv  [import_failed]" in text


def test_on_a_terminal_a_long_reason_breaks_between_words() -> None:
    words = " ".join(["reason"] * 30)
    to = console(terminal=True)
    found = triage_of(item("a.csv", S.FAILED, error_message=words))
    print_summary(to, RunSummary(outcome=outcome(failed=1), triage=found, elapsed_s=1.0))
    lines = [line for line in written(to).splitlines() if "reason" in line and "reasons" not in line]
    assert len(lines) == 3
    assert all(set(line.removeprefix("       1x ").split()) == {"reason"} for line in lines)
    assert words in summary(found, failed=1)


def test_rejections_show_their_code() -> None:
    found = triage_of(item("a.csv", S.REJECTED, error_code="empty", error_message="the file is empty"))
    assert "1x the file is empty\n          a.csv  [empty]" in summary(found, rejected=1)


def test_a_long_list_shows_five_and_the_command_that_lists_all() -> None:
    many = [item(f"{n:03}.csv", S.NEEDS_REVIEW, review_url=f"https://r.example/{n}") for n in range(25)]
    text = summary(triage_of(*many), needs_review=len(many))
    assert "  … and 20 more: bulkhead reviews\n" in text
    assert "004.csv" in text
    assert "005.csv" not in text


def all_kinds() -> list[Item]:
    """10,000 items, of all kinds that need a person and of others, with failures for many reasons."""
    words = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(10_000)]
    kinds: list[dict[str, object]] = [
        {"state": S.COLLECTED},
        {"state": S.SKIPPED},
        {"state": S.NEEDS_REVIEW, "review_url": "https://app.example/review/" + "r" * 70},
        {"state": S.UNCERTAIN, "error_message": "two imports could be it " * 5},
        {"state": S.FAILED, "error_code": "import_failed"},
        {"state": S.FAILED, "error_code": "import_missing"},
        {"state": S.FAILED, "error_code": "dismissed"},
        {"state": S.REJECTED, "error_code": "empty"},
    ]
    named: list[Item] = []
    for n, word in enumerate(words):
        kind = {"error_message": f"the reason {word} " * 6} | kinds[n % len(kinds)]
        named.append(item(f"customers/{word}.csv", **kind))  # type: ignore[arg-type]
    return named


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("is_open", [True, False])
def test_the_end_of_ten_thousand_items_of_all_kinds_fits_on_the_smallest_screen(
    columns: int, terminal: bool, is_open: bool
) -> None:
    items = all_kinds()
    by_state = {str(state): sum(one.state is state for one in items) for state in S}
    if is_open:
        by_state |= {str(state): 7 for state in OPEN_STATES}
    reviews = EarlierReviews(count=900, first=tuple(open_review(f"{n}.csv") for n in range(20)))
    rows = RowTotals(
        file_count=1250,
        known_count=1250,
        row_count=5250,
        rows_in=5562,
        rows_left_out=312,
        lossy_count=41,
        empty_count=7,
    )
    ended = replace(
        outcome(**{name: count for name, count in by_state.items() if count}),
        dismissed_count=1250,
        earlier_reviews=reviews,
        held_back=HeldBack(unresolved=2, unresolved_in=frozenset({"n1", "n2"})),
        deferred=Deferrals(count=230, first=tuple(Deferral(source=f"{n}.csv", reason="late") for n in range(20))),
        rows=RowSummary(rows),
    )
    to = Console(
        file=io.StringIO(),
        width=columns,
        height=24,
        force_terminal=terminal,
        color_system=None,
        markup=False,
        emoji=False,
    )
    again = "bulkhead run data/inbox --config examples/bulkhead.toml"
    print_summary(to, RunSummary(outcome=ended, triage=triage_of(*items), elapsed_s=41.2, again=again))
    lines = written(to).splitlines()
    assert sum(max(1, -(-len(one) // columns)) for one in lines) <= 24
    starts = [next(at for at, one in enumerate(lines) if one.startswith(start)) for start in ENDING]
    assert starts == sorted(starts)
    assert all(one.startswith(("  bulkhead ", "    ")) for one in lines[starts[-1] + 1 :])
    assert "file://" not in written(to)


ENDING = ("Batch ", "10,0", "1,250 files, ", "Report: ", "Manifest: ", "Next")


def test_a_higher_screen_shows_more_of_each_kind() -> None:
    items = all_kinds()
    ended = outcome(**{str(state): count for state in S if (count := sum(one.state is state for one in items))})
    heights = []
    for height in (24, 40, 200):
        to = Console(file=io.StringIO(), width=120, height=height, force_terminal=True, color_system=None)
        print_summary(to, RunSummary(outcome=ended, triage=triage_of(*items), elapsed_s=1.0))
        heights.append(written(to).count("such as") + written(to).count("customers/"))
    assert heights == sorted(set(heights))


def test_the_number_of_failure_groups_that_are_kept_is_bounded() -> None:
    words = ("".join(chr(97 + int(digit)) for digit in str(n)) for n in range(3000))
    found = triage_of(*(item("a.csv", S.FAILED, error_message=word) for word in words))
    assert len(found.failed) <= 1001
    assert sum(group.count for group in found.failed.values()) == 3000


def test_markup_and_control_characters_in_names_and_messages_are_shown_as_they_are() -> None:
    found = triage_of(item("[red]\x1b[2J.csv", S.FAILED, error_message="bad [bold]cell[/] \x07"))
    text = summary(found, failed=1)
    assert "[red]\\x1b[2J.csv" in text
    assert "bad [bold]cell[/] \\x07" in text


def test_uncertain_items_send_a_person_to_the_dashboard() -> None:
    found = triage_of(item("a.json", S.UNCERTAIN, error_message="two imports could be it"))
    text = summary(found, uncertain=1)
    assert "Uncertain: 1 item might have been imported; check the vendor's dashboard first" in text
    assert "two imports could be it" in text


def test_the_next_commands_can_be_copied_with_the_options_they_need() -> None:
    found = triage_of(item("a.csv", S.FAILED, error_code="import_missing"))
    text = summary(found, options=" --ledger l.db", needs_review=1, failed=1)
    assert "  bulkhead track 20260723-101502-k3f9x2 --ledger l.db\n" in text
    assert "  bulkhead redrive 20260723-101502-k3f9x2 --state failed --ledger l.db\n" in text


REFUSED = {"error_code": "import_failed", "error_message": "damaged"}
IN_DOUBT = {"error_code": "import_missing", "error_message": "gone"}


@pytest.mark.parametrize(
    ("items", "commands"),
    [
        ([item("a.csv", S.REJECTED, error_code="empty")], ["again"]),
        ([item("a.csv", S.FAILED, **REFUSED)], ["again", "again --retry-failed"]),
        ([item("a.csv", S.FAILED, error_code=FAILED_BEFORE)], ["again", "again --retry-failed"]),
        ([item("a.csv", S.FAILED, **IN_DOUBT)], ["bulkhead redrive 20260723-101502-k3f9x2 --state failed"]),
        ([item("a.json", S.UNCERTAIN)], ["bulkhead redrive 20260723-101502-k3f9x2 --state uncertain"]),
        (
            [item("a.csv", S.FAILED, **REFUSED), item("b.csv", S.FAILED, **IN_DOUBT)],
            ["again", "again --retry-failed", "bulkhead redrive 20260723-101502-k3f9x2 --state failed"],
        ),
    ],
)
def test_a_redrive_is_only_a_next_step_for_items_that_it_can_help(items: list[Item], commands: list[str]) -> None:
    by_state = {str(one): [item.state for item in items].count(one) for one in {item.state for item in items}}
    ended = RunSummary(outcome=outcome(**by_state), triage=triage_of(*items), elapsed_s=1.0, again="again")
    assert [command for command, _ in next_commands(ended)] == commands


def test_after_a_missing_schema_nothing_is_proposed_that_would_ask_for_it_again() -> None:
    ended = replace(outcome(BatchState.PAUSED, queued=3), missing_schemas=("schema 'x' does not exist",))
    found = next_commands(RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0, again="bulkhead run in"))
    assert found == [
        ("bulkhead run in", "with another schema: correct --schema-id, or schema_id in bulkhead.toml, first")
    ]
    to = console()
    sandbox = ("bulkhead sandbox", "bulkhead run in --schema-id x")
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0, sandbox=sandbox))
    assert "--sandbox-schemas DIR" in written(to)
    assert "--fields FILE" in written(to)
    assert sandbox[1] not in written(to)


@pytest.mark.parametrize("by_state", [{}, {"skipped": 3}, {"needs_review": 1}])
def test_a_batch_that_was_stopped_before_its_files_were_listed_is_resumed_first(by_state: dict[str, int]) -> None:
    reviews = EarlierReviews(count=1, first=())
    stopped = replace(outcome(BatchState.INTERRUPTED, **by_state), earlier_reviews=reviews)
    commands = next_commands(RunSummary(outcome=stopped, triage=Triage(), elapsed_s=1.0))
    assert [command for command, _ in commands] == ["bulkhead resume 20260723-101502-k3f9x2"]


def test_sentences_of_the_end_screen_are_broken_between_words_on_a_narrow_terminal() -> None:
    to = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, markup=False, emoji=False)
    ended = replace(outcome(failed=1, skipped=1), exit_code=ExitCode.TRY_AGAIN, reason="a long reason " * 9)
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0))
    shown_lines = written(to).splitlines()
    assert max(map(len, shown_lines)) <= 80
    assert "    after you correct the schema in the dashboard: also sends unchanged files" in shown_lines


def test_a_run_that_found_no_file_names_what_to_look_at() -> None:
    to = console()
    print_summary(to, RunSummary(outcome=outcome(BatchState.COMPLETE), triage=Triage(), elapsed_s=1.0))
    assert "no items\nNo file was found; look at the source, and at --include" in written(to)


def test_a_run_that_stopped_before_it_looked_for_files_does_not_miss_them() -> None:
    to = console()
    print_summary(to, RunSummary(outcome=outcome(BatchState.PAUSED), triage=Triage(), elapsed_s=1.0))
    assert "No file was found" not in written(to)


def test_skipped_items_are_not_all_said_to_be_unchanged() -> None:
    to = console()
    print_summary(to, RunSummary(outcome=outcome(BatchState.COMPLETE, skipped=2), triage=Triage(), elapsed_s=1.0))
    assert "skipped              2   unchanged, or left out by filters; " in written(to)


def test_items_that_were_left_to_a_later_run_are_named_with_the_reason() -> None:
    first = tuple(Deferral(source=f"{number}.csv", reason=f"the url {number} expired") for number in range(30))
    ended = replace(outcome(BatchState.PAUSED, created=230), deferred=Deferrals(count=230, first=first))
    to = console()
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0))
    text = written(to)
    assert "Left to a later run: 230 items\n  0.csv\n    the url 0 expired\n" in text
    assert "… and 225 more: see summary.json" in text
    assert text.count(" expired") == 5


def test_an_item_that_the_first_sentence_names_is_not_named_again() -> None:
    deferred = Deferrals(count=1, first=(Deferral(source="a.csv", reason="the url expired"),))
    reason = "1 item did not finish: a.csv: the url expired; run again to continue with them"
    ended = replace(outcome(BatchState.PAUSED, created=1), reason=reason, deferred=deferred)
    to = console()
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0))
    assert written(to).count("the url expired") == 1


def test_batches_because_of_which_items_were_skipped_are_named_with_their_commands() -> None:
    held_back = HeldBack(unresolved=2, unresolved_in=frozenset({"n1", "n2"}))
    ended = replace(outcome(BatchState.COMPLETE, skipped=3), reason="2 items were skipped: why", held_back=held_back)
    to = console()
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0, options=" --ledger l.db"))
    text = written(to)
    assert "2 items were skipped: why" in text
    for command in ("reconcile n1", "reconcile n2"):
        assert f"\n  bulkhead {command} --ledger l.db\n" in text


def test_open_reviews_of_earlier_batches_are_named_with_age_batch_and_url_and_at_most_five() -> None:
    ended = outcome(BatchState.COMPLETE, collected=3)
    first = tuple(open_review(f"{number}.csv") for number in range(7))
    ended = replace(
        ended, exit_code=ExitCode.NEEDS_REVIEW, reason="7 reviews", earlier_reviews=EarlierReviews(count=9, first=first)
    )
    to = console()
    print_summary(to, RunSummary(outcome=ended, triage=Triage(), elapsed_s=1.0, options=" --ledger l.db"))
    text = written(to)
    assert "\n9 open reviews of earlier batches\n  0.csv  open for 2 d, batch n0\n    https://dromo.example/r\n" in text
    assert "\n  4.csv" in text
    assert "5.csv" not in text
    assert "\n  … and 4 more: bulkhead reviews\n" in text
    assert "\n  bulkhead track --ledger l.db\n" in text


def test_reviews_are_written_oldest_first_with_reason_and_page_and_superseded_ones_are_marked() -> None:
    to = console()
    found = [open_review("a.csv"), replace(open_review("b.csv"), is_superseded=True)]
    print_open_reviews(to, found, now=NOW)
    text = written(to)
    assert text.startswith("1 open review\n\n  a.csv\n    open for 2 d, schema s1, batch n0\n    No header row.\n")
    assert "\n  b.csv\n    superseded, open for 2 d" in text
    assert "\n1 review superseded: a newer version of the file was sent since\n" in text


def test_many_reviews_are_bounded_and_those_that_are_needed_come_first() -> None:
    to = console()
    old = [replace(open_review(f"old{number}.csv"), is_superseded=True) for number in range(100)]
    print_open_reviews(to, [*old, *(open_review(f"{number}.csv") for number in range(9_900))], now=NOW)
    text = written(to)
    assert text.startswith("9,900 open reviews\n\n  0.csv\n")
    assert "\n  49.csv\n" in text
    assert "\n  50.csv\n" not in text
    assert "\n  … and 9,950 more: --limit 10000, or --json for all\n" in text


def test_reviews_of_a_stack_name_its_own_commands() -> None:
    to = console()
    print_open_reviews(to, [open_review("a.csv")], now=NOW, options=" --stack s", group="cloud ")
    text = written(to)
    assert '\n  bulkhead cloud dismiss BATCH --match FILE --reason "…" --stack s\n' in text
    assert "track" not in text


def test_json_about_reviews_names_files_as_the_manifest_does() -> None:
    review = replace(open_review("a.csv"), source="caf\udce9\\.csv")
    assert review_document(review, NOW)["source"] == r"caf\xe9\\.csv"
    dismissed = dismissed_document("b1", [Item(batch_id="b1", source="caf\udce9.csv")])
    assert dismissed == {"batch_id": "b1", "dismissed": [r"caf\xe9.csv"]}


def test_tracking_without_news_is_one_line_for_one_batch_and_for_many() -> None:
    to = console()
    complete = replace(outcome(BatchState.COMPLETE, collected=3), exit_code=ExitCode.OK)
    print_tracked(to, [complete], 0, options="")
    assert written(to) == "tracked batch 20260723-101502-k3f9x2: nothing new; no review is open\n"
    to = console()
    both = [complete, outcome(BatchState.SETTLED, needs_review=2)]
    print_tracked(to, both, 3, options="")
    assert written(to).startswith("tracked 2 batches: collected 3 results; 2 reviews open\n")


def open_review(source: str) -> OpenReview:
    return OpenReview(
        batch_id="n0",
        source=source,
        schema_id="s1",
        import_id="i",
        review_url="https://dromo.example/r",
        why="No header row.",
        opened_at=NOW - timedelta(days=2),
    )


def test_an_unfinished_batch_is_first_of_all_resumed() -> None:
    unfinished = RunSummary(outcome=outcome(BatchState.PAUSED, queued=3, failed=1), triage=Triage(), elapsed_s=1.0)
    assert [command for command, _ in next_commands(unfinished)] == ["bulkhead resume 20260723-101502-k3f9x2"]


def test_after_the_embedded_sandbox_the_summary_says_how_to_keep_one() -> None:
    to = console()
    sandbox = ("bulkhead sandbox", "DROMO_LICENSE_KEY=any bulkhead run in --api-url http://127.0.0.1:8700/api/v1")
    found = triage_of(item("eu.csv", S.NEEDS_REVIEW, review_url="http://127.0.0.1:1/review/1"))
    print_summary(to, RunSummary(outcome=outcome(needs_review=1), triage=found, elapsed_s=1.0, sandbox=sandbox))
    text = written(to)
    assert "1 review: no longer available, because the sandbox has stopped" in text
    assert all(f"\n  {command}\n" in text for command in sandbox)
    assert "bulkhead track" not in text


def test_many_differences_end_with_a_pointer_to_the_json() -> None:
    to = console()
    one = Difference(source=None, import_id="i1", kind=DifferenceKind.ORPHAN, detail="an import without owner")
    print_differences(to, [one] * (LISTED_MOST + 3))
    assert written(to).count("an import without owner") == LISTED_MOST
    assert "… and 3 more: see --json" in written(to)


def test_the_commands_after_differences_name_the_batch() -> None:
    to = console()
    gone = Difference(source="a.csv", import_id="i1", kind=DifferenceKind.RESULT_GONE, detail="no longer there")
    print_differences(to, [gone], about=" b1 --ledger l.db")
    assert "`bulkhead redrive b1 --ledger l.db --results` fetches results that are gone" in written(to)
    assert "reconcile" not in written(to)


def test_checks_that_fail_show_what_to_do() -> None:
    to = console()
    bad = fail("license key", "refused", "set DROMO_LICENSE_KEY")
    print_findings(to, [ok("disk", "1 GB free"), bad, warn("key", "old", "replace it")])
    assert written(to).splitlines() == [
        "  ok    disk         1 GB free",
        "  FAIL  license key  refused",
        "        hint: set DROMO_LICENSE_KEY",
        "  warn  key          old",
        "        hint: replace it",
        "",
        "1 failure, 1 warning",
    ]


def test_the_documents_of_both_doctors_keep_their_keys() -> None:
    found = [ok("disk", "1 GB free"), fail("license key", "refused", "set DROMO_LICENSE_KEY")]
    assert orjson.dumps(plain(findings_document(found))) == (
        b'[{"name":"disk","ok":true,"detail":"1 GB free","hint":null,"level":"ok"},'
        b'{"name":"license key","ok":false,"detail":"refused","hint":"set DROMO_LICENSE_KEY","level":"fail"}]'
    )
    assert orjson.dumps(plain(found)) == (
        b'[{"name":"disk","level":"ok","detail":"1 GB free","hint":null},'
        b'{"name":"license key","level":"fail","detail":"refused","hint":"set DROMO_LICENSE_KEY"}]'
    )


def test_a_plan_says_how_long_the_creates_take_and_what_is_rejected() -> None:
    to = console()
    plan = Plan(
        items=63,
        by_route={"customers": 60, "orders": 1},
        rejected={"empty": 2},
        rejected_samples=[("a.csv", "empty", "the file is empty"), ("b.csv", "empty", "the file is empty")],
        skipped=0,
        too_young=1,
        creates=61,
        bytes=1000,
        finish_in_s=180.0,
    )
    print_plan(to, plan)
    text = written(to)
    assert "63 items, 61 imports to create, 1.0 kB\nthe quota allows the last import after 3 min\n" in text
    assert "Rejected: 2 items" in text
    assert "1 file changed too recently" in text


def a_packed_plan(files: int, packing: PackingPlan, **counts: Any) -> Plan:
    return Plan(
        items=files, by_route={"customers": files} if files else {}, rejected={}, rejected_samples=[], skipped=0,
        too_young=0, bytes=1000, packing=packing, **counts,
    )  # fmt: skip


def test_a_plan_with_packs_says_how_many_creates_they_save_and_why_files_travel_alone() -> None:
    to = console()
    packing = PackingPlan(
        packs=24,
        files=19_763,
        alone={"not_plain": 154, "column_dates": 83},
        alone_reasons={"not_plain": "The file is no plain table.", "column_dates": "The column decides its dates."},
        alone_finish_in_s=59_940.0,
    )
    print_plan(to, a_packed_plan(20_000, packing, creates=261, finish_in_s=780.0))
    text = written(to)
    assert "the quota allows the last import after 13 min\n" in text
    assert "19,763 files in 24 packs, 237 alone: 261 creates instead of 20,000, which would take 16 h 39 min\n" in text
    assert "  154 alone: The file is no plain table.\n  83 alone: The column decides its dates.\n" in text


def test_a_plan_without_anything_to_send_says_nothing_about_packs() -> None:
    to = console()
    packing = PackingPlan(packs=0, files=0, alone={}, alone_reasons={}, alone_finish_in_s=0.0)
    print_plan(to, a_packed_plan(0, packing, creates=0, finish_in_s=0.0))
    assert "alone" not in written(to)


@pytest.mark.parametrize(
    ("files", "packs", "sentence"),
    [
        (40, 0, "40 files in packs of an earlier run; all packs are sent"),
        (40, 1, "40 files in packs of an earlier run; 1 pack is still to be sent"),
        (1, 1, "1 file in packs of an earlier run; 1 pack is still to be sent"),
        (40, 2, "40 files in packs of an earlier run; 2 packs are still to be sent"),
    ],
)
def test_a_plan_counts_packs_of_an_earlier_run_that_are_still_to_be_sent_as_packs(
    files: int, packs: int, sentence: str
) -> None:
    to = console()
    packing = PackingPlan(packs=0, files=0, alone={}, alone_reasons={}, alone_finish_in_s=0.0)
    counts = {"packed_before": files, "packs_before": packs, "creates": packs, "finish_in_s": 0.0}
    print_plan(to, a_packed_plan(files, packing, **counts))
    assert sentence in written(to).splitlines()


async def test_what_needs_a_person_is_read_from_the_items_once() -> None:
    async def items() -> AsyncIterator[Item]:
        yield item("a.csv", S.FAILED)
        yield item("b.csv", S.COLLECTED)

    found = await needing_a_person(items())
    assert [group.message for group in found.failed.values()] == ["no error message"]


class Stream:
    """JSON events into memory, at times that the test sets."""

    def __init__(self) -> None:
        self.raw = io.BytesIO()
        self.time = NOW
        self.events = JsonEvents(now=lambda: self.time, stream=self.raw)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.raw.getvalue().splitlines()]


def started(**by_state: int) -> BatchStarted:
    return BatchStarted(
        batch_id="b1", source_uri="file:///in", out="out", resumed=False, by_state=by_state, slots_free=20
    )


def test_an_event_is_one_line_with_name_time_and_fields() -> None:
    stream = Stream()
    stream.events.take(started(queued=2))
    assert stream.lines() == [
        {
            "event": "batch_started",
            "at": "2026-07-23T10:15:02.000Z",
            "batch_id": "b1",
            "source_uri": "file:///in",
            "out": "out",
            "resumed": False,
            "by_state": {"queued": 2},
            "slots_free": 20,
        }
    ]


def test_names_that_are_not_utf8_do_not_break_the_stream() -> None:
    stream = Stream()
    stream.events.take(ItemMoved(source="a\udcff.csv", old=S.QUEUED, new=S.FAILED, reason="", import_id=None))
    assert stream.lines()[0]["source"] == "a\\udcff.csv"
    assert stream.lines()[0]["new"] == "failed"


def test_uploaded_bytes_are_summed_up_to_a_line_a_second() -> None:
    stream = Stream()
    for _ in range(10):
        stream.events.take(BytesUploaded(source="a.csv", count=100))
        stream.time += timedelta(seconds=0.3)
    finished: Event = BatchFinished(batch_id="b1", state=BatchState.COMPLETE, by_state={}, exit_code=0, reason="")
    stream.events.take(finished)
    counts = [line["count"] for line in stream.lines() if line["event"] == "bytes_uploaded"]
    assert len(counts) == 4
    assert sum(int(str(count)) for count in counts) == 1000
    assert stream.lines()[-1]["event"] == "batch_finished"


def test_an_error_is_an_event_too() -> None:
    stream = Stream()
    stream.events.error("another run holds the ledger", "wait for it", ExitCode.LEDGER_LOCKED)
    assert stream.lines()[0] == {
        "event": "error",
        "at": "2026-07-23T10:15:02.000Z",
        "message": "another run holds the ledger",
        "hint": "wait for it",
        "exit_code": 11,
    }


def test_a_reader_that_has_gone_does_not_stop_the_run() -> None:
    class Gone(io.BytesIO):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    events = JsonEvents(now=lambda: NOW, stream=Gone())
    events.take(started())
    events.take(started())
