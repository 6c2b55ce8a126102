"""Files that land: from the event to the manifest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.acceptance.inbox import ROW_CANARY, rows
from tests.support.cloud.running import Cloud
from tests.support.cloud.stack import until

INVALID = f"Full Name,Email\n{ROW_CANARY},no address\n".encode()


def rolling(folder: str) -> str:
    """The batch of what lands in a folder today."""
    return f"landed-{datetime.now(UTC):%Y%m%d}-{folder}"


def landed(cloud: Cloud, files: dict[str, bytes]) -> dict[str, bytes]:
    for key, content in files.items():
        cloud.stack.land(key, content)
    return files


def states(cloud: Cloud, batch_id: str) -> dict[str, str]:
    return {source: line["state"] for source, line in cloud.stack.manifest(batch_id).items()}


def all_are(cloud: Cloud, batch_id: str, wanted: dict[str, str]) -> Callable[[], bool]:
    return lambda: states(cloud, batch_id) == wanted


def account(cloud: Cloud, batch_id: str) -> Callable[[], Any]:
    """What to show where a batch does not come to its end."""
    return lambda: (states(cloud, batch_id), cloud.stack.depths(), {f: m[-8:] for f, m in cloud.stack.logs().items()})


def test_files_that_land_are_imported_and_their_batch_leaves_a_manifest(cloud: Cloud) -> None:
    files = landed(cloud, {f"plain/a {number}+ü.csv": rows(number) for number in range(5)})
    batch_id = rolling("plain")
    until(all_are(cloud, batch_id, dict.fromkeys(files, "collected")), what=account(cloud, batch_id))
    cloud.assert_imported(files, batch_ids=[batch_id])
    assert cloud.vendor.counters()["refused_create_times"] == []
    kept = {key.rpartition("/")[2] for key in cloud.stack.result_keys(f"batches/{batch_id}/")}
    assert {"manifest.jsonl", "manifest.csv", "summary.json"} <= kept


def test_a_review_that_a_person_finishes_ends_in_the_manifest(cloud: Cloud) -> None:
    files = landed(cloud, {"strict/bad.csv": INVALID, "strict/good.csv": rows(100)})
    batch_id = rolling("strict")
    wanted = {"strict/bad.csv": "needs_review", "strict/good.csv": "collected"}
    until(all_are(cloud, batch_id, wanted), what=account(cloud, batch_id))
    waiting = cloud.stack.manifest(batch_id)["strict/bad.csv"]
    assert waiting["review_url"].startswith(cloud.vendor.origin)

    cloud.vendor.finish_review(waiting["import_id"])
    until(all_are(cloud, batch_id, dict.fromkeys(files, "collected")), what=account(cloud, batch_id))
    cloud.assert_imported(files, batch_ids=[batch_id])


def test_a_key_that_is_written_again_is_imported_again_beside_the_first(cloud: Cloud) -> None:
    batch_id = rolling("twice")
    for number in (200, 201):
        landed(cloud, {"twice/a.csv": rows(number)})
        until(lambda number=number: len(states(cloud, batch_id)) == number - 199, what=account(cloud, batch_id))
    until(lambda: set(states(cloud, batch_id).values()) == {"collected"}, what=account(cloud, batch_id))
    received = cloud.vendor.received()
    assert len(received) == 2
    assert all(len(import_ids) == 1 for import_ids in received.values())


def test_what_cannot_be_imported_is_rejected_with_its_reason(cloud: Cloud) -> None:
    landed(cloud, {"odd/empty.csv": b"", "odd/picture.png": b"\x89PNG", "odd/good.csv": rows(300)})
    batch_id = rolling("odd")
    wanted = {"odd/empty.csv": "rejected", "odd/picture.png": "rejected", "odd/good.csv": "collected"}
    until(all_are(cloud, batch_id, wanted), what=account(cloud, batch_id))
    manifest = cloud.stack.manifest(batch_id)
    assert all(manifest[source]["error_code"] for source in ("odd/empty.csv", "odd/picture.png"))
    assert len(cloud.vendor.received()) == 1
