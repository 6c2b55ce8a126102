"""The manifest's lines and summary: exact fields, valid UTF-8, nothing lost."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import LedgerCorrupt, StorageFull
from runner.ledger.memory import MemoryLedger
from runner.local.outcome import ExitCode
from runner.manifest import csv, jsonl, line, shown_name, summary, write_manifest
from runner.manifest.csv import csv_row
from runner.manifest.jsonl import json_line
from runner.models import Batch, BatchState, Deferral, Deferrals, Item, ItemState
from runner.row_counts import LeftOutReason
from runner.sinks import LocalSink

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
BATCH = Batch(
    batch_id="20260301-093000-abcdef",
    source_uri="file:///data/inbox",
    account="acc",
    out="out",
    config="{}",
    state=BatchState.SETTLED,
    started_at=START,
    finished_at=START + timedelta(seconds=90, microseconds=123456),
    counters={"creates": 3, "bytes_uploaded": 12},
)
FULL = Item(
    batch_id=BATCH.batch_id,
    source="in/a.csv",
    size_bytes=10,
    schema_id="s-1",
    state=ItemState.NEEDS_REVIEW,
    fingerprint="sha256:00",
    original_filename="a.~k3f9x2ab7q2mc.csv",
    status="NEEDS_REVIEW",
    attempts=2,
    import_id="i-1",
    review_url="https://review.example/r?token=t",
    error_code="c",
    error_message="m",
    row_count=7,
    result="results/in/a.csv.json",
    result_sha256="ab",
    created_at=datetime(2026, 3, 1, 11, 0, 0, 1999, tzinfo=timezone(timedelta(hours=1))),
    uploaded_at=START,
    finished_at=START,
    earlier_batch_id="20260228-093000-abcdef",
    earlier_import_id="i-0",
    earlier_state=ItemState.NEEDS_REVIEW,
    rows_in=9,
    left_out_reasons=(LeftOutReason("email", "mail", 2),),
)


async def stream(*items):
    for item in items:
        yield item


async def rendered(*items):
    return b"".join([chunk async for chunk in jsonl(stream(*items), BATCH)])


def read_back(shown):
    """Undo `shown_name`."""
    if not re.search(r"\\[xu\\]", shown):
        return shown

    def plain(found):
        text = found[0]
        return "\\" if text == "\\\\" else chr(int(f"0x{text[2:]}", 0) + (0xDC00 if text[1] == "x" else 0))

    return re.sub(r"\\\\|\\x..|\\u....", plain, shown)


def test_a_line_has_exactly_these_fields_in_this_order():
    assert list(line(FULL, BATCH).items()) == [
        ("source", "in/a.csv"),
        ("size_bytes", 10),
        ("fingerprint", "sha256:00"),
        ("schema_id", "s-1"),
        ("state", "needs_review"),
        ("status", "NEEDS_REVIEW"),
        ("import_id", "i-1"),
        ("original_filename", "a.~k3f9x2ab7q2mc.csv"),
        ("review_url", "https://review.example/r?token=t"),
        ("error_code", "c"),
        ("error_message", "m"),
        ("row_count", 7),
        ("result", "results/in/a.csv.json"),
        ("result_sha256", "ab"),
        ("attempts", 2),
        ("created_at", "2026-03-01T10:00:00.001Z"),
        ("uploaded_at", "2026-03-01T09:30:00.000Z"),
        ("finished_at", "2026-03-01T09:30:00.000Z"),
        ("batch_id", "20260301-093000-abcdef"),
        ("earlier_batch_id", "20260228-093000-abcdef"),
        ("earlier_import_id", "i-0"),
        ("earlier_state", "needs_review"),
        ("rows_in", 9),
        ("rows_left_out", 2),
        ("left_out_reasons", [{"rule": "email", "field": "mail", "count": 2}]),
        ("pack_id", None),
        ("pack_rows", None),
    ]


def test_a_member_of_a_pack_has_the_import_of_the_pack_and_its_rows_in_it():
    member = replace(FULL, import_id=None, pack="aaaaaaaaaaaaa", pack_row=41, pack_rows=5, pack_import_id="i-9")
    fields = line(member, BATCH)
    assert (fields["import_id"], fields["pack_id"], fields["pack_rows"]) == ("i-9", "aaaaaaaaaaaaa", (41, 45))
    assert json_line(fields).endswith(b'"pack_id":"aaaaaaaaaaaaa","pack_rows":[41,45]}\n')
    assert csv_row(fields.values()).endswith(b'"aaaaaaaaaaaaa","41-45"\r\n')


def test_what_is_absent_is_null():
    bare = line(Item(batch_id=BATCH.batch_id, source="a"), BATCH)
    assert {name for name, value in bare.items() if value is None} == set(bare) - {
        "source",
        "state",
        "attempts",
        "batch_id",
    }


async def test_lines_come_in_the_order_of_the_items_one_each():
    text = await rendered(*(replace(FULL, source=f"{number}") for number in range(1000)))
    assert [orjson.loads(one)["source"] for one in text.splitlines()] == [str(number) for number in range(1000)]
    assert text.endswith(b"}\n")


async def test_chunks_are_of_moderate_size():
    chunks = [chunk async for chunk in jsonl(stream(*[FULL] * 2000), BATCH)]
    assert len(chunks) > 10
    assert all(64 << 10 <= len(chunk) < 66 << 10 for chunk in chunks[:-1])


async def test_no_items_make_an_empty_manifest():
    assert await rendered() == b""


@given(source=st.text(st.characters()) | st.text(alphabet="\\xu09ae\udce9\ud800é/"), message=st.text(st.characters()))
async def test_any_text_makes_one_line_of_valid_utf_8_and_the_name_reads_back(source, message):
    text = await rendered(replace(FULL, source=source, error_message=message, status=message))
    assert text.decode("utf-8").count("\n") == 1
    found = orjson.loads(text)
    assert read_back(found["source"]) == source
    if not any("\ud800" <= character <= "\udfff" for character in message):
        assert found["error_message"] == message


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Müller.csv", "Müller.csv"),
        ("a\\b.csv", "a\\b.csv"),
        ("caf\udce9.csv", r"caf\xe9.csv"),
        (r"caf\xe9.csv", r"caf\\xe9.csv"),
        ("a\\b\udcff", r"a\\b\xff"),
        ("\ud83d.csv", r"\ud83d.csv"),
    ],
)
def test_a_name_is_escaped_only_where_it_has_to_be(name, shown):
    assert shown_name(name) == shown


def test_the_review_url_is_in_the_manifest_but_in_no_repr():
    assert line(FULL, BATCH)["review_url"] == FULL.review_url
    assert "token" not in repr(FULL)


def test_a_summary_has_exactly_these_fields_in_this_order():
    by_state = {ItemState.COLLECTED: 2, ItemState.NEEDS_REVIEW: 1}
    assert list(summary(BATCH, by_state, ExitCode.NEEDS_REVIEW, now=START).items()) == [
        ("batch_id", "20260301-093000-abcdef"),
        ("source", "file:///data/inbox"),
        ("state", "settled"),
        ("items", 3),
        ("by_state", {state.value: by_state.get(state, 0) for state in ItemState}),
        ("creates", 3),
        ("throttled", 0),
        ("list_calls", 0),
        ("retrieve_calls", 0),
        ("bytes_uploaded", 12),
        ("started_at", "2026-03-01T09:30:00.000Z"),
        ("finished_at", "2026-03-01T09:31:30.123Z"),
        ("duration_s", 90.123),
        ("exit_code", 6),
        ("reason", None),
        ("deferred_count", 0),
        ("deferred", []),
        ("row_count", 0),
        ("rows_in", 0),
        ("rows_left_out", 0),
        ("files_with_rows_left_out", 0),
        ("files_without_rows", 0),
        ("files_with_unknown_rows", 0),
        ("left_out_reasons", []),
        ("earlier_review_count", 0),
        ("earlier_reviews", []),
        ("packs", None),
    ]


def test_a_summary_names_deferred_items_with_their_reasons():
    first = (Deferral(source="caf\udce9.csv", reason="storage refuses"),)
    found = summary(BATCH, {}, 5, now=START, deferred=Deferrals(count=3, first=first))
    assert found["deferred_count"] == 3
    assert found["deferred"] == [{"source": "caf\\xe9.csv", "reason": "storage refuses"}]


def test_states_come_in_table_order_zero_included():
    assert list(summary(BATCH, {}, 0, now=START)["by_state"]) == [state.value for state in ItemState]


@given(by_state=st.dictionaries(st.sampled_from(list(ItemState)), st.integers(0, 10**6)))
def test_the_states_add_up_to_the_items(by_state):
    found = summary(BATCH, by_state, 0, now=START)
    assert sum(found["by_state"].values()) == found["items"]


def test_a_batch_that_has_not_ended_lasts_until_now():
    open_batch = replace(BATCH, finished_at=None)
    found = summary(open_batch, {}, None, now=START + timedelta(seconds=5))
    assert (found["finished_at"], found["duration_s"], found["exit_code"]) == (None, 5.0, None)
    assert summary(open_batch, {}, None, now=START - timedelta(seconds=5))["duration_s"] == 0.0


async def batch_of(*items):
    ledger = MemoryLedger(now=lambda: START)
    await ledger.start_batch(BATCH)
    await ledger.add(items)
    return ledger


async def test_a_manifest_is_three_files_and_the_summary_agrees_with_the_lines(tmp_path):
    states = [ItemState.COLLECTED, ItemState.FAILED, ItemState.NEEDS_REVIEW]
    ledger = await batch_of(
        *(Item(batch_id=BATCH.batch_id, source=f"{n}.csv", state=states[n % 3]) for n in (2, 0, 3, 1))
    )
    await write_manifest(ledger, BATCH, LocalSink(tmp_path), exit_code=ExitCode.ITEMS_FAILED, now=START)
    lines = [orjson.loads(one) for one in (tmp_path / "manifest.jsonl").read_bytes().splitlines()]
    assert [one["source"] for one in lines] == ["0.csv", "1.csv", "2.csv", "3.csv"]
    assert (tmp_path / "manifest.csv").read_bytes().count(b"\r\n") == 5
    totals = orjson.loads((tmp_path / "summary.json").read_bytes())
    assert totals["items"] == len(lines) == sum(totals["by_state"].values())
    assert totals["by_state"]["collected"] == 2
    assert totals["exit_code"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.csv", "manifest.jsonl", "summary.json"]


async def test_the_same_batch_makes_the_same_bytes(tmp_path):
    ledger = await batch_of(FULL, replace(FULL, source="b", import_id="i-2"))
    for folder in ("one", "two"):
        await write_manifest(ledger, BATCH, LocalSink(tmp_path / folder), exit_code=0, now=START)
    for name in ("manifest.jsonl", "manifest.csv", "summary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


async def test_the_summary_is_written_last():
    names = []

    class Sink:
        async def write(self, name, chunks):
            names.append(name)
            async for _ in chunks:
                pass
            return name

    await write_manifest(await batch_of(FULL), BATCH, Sink(), exit_code=0, now=START)
    assert names == ["manifest.jsonl", "manifest.csv", "summary.json"]


async def test_the_files_are_those_that_the_renderers_make(tmp_path):
    items = [replace(FULL, source=f"{n:04d}", import_id=f"i-{n}") for n in range(1000)]
    await write_manifest(await batch_of(*items), BATCH, LocalSink(tmp_path), exit_code=0, now=START)
    assert (tmp_path / "manifest.jsonl").read_bytes() == await rendered(*items)
    assert (tmp_path / "manifest.csv").read_bytes() == b"".join([chunk async for chunk in csv(stream(*items), BATCH)])


@pytest.mark.parametrize("failing", ["manifest.jsonl", "manifest.csv", "summary.json"])
async def test_a_full_disk_is_raised_as_such_and_no_part_of_a_file_stays(tmp_path, failing):
    class Sink(LocalSink):
        async def write(self, name, chunks):
            if name == failing:
                await anext(aiter(chunks))
                raise StorageFull("full")
            return await super().write(name, chunks)

    items = [replace(FULL, source=f"{n:04d}", import_id=f"i-{n}") for n in range(2000)]
    with pytest.raises(StorageFull):
        await write_manifest(await batch_of(*items), BATCH, Sink(tmp_path), exit_code=0, now=START)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == ({"manifest.jsonl", "manifest.csv"} if failing == "summary.json" else set())


async def test_trouble_with_the_ledger_leaves_the_earlier_manifest_alone(tmp_path):
    await write_manifest(await batch_of(FULL), BATCH, LocalSink(tmp_path), exit_code=0, now=START)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Broken(MemoryLedger):
        async def items(self, batch_id, *, states=None):
            for number in range(500):
                yield replace(FULL, source=str(number))
            raise LedgerCorrupt("damaged")

    with pytest.raises(LedgerCorrupt):
        await write_manifest(Broken(now=lambda: START), BATCH, LocalSink(tmp_path), exit_code=0, now=START)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
