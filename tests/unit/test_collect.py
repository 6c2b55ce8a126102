"""Collecting: a cut download is repeated, a result that is none fails, trouble leaves the item for later."""

from __future__ import annotations

from runner.errors import ResultInvalid, Unavailable
from runner.models import CreateRequest, ItemState
from runner.options import RunOptions
from tests.support.bench import Bench
from tests.support.vloop import run_virtually

FILES = {"a.csv": b"x\n1\n"}


def test_a_cut_download_is_repeated_with_a_fresh_url() -> None:
    async def go() -> None:
        bench = Bench(FILES)
        bench.vendor.get_script.extend([Unavailable("cut"), Unavailable("cut")])
        await bench.run()
        assert await bench.states() == {"a.csv": "collected"}
        assert bench.vendor.calls.count("url") == 3

    run_virtually(go())


def test_what_is_no_result_fails_the_item_after_its_attempts() -> None:
    async def go() -> None:
        bench = Bench(FILES, options=RunOptions(collect_attempts=3))
        bench.vendor.get_script.extend([ResultInvalid("not an array")] * 3)
        await bench.run()
        assert (await bench.item("a.csv")).error_code == "result_invalid"

    run_virtually(go())


def test_trouble_that_lasts_leaves_the_item_succeeded_for_a_later_run() -> None:
    async def go() -> None:
        bench = Bench(FILES, options=RunOptions(collect_attempts=2))
        bench.vendor.get_script.extend([Unavailable("503")] * 2)
        result = await bench.run()
        assert await bench.states() == {"a.csv": "succeeded"}
        assert result.deferred == 1
        await bench.run()
        assert await bench.states() == {"a.csv": "collected"}
        assert len(bench.vendor.created) == 1

    run_virtually(go())


def test_a_result_that_is_gone_fails_the_item() -> None:
    async def go() -> None:
        bench = Bench(FILES)
        remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"), status="SUCCESSFUL")
        await bench.leave("a.csv", ItemState.SUCCEEDED, import_id=remote.import_id)
        bench.vendor.imports.clear()
        await bench.run()
        assert (await bench.item("a.csv")).error_code == "result_missing"

    run_virtually(go())
