"""Files that arrive: from the event to the manifest."""

from __future__ import annotations

from tests.acceptance.inbox import ROW_CANARY, rows
from tests.support.cloud.running import Cloud, rolling
from tests.support.cloud.stack import until

INVALID = f"Full Name,Email\n{ROW_CANARY},no address\n".encode()


def test_files_that_land_are_imported_and_their_batch_leaves_a_manifest(cloud: Cloud) -> None:
    files = cloud.land({f"plain/a {number}+ü.csv": rows(number) for number in range(5)})
    batch_id = rolling("plain")
    cloud.expect(batch_id, dict.fromkeys(files, "collected"))
    cloud.assert_imported(files, batch_id=batch_id)
    assert cloud.vendor.counters()["refused_create_times"] == []
    kept = {key.rpartition("/")[2] for key in cloud.stack.result_keys(f"batches/{batch_id}/")}
    assert {"manifest.jsonl", "manifest.csv", "summary.json"} <= kept


def test_a_review_that_a_person_finishes_ends_in_the_manifest(cloud: Cloud) -> None:
    files = cloud.land({"strict/bad.csv": INVALID, "strict/good.csv": rows(100)})
    batch_id = rolling("strict")
    cloud.expect(batch_id, {"strict/bad.csv": "needs_review", "strict/good.csv": "collected"})
    waiting = cloud.stack.manifest(batch_id)["strict/bad.csv"]
    assert waiting["review_url"].startswith(cloud.vendor.origin)

    cloud.vendor.finish_review(waiting["import_id"])
    cloud.expect(batch_id, dict.fromkeys(files, "collected"))
    cloud.assert_imported(files, batch_id=batch_id)


def test_a_key_that_is_written_again_is_imported_again_beside_the_first(cloud: Cloud) -> None:
    batch_id = rolling("twice")
    cloud.land({"twice/a.csv": rows(200)})
    cloud.expect(batch_id, {"twice/a.csv": "collected"})
    cloud.land({"twice/a.csv": rows(201)})
    until(lambda: list(cloud.states(batch_id).values()) == ["collected"] * 2)
    received = cloud.vendor.received()
    assert len(received) == 2
    assert all(len(import_ids) == 1 for import_ids in received.values())


def test_what_cannot_be_imported_is_rejected_with_its_reason(cloud: Cloud) -> None:
    cloud.land({"odd/empty.csv": b"", "odd/picture.png": b"\x89PNG", "odd/good.csv": rows(300)})
    batch_id = rolling("odd")
    cloud.expect(batch_id, {"odd/empty.csv": "rejected", "odd/picture.png": "rejected", "odd/good.csv": "collected"})
    manifest = cloud.stack.manifest(batch_id)
    assert all(manifest[source]["error_code"] for source in ("odd/empty.csv", "odd/picture.png"))
    assert len(cloud.vendor.received()) == 1
