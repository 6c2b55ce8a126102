"""Loads that an operator starts, and those that the clock starts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.acceptance.inbox import rows
from tests.support.cloud.running import Cloud

FILES = 200
OTHERS = 801
"""Other objects, which the configuration excludes: with them the listing has more than one page of 1000 keys."""


def test_two_hundred_files_of_a_load_are_each_imported_once(cloud: Cloud, tmp_path: Path) -> None:
    contents = {f"{'abc'[number % 3]}/{number:03}.csv": rows(number) for number in range(1000, 1000 + FILES)}
    others = {f"b/{number:04}.part": b"-" for number in range(OTHERS)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: cloud.stack.land(f"nightly/load/{one[0]}", one[1]), (contents | others).items()))
    bulkhead = cloud.command(tmp_path)
    started = bulkhead("cloud", "start", f"s3://{cloud.stack.inbox}/nightly/load/", "--name", "mass", "--json").expect(
        0
    )
    batch_id = started.document["batch_id"]
    cloud.expect(batch_id, dict.fromkeys(contents, "collected"), within_s=400)
    cloud.assert_imported(contents, batch_id=batch_id)
    cloud.assert_quota_kept()
    assert sum("page listed" in message for message in cloud.stack.log("ListPrefix")) > 1

    status = bulkhead("cloud", "status", batch_id, "--json").expect(0).document
    assert status["by_state"]["collected"] == FILES
    summary = cloud.stack.summary(batch_id)
    assert summary is not None
    assert summary["by_state"]["collected"] == FILES


def test_a_load_that_the_clock_starts_ends_in_a_manifest(cloud: Cloud) -> None:
    contents = {f"{number}.csv": rows(number) for number in range(1300, 1303)}
    for name, content in contents.items():
        cloud.stack.land(f"nightly/clock/{name}", content)
    uri = f"s3://{cloud.stack.inbox}/nightly/clock/"
    at = "2026-07-23T02:00:00Z"
    for _ in range(2):
        cloud.stack.send("List", f'{{"kind": "start_load", "uri": "{uri}", "name": "nightly", "at": "{at}"}}')
    (batch_id,) = cloud.batches_of("nightly-20260723")
    cloud.expect(batch_id, dict.fromkeys(contents, "collected"))
    cloud.assert_imported(contents, batch_id=batch_id)
    cloud.stack.forget("Load")
