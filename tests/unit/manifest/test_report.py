"""The page of a batch: what it shows, that nothing in it is taken for markup, and that it stays small."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import SinkFailed, StorageFull
from runner.ledger.memory import MemoryLedger
from runner.manifest import REPORT_HTML, Report, write_manifest, write_report
from runner.manifest.report import PAGE_BYTES, REVIEWS_MAX
from runner.models import BatchState, ItemState
from runner.problems.page import FILES_MAX, csp_hash
from runner.sinks import LocalSink
from runner.sources.spec import FAILED_TXT, REVIEW_TXT
from tests.support.report import (
    ID,
    NOW,
    QUOTA,
    START,
    Items,
    Page,
    S,
    batch_of,
    documents,
    failed,
    item,
    lossy,
    names_in,
    page_of,
    review,
    written,
)

EVIL = "a<script>alert(1)</script>\"'&\u202e\x1b[31m\x00{{ 7*7 }}\udcff.csv"
ALL_FILES = {"manifest.jsonl", "manifest.csv", "summary.json", REPORT_HTML, FAILED_TXT, REVIEW_TXT}


async def test_every_manifest_of_a_run_has_a_report_and_two_lists_beside_it(tmp_path: Path) -> None:
    report = await written(tmp_path, [failed("a.csv"), review("b.csv"), item("c.csv", row_count=3)])
    assert names_in(tmp_path) == ALL_FILES
    assert (tmp_path / FAILED_TXT).read_text() == "/data/inbox/a.csv\n"
    assert (tmp_path / REVIEW_TXT).read_text() == "/data/inbox/b.csv\n"
    assert list(report.notices()) == []


async def test_the_page_shows_counts_rows_creates_reasons_reviews_and_files() -> None:
    page = await page_of(
        failed("bad1.csv"),
        failed("bad2.csv"),
        item("empty.csv", S.REJECTED, error_code="empty", error_message="the file is empty (0 bytes)"),
        item("fine.csv", row_count=10, rows_in=10, created_at=START),
        lossy("lossy.csv"),
        review("look.csv"),
    )
    text = page.text
    assert "/data/inbox" in text
    assert "6 files, 1 h since 2026-11-27 20:00 UTC" in text
    assert "collected 2 needs review 1 failed 2 rejected 1" in text
    assert "rows in 20 rows out, in results 18 rows left out 2" in text
    assert "2 imports, at most 1 created in 1 min. The quota is far above: 20 in 1 min." in text
    assert "Failed: 2 files" in text
    assert "import_failed 2 files The workbook is damaged." in text
    assert "Open it in a spreadsheet program and save it again, or export it as CSV." in text
    assert "bulkhead run /data/inbox --files-from /data/out/failed.txt --retry-failed" in text
    assert "look.csv open for 2 days" in text
    assert page.links == ["https://app.dromo.io/review/1"]
    assert "Rejected locally: 1 file" in text
    assert "empty 1 file The file is empty (0 bytes)" in text
    assert "rows left out 1 file, 2 rows" in text


@pytest.mark.parametrize("refused_count", [0, 2])
async def test_the_page_sends_nobody_to_a_run_for_failed_files_that_only_a_redrive_sends_again(
    refused_count: int,
) -> None:
    held = [failed(f"held{number}.csv", "a row is lost", code="pack_unaccounted") for number in range(3)]
    page = await page_of(*held, *(failed(f"bad{number}.csv") for number in range(refused_count)))
    assert ("--retry-failed" in page.text) == (refused_count > 0)
    assert (
        f"3 files may be at the vendor, so no run sends them again: bulkhead redrive {ID} asks the vendor" in page.text
    )


async def test_the_page_says_it_of_one_file_that_may_be_at_the_vendor() -> None:
    page = await page_of(failed("held.csv", "a row is lost", code="pack_unaccounted"))
    assert f"1 file may be at the vendor, so no run sends it again: bulkhead redrive {ID} asks" in page.text
    assert "asks the vendor about it." in page.text


@pytest.mark.parametrize(("count", "again"), [(1, "1 file"), (2, "2 files")])
async def test_the_page_says_how_many_files_are_sent_again(count: int, again: str) -> None:
    page = await page_of(*(failed(f"bad{number}.csv") for number in range(count)))
    them = "it" if count == 1 else "them"
    assert f"failed.txt names {again}. Once the cause is fixed, send {them} again with" in page.text


async def test_the_page_counts_one_create_for_all_files_of_a_pack() -> None:
    packs = [("one", 40), ("two", 2)]
    members = [
        item(f"{name}{number:02}.csv", row_count=1, rows_in=1, created_at=START, pack_import_id=f"import of {name}")
        for name, count in packs
        for number in range(count)
    ]
    page = await page_of(*members, item("alone.csv", row_count=1, rows_in=1, created_at=START))
    assert "3 imports, at most 3 created in 1 min." in page.text


async def test_a_page_needs_no_script_and_loads_nothing() -> None:
    page = await page_of(failed("a.csv"), review("b.csv"), lossy("c.csv"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src '{csp_hash(page.style)}'; base-uri 'none'; form-action 'none'"
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    named = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in named if name in {"style", "src"} or name.startswith("on")}
    assert "url(" not in page.style
    assert "@import" not in page.style


async def test_a_page_is_for_dark_and_for_narrow_screens_and_every_class_has_a_style() -> None:
    states = [item(f"{state}.csv", state, error_code="c", error_message="m") for state in ItemState]
    page = await page_of(*states, failed("d.csv", code="review_dismissed"), lossy("l.csv"), review("r.csv"))
    assert "@media (prefers-color-scheme: dark)" in page.style
    assert "@media (max-width: 40rem)" in page.style
    assert ("viewport", "width=device-width, initial-scale=1") in {
        (meta.get("name"), meta.get("content")) for meta in page.all("meta")
    }
    used = {name for _, attributes in page.tags for name in (attributes.get("class") or "").split()}
    assert {"groups", "files", "bar", "chart", "reviews"} <= used
    assert not {name for name in used if f".{name}" not in page.style}


async def test_nothing_that_comes_from_outside_is_markup_or_moves_text() -> None:
    page = await page_of(
        failed(EVIL, EVIL, code=EVIL),
        item(f"2{EVIL}", S.REJECTED, error_code=EVIL, error_message=EVIL),
        item(f"3{EVIL}", S.NEEDS_REVIEW, review_url=EVIL, error_message=EVIL, schema_id=EVIL, created_at=START),
        item(f"4{EVIL}", S.FAILED, error_code="create_refused", schema_id=EVIL, error_message=EVIL),
        item(f"5{EVIL}", S.SKIPPED, earlier_state=S.FAILED, earlier_batch_id=f"b{EVIL[:20]}"),
        batch=batch_of(reason=EVIL, source_uri=f"memory://{EVIL}"),
    )
    assert not page.all("script")
    assert not page.all("a")
    assert "<script" not in page.html
    assert not re.search("[\x00\x1b\u202e\ud800-\udfff]", page.html)
    assert "49.csv" not in page.html
    assert "a<script>alert(1)</script>\"'&\\u202e\\x1b[31m\\x00{{ 7*7 }}\\udcff.csv" in page.text


TEXTS = st.text(st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=30)


@given(source=TEXTS, code=TEXTS, message=TEXTS, url=TEXTS, state=st.sampled_from(ItemState))
async def test_any_text_makes_a_page_that_a_parser_reads(
    source: str, code: str, message: str, url: str, state: ItemState
) -> None:
    one = item(source, state, error_code=code, error_message=message, review_url=url, schema_id=code)
    page = await page_of(one)
    assert not page.all("script")
    assert all(str(link).startswith(("http://", "https://")) for link in page.links)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "not a link, because review_hosts does not allow it: https[:]//evil.example",
        "https://",
        "https://[",
        "https://app.dromo.io/a b",
        "https://app.dromo.io/\u202e",
        "//app.dromo.io/review",
        "data:text/html,x",
        f"https://app.dromo.io/{'x' * 3000}",
    ],
)
async def test_only_addresses_of_web_pages_are_links(url: str) -> None:
    page = await page_of(review("a.csv", url=url))
    assert page.links == []
    assert url[:10] in page.text


async def test_a_review_without_an_address_says_so() -> None:
    assert "the vendor has not sent a review URL yet" in (await page_of(review("a.csv", url=None))).text


async def test_the_oldest_reviews_are_shown_first_and_the_newest_left_out() -> None:
    days = [(number * 7919) % (REVIEWS_MAX + 20) for number in range(REVIEWS_MAX + 20)]
    page = await page_of(*(review(f"{day:04}.csv", days=day + 0.5) for day in days))
    shown = re.findall(r"<li><a [^>]*>(\d+)\.csv</a> <span class=\"age\">open for ([^<]*)<", page.html)
    assert len(shown) == REVIEWS_MAX
    assert shown[0] == (f"{REVIEWS_MAX + 19:04}", f"{REVIEWS_MAX + 19} days")
    assert [name for name, _ in shown] == sorted((name for name, _ in shown), reverse=True)
    assert "Not shown: 20 more reviews; see manifest.csv." in page.text
    assert f"review.txt names {REVIEWS_MAX + 20} files" in page.text


async def test_the_table_has_the_worst_files_and_names_the_manifest_for_the_rest() -> None:
    fine = [item(f"b{number:05}.csv", row_count=1) for number in range(FILES_MAX)]
    page = await page_of(
        *fine,
        item("a.csv", S.QUEUED),
        failed("y.csv"),
        item("x.csv", S.REJECTED, error_code="empty", error_message="m"),
        item("u.csv", S.UNCERTAIN, error_code="create_in_doubt", error_message="m"),
        review("w.csv"),
        lossy("v.csv"),
        failed("z.csv"),
        failed("dismissed.csv", code="review_dismissed"),
    )
    table = page.html[page.html.index('<table class="files">') :]
    names = re.findall(r'<td class="path">([^<]*)', table)
    assert names[:8] == ["y.csv", "z.csv", "u.csv", "x.csv", "w.csv", "v.csv", "a.csv", "dismissed.csv"]
    assert names[8:] == [f"b{number:05}.csv" for number in range(FILES_MAX - 8)]
    assert "Not shown: 8 more files; see manifest.csv." in page.text


@pytest.mark.parametrize("letter", ['"', "\U0001f600"])
async def test_no_page_is_larger_than_5_mb_however_long_its_texts_are(letter: str) -> None:
    count, long = 1400, letter * 500
    items: list[Any] = [failed(f"{number}{long}", f"{'x' * (number % 60)}{long}") for number in range(count)]
    items += [review(f"r{number}{long}", url=f"https://a.example/{'&' * 1900}") for number in range(count)]
    page = await page_of(*items)
    size = len(page.html.encode())
    assert PAGE_BYTES / 2 < size <= PAGE_BYTES
    assert re.search(r"Not shown: [\d,]+ more files; see manifest\.csv\.", page.text)


async def test_dismissed_items_are_apart_from_failures() -> None:
    dismissed = failed("d.csv", "dismissed: the store has closed", code="review_dismissed")
    made = await documents(failed("f.csv"), dismissed)
    page = Page(made[REPORT_HTML].decode())
    assert "failed 1 dismissed 1" in page.text
    assert "Failed: 1 file" in page.text
    assert "Dismissed: 1 file" in page.text
    assert made[FAILED_TXT] == b"/data/inbox/f.csv\n"


async def test_like_failures_are_one_group_with_three_samples() -> None:
    page = await page_of(*(failed(f"{n}.csv", f"row {n} is too wide") for n in range(5)))
    assert "Failed: 5 files" in page.text
    assert "Row 0 is too wide" in page.text
    assert "0.csv, 1.csv, 2.csv and 2 more" in page.text


async def test_many_reasons_are_cut_and_the_page_says_so() -> None:
    page = await page_of(*(failed(f"{n}.csv", "x" * (n + 1)) for n in range(60)))
    assert "Not shown: 10 more reasons; see manifest.csv." in page.text


async def test_a_paused_batch_says_why_and_how_it_continues() -> None:
    batch = batch_of(state=BatchState.PAUSED, exit_code=10, reason="the time budget is used up")
    page = await page_of(item("a.csv", S.QUEUED), item("b.csv", S.CREATING), batch=batch)
    assert f"the time budget is used up bulkhead resume {ID} continues." in page.text
    assert "not finished 2" in page.text


async def test_an_item_that_functions_gave_up_is_shown_with_its_reason() -> None:
    stuck = item("a.csv", S.PROCESSING, error_code="dead_letter", error_message="the function ended")
    page = await page_of(stuck)
    assert "In trouble: 1 file" in page.text
    assert "Fix the cause, then queue it again with `bulkhead cloud redrive`." in page.text


async def test_a_batch_without_files_has_a_page() -> None:
    made = await documents(batch=batch_of(exit_code=0, reason=None))
    assert "There were no files to import." in made[REPORT_HTML].decode()
    assert made[FAILED_TXT] == b""


async def test_a_page_whose_source_is_unknown_names_no_command_to_send_files_again(tmp_path: Path) -> None:
    await written(tmp_path, [failed("#a.csv"), failed("b.csv")], batch_of(config='{"driver": "runner"}'))
    assert "--files-from" not in (tmp_path / REPORT_HTML).read_text()
    assert (tmp_path / FAILED_TXT).read_text() == "./#a.csv\nb.csv\n"


async def test_names_that_no_list_can_hold_are_counted(tmp_path: Path) -> None:
    report = await written(tmp_path, [failed("a\nb.csv"), failed("c\r.csv"), failed("d\udcff.csv"), failed("e.csv")])
    assert (tmp_path / FAILED_TXT).read_text() == "/data/inbox/e.csv\n"
    page = Page((tmp_path / REPORT_HTML).read_text())
    assert "failed.txt names 1 file, without 3 names that no list can hold." in page.text
    (notice,) = report.notices()
    assert notice.code == "names_left_out"
    assert "3 names" in notice.message
    assert FAILED_TXT in notice.message


@pytest.mark.parametrize("failing", [REPORT_HTML, FAILED_TXT, REVIEW_TXT])
@pytest.mark.parametrize("at", ["first", "later", "end"])
async def test_a_report_that_cannot_be_written_leaves_the_manifest_whole(tmp_path: Path, failing: str, at: str) -> None:
    class Sink(LocalSink):
        async def write(self, name: str, chunks: Any) -> str:
            if name == failing:
                if at != "first":
                    await anext(aiter(chunks))
                if at == "end":
                    async for _ in chunks:
                        pass
                raise SinkFailed("no room for reports")
            return await super().write(name, chunks)

    batch, long = batch_of(), "x" * 1000
    ledger: Any = Items(*(make(f"{n:04}{long}") for n in range(400) for make in (failed, review)))
    report = Report(batch, now=NOW, quota=QUOTA)
    await write_manifest(ledger, batch, Sink(tmp_path), exit_code=4, now=NOW, report=report)
    assert names_in(tmp_path) == ALL_FILES - {failing}
    (notice,) = report.notices()
    assert notice.code == "report_not_written"
    assert "no room for reports" in notice.message
    with pytest.raises(SinkFailed, match="no room"):
        await write_report(ledger, batch, Sink(tmp_path), Report(batch, now=NOW, quota=QUOTA))


async def test_a_manifest_that_cannot_be_written_leaves_no_report_of_another_state(tmp_path: Path) -> None:
    class Sink(LocalSink):
        async def write(self, name: str, chunks: Any) -> str:
            if name == "manifest.csv":
                raise StorageFull("full")
            return await super().write(name, chunks)

    batch = batch_of()
    ledger = MemoryLedger(now=lambda: START)
    await ledger.start_batch(batch)
    await ledger.add([failed("a.csv")])
    with pytest.raises(StorageFull):
        await write_manifest(
            ledger, batch, Sink(tmp_path), exit_code=4, now=NOW, report=Report(batch, now=NOW, quota=QUOTA)
        )
    assert not (tmp_path / REPORT_HTML).exists()


async def test_a_report_that_is_written_again_is_the_same(tmp_path: Path) -> None:
    items = [failed("a.csv"), review("b.csv"), lossy("c.csv"), item("d.csv", created_at=START + timedelta(hours=3))]
    await written(tmp_path, items)
    batch = batch_of()
    ledger = MemoryLedger(now=lambda: START)
    await ledger.start_batch(batch)
    await ledger.add(items)
    await write_report(ledger, batch, LocalSink(tmp_path / "again"), Report(batch, now=NOW, quota=QUOTA))
    for name in (REPORT_HTML, FAILED_TXT, REVIEW_TXT):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
