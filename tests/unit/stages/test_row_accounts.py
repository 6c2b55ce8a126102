"""What a run knows of rows that the vendor has left out: with the item, in its history, and in totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.config.options import RowLossLimit, RunOptions
from runner.config.routes import Route, Routes
from runner.dromo.row_metadata import rows_of
from runner.errors import ImportNotFound, RateLimited, RequestInvalid, Unavailable
from runner.events import ItemMoved
from runner.masking import FORMS
from runner.models import RemoteImport
from runner.row_counts import LeftOutReason, RowTotals
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}
EMAIL = {"type": "VALIDATION", "fieldKey": "mail", "message": "This is not an email address.", "value": "secret cell"}
LOSSY = {"totalRows": 10, "invalidRows": 9, "errors": [{**EMAIL, "rowIndex": row} for row in range(9)]}
INLINE = ({"key": "mail", "type": "email", "invalidValueMessage": "No!"}, {"key": "id"})


def telling(bench: Bench, metadata: Any, *, after: Callable[[], None] = lambda: None) -> Bench:
    """Let the vendor say this about the rows of each import when it is retrieved; its results have one row."""
    usual = bench.vendor.retrieve

    async def retrieve(import_id: str) -> RemoteImport:
        bench.vendor.change(import_id, rows=rows_of(metadata, FORMS))
        after()
        found = await usual(import_id)
        bench.vendor.change(import_id, rows=None)
        return found

    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    return bench


async def reasons(metadata: Any, *, routes: Routes | None = None) -> tuple[LeftOutReason, ...] | None:
    bench = telling(Bench(FILES) if routes is None else Bench(FILES, routes=routes), metadata)
    await bench.run()
    return (await bench.item("a.csv")).left_out_reasons


async def last_reason(bench: Bench) -> str:
    return (await bench.ledger.history(BATCH_ID, "a.csv"))[-1].reason


async def test_rows_that_the_vendor_drops_are_counted_with_their_rule_and_never_a_cell() -> None:
    bench = telling(Bench(FILES), LOSSY)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.rows_in, item.row_count, item.rows_left_out) == (10, 1, 9)
    assert item.left_out_reasons == (LeftOutReason("email", "mail", 9),)
    assert await last_reason(bench) == "result saved; 9 of 10 rows left out"
    moved = next(event for event in bench.events if isinstance(event, ItemMoved) and event.new == "collected")
    assert (moved.row_count, moved.rows_in, moved.rows_left_out) == (1, 10, 9)
    assert await bench.ledger.row_totals(BATCH_ID) == RowTotals(
        file_count=1, known_count=1, row_count=1, rows_in=10, rows_left_out=9, lossy_count=1
    )
    assert "secret" not in repr(item)


@pytest.mark.parametrize(
    "metadata",
    [
        None, [], "9", {}, {"totalRows": None}, {"totalRows": "10"}, {"totalRows": 10.5}, {"totalRows": True},
        {"totalRows": -1}, {"totalRows": 10**30}, {"validRows": 3},
    ],
)  # fmt: skip
async def test_without_a_usable_number_of_rows_the_loss_is_unknown(metadata: Any) -> None:
    bench = telling(Bench(FILES), metadata)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.rows_in, item.rows_left_out, item.left_out_reasons) == ("collected", None, None, None)
    totals = await bench.ledger.row_totals(BATCH_ID)
    assert (totals.unknown_count, totals.document()["rows_left_out"]) == (1, None)
    assert await last_reason(bench) == "result saved"


@pytest.mark.parametrize("error", [Unavailable("503"), ImportNotFound("gone"), RequestInvalid("no")])
async def test_a_vendor_that_cannot_be_asked_costs_no_result(error: Exception) -> None:
    def refuse() -> None:
        raise error

    bench = telling(Bench(FILES), LOSSY, after=refuse)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.rows_left_out, item.attempts) == ("collected", None, 1)


async def test_a_lost_answer_is_asked_for_again() -> None:
    answers = [Unavailable("503"), Unavailable("503")]

    def flaky() -> None:
        if answers:
            raise answers.pop()

    bench = telling(Bench(FILES), LOSSY, after=flaky)
    await bench.run()
    assert (await bench.item("a.csv")).rows_left_out == 9


@pytest.mark.parametrize("error", [RateLimited("429", retry_after_s=60.0), Unavailable("503")])
async def test_a_vendor_that_answers_no_retrieve_does_not_slow_a_run_down_item_by_item(error: Exception) -> None:
    bench = Bench({f"{number}.csv": b"%d" % number for number in range(60)})

    async def retrieve(_import_id: str) -> RemoteImport:
        raise error

    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert bench.clock.ticks() < 300


async def test_rows_are_known_again_once_the_vendor_answers_retrieves() -> None:
    bench = telling(Bench({f"{number}.csv": b"%d" % number for number in range(60)}), LOSSY)
    usual = bench.vendor.retrieve

    async def retrieve(import_id: str) -> RemoteImport:
        if bench.clock.ticks() < 30:
            raise RateLimited("429", retry_after_s=10.0)
        return await usual(import_id)

    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    await bench.run()
    totals = await bench.ledger.row_totals(BATCH_ID)
    assert totals.known_count >= 40


async def test_more_rows_than_the_vendor_read_are_no_loss() -> None:
    bench = telling(Bench(FILES), {"totalRows": 0, "errors": LOSSY["errors"]})
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.rows_left_out, item.left_out_reasons) == (0, ())


@pytest.mark.parametrize(
    ("total", "phrase"),
    [
        (10, "result saved; 9 of 10 rows left out; hooks may have removed rows"),
        (0, "result saved; hooks may have added rows"),
        (1, "result saved"),
    ],
)
async def test_hooks_that_may_change_the_number_of_rows_are_named(total: int, phrase: str) -> None:
    routes = Routes([Route(name="r", match="**", schema_id="s1", hooks={"beforeFinishCallback": "() => {}"})])
    bench = telling(Bench(FILES, routes=routes), {"totalRows": total, "invalidRows": 0})
    await bench.run()
    assert await last_reason(bench) == phrase
    expected = (LeftOutReason("hooks", None, 9),) if total == 10 else ()
    assert (await bench.item("a.csv")).left_out_reasons == expected


async def test_column_hooks_remove_no_rows() -> None:
    routes = Routes([Route(name="r", match="**", schema_id="s1", hooks={"columnHooks": []})])
    assert await reasons({"totalRows": 10, "validRows": 10}, routes=routes) == (LeftOutReason("other", None, 9),)


async def test_a_message_of_the_schema_has_its_rule_and_an_unknown_field_has_no_name() -> None:
    errors = [{"fieldKey": "mail", "message": "No!", "rowIndex": 1}, {"fieldKey": "a cell", "message": "?"}]
    routes = Routes([Route(name="r", match="**", fields=INLINE)])
    found = await reasons({"totalRows": 10, "errors": errors}, routes=routes)
    assert found == (LeftOutReason("other", None, 1), LeftOutReason("type", "mail", 1))


async def test_ten_reasons_are_kept_the_most_common_first() -> None:
    errors = [{"field": f"f{n}", "rule": "unique", "rowIndex": row} for n in range(20) for row in range(n + 1)]
    found = await reasons({"totalRows": 1000, "errors": errors})
    assert found is not None
    assert [(one.field, one.count) for one in found] == [(f"f{n}", n + 1) for n in range(19, 9, -1)]


async def test_a_row_counts_once_for_a_rule_of_a_field_and_no_rule_has_more_rows_than_are_left_out() -> None:
    twice = [{**EMAIL, "rowIndex": 4}, {**EMAIL, "rowIndex": 4}]
    assert await reasons({"totalRows": 10, "errors": twice}) == (LeftOutReason("email", "mail", 1),)
    many = [{**EMAIL, "rowIndex": row} for row in range(50)]
    assert await reasons({"totalRows": 3, "errors": many}) == (LeftOutReason("email", "mail", 2),)


@pytest.mark.parametrize("limit", [RowLossLimit(count=15), RowLossLimit(percent=50)])
async def test_too_many_rows_left_out_pause_the_batch_and_a_resume_counts_from_zero(limit: RowLossLimit) -> None:
    options = RunOptions(row_loss_limit=limit, uploads=1, collects=1)
    bench = telling(Bench({f"{n:02}.csv": b"%d" % n for n in range(45)}, options=options), LOSSY)
    await bench.run()
    assert bench.stop.reason is StopReason.TOO_MANY_ROWS_LOST
    assert "rows are left out of results" in bench.stop.detail
    counts = await bench.ledger.counts(BATCH_ID)
    assert counts["collected"] < 45
    await bench.run()
    assert (await bench.ledger.counts(BATCH_ID))["collected"] > counts["collected"]


@pytest.mark.parametrize(
    ("limit", "files", "lost", "read", "reached"),
    [
        (RowLossLimit(count=3), 1, 3, 5, True),
        (RowLossLimit(count=3), 100, 2, 500, False),
        (RowLossLimit(percent=10), 19, 50, 100, False),
        (RowLossLimit(percent=10), 20, 10, 100, True),
        (RowLossLimit(percent=10), 20, 9, 100, False),
        (RowLossLimit(percent=10), 20, 0, 0, False),
        (RowLossLimit(), 99, 99, 99, False),
    ],
)
def test_a_limit_counts_rows_or_takes_a_share_of_those_of_twenty_files(
    limit: RowLossLimit, files: int, lost: int, read: int, reached: bool
) -> None:
    assert limit.is_reached(RowTotals(file_count=files, rows_in=read, rows_left_out=lost)) is reached
