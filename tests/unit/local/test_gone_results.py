"""Results that are gone: reconcile names them, a redrive lets the next run fetch them, nothing is imported twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner.errors import SinkFailed
from runner.events import Notice, ignore
from runner.local.gone_results import GoneResults
from runner.models import BatchState, ItemState
from runner.stages.transitions import Transitions
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n", "in/b.csv": b"x\n2\n"}


async def _gone(bench: Bench) -> GoneResults:
    transitions = Transitions(bench.ledger, clock=bench.clock, emit=ignore, by_state={})
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    return GoneResults(bench.ledger, batch, bench.sink, transitions=transitions, emit=bench.events.append)


async def _collected() -> Bench:
    bench = Bench(FILES)
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    return bench


async def test_a_result_that_is_no_longer_in_its_place_is_a_difference() -> None:
    bench = await _collected()
    assert await (await _gone(bench)).differences() == []
    del bench.sink.results["in/b.csv"]
    found = await (await _gone(bench)).differences()
    assert [(one.source, one.kind, one.fixed) for one in found] == [("in/b.csv", "result_gone", False)]
    assert found[0].detail.endswith("/results/in/b.csv.json")


async def test_results_that_cannot_be_looked_for_are_no_difference_but_a_notice() -> None:
    bench = await _collected()

    async def refused(_path: str) -> bool:
        raise SinkFailed("cannot look for out/results/a.csv.json: Permission denied")

    bench.sink.has = refused  # type: ignore[method-assign]
    bench.events.clear()
    assert await (await _gone(bench)).differences() == []
    assert [event.code for event in bench.events if isinstance(event, Notice)] == ["results_not_checked"]
    with pytest.raises(SinkFailed):
        await (await _gone(bench)).fetch_again(None)


async def test_gone_results_are_fetched_again_into_the_same_place_without_another_import() -> None:
    bench = await _collected()
    kept = dict(bench.sink.results)
    bench.sink.results.clear()
    assert await (await _gone(bench)).fetch_again("in/**") == 1
    assert await bench.states() == {"a.csv": "collected", "in/b.csv": "succeeded"}
    assert (await bench.batch()).state is BatchState.PAUSED
    await bench.run()
    assert await bench.states() == {"a.csv": "collected", "in/b.csv": "collected"}
    assert bench.sink.results == {"in/b.csv": kept["in/b.csv"]}
    assert len(bench.vendor.created) == 2


async def test_a_run_never_looks_for_results_that_were_moved_away() -> None:
    bench = await _collected()
    bench.sink.results.clear()
    await bench.run()
    assert not bench.sink.results
    assert bench.vendor.calls.count("url") == 2


async def test_a_result_that_the_vendor_no_longer_has_leaves_its_item_held() -> None:
    bench = await _collected()
    del bench.sink.results["a.csv"]
    await (await _gone(bench)).fetch_again(None)
    bench.vendor.imports.clear()
    began = bench.clock.now()
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.is_held) == (ItemState.FAILED, "result_missing", True)
    assert bench.clock.now() - began >= timedelta(minutes=5)
    await bench.run_later()
    skipped = await bench.ledger.item("later", "a.csv")
    assert skipped is not None
    assert skipped.state is ItemState.SKIPPED
    assert len(bench.vendor.created) == 2


async def test_a_result_that_a_newer_version_has_replaced_is_not_gone() -> None:
    bench = await _collected()
    bench.source.files["a.csv"] = b"x\n3\n"
    await bench.run_later(shares_out=True)
    newer = await bench.ledger.item("later", "a.csv")
    assert newer is not None
    assert (newer.state, newer.result) == (ItemState.COLLECTED, "results/a.csv.json")
    bench.sink.results.clear()
    assert [one.source for one in await (await _gone(bench)).differences()] == ["in/b.csv"]
