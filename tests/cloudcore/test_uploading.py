"""A large file is uploaded by a function of its own, and an upload that no function can end fails in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cloud.messages import ItemRef
from runner.cloud.protocols import Done, Queue, Requeued
from runner.errors import NotSent, NotYet
from runner.models import ItemState
from tests.cloudcore.bench import Bench
from tests.cloudcore.test_submitting import Stalled, Unreachable

pytestmark = pytest.mark.virtual_time
REF = ItemRef(batch_id="landed-20260701-orders", source="orders/a.csv")


async def created(bench: Bench) -> None:
    """Let submit make the import of a file that is too large for it."""
    await bench.configured()
    bench.deployment = replace(bench.deployment, upload_apart_bytes=0)
    assert await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")) == Done()
    assert await bench.states() == {"orders/a.csv": "created"}


async def of_its_import(bench: Bench) -> ItemRef:
    """Return the message that asks for the upload to the import that the item has now."""
    (item,) = (await bench.items()).values()
    return replace(REF, import_id=item.import_id)


async def test_submit_leaves_the_upload_of_a_large_file_to_another_function(bench: Bench) -> None:
    await created(bench)
    assert bench.uploads == []
    assert bench.take(Queue.UPLOAD) == [await of_its_import(bench)]
    assert await bench.do(Queue.UPLOAD, REF) == Done()
    assert bench.uploads == ["orders/a.csv"]
    assert bench.vendor.seen.calls["create"] == 1


async def test_a_message_about_an_import_that_the_item_no_longer_has_uploads_nothing(bench: Bench) -> None:
    await created(bench)
    (former,) = bench.take(Queue.UPLOAD)
    (item,) = (await bench.items()).values()
    item = await bench.ledger.advance(item, ItemState.QUEUED, reason="given up", import_id=None, status=None)
    item = await bench.ledger.advance(item, ItemState.CREATING, reason="another function")
    await bench.ledger.advance(item, ItemState.CREATED, reason="created", import_id="another")
    assert await bench.do(Queue.UPLOAD, former) == Done()
    assert bench.uploads == []
    assert bench.vendor.seen.calls["retrieve"] == 0


async def test_a_small_file_is_uploaded_with_its_create(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    assert bench.uploads == ["orders/a.csv"]
    assert bench.take(Queue.UPLOAD) == []


async def test_a_message_about_a_large_file_in_the_wrong_queue_goes_to_the_right_one(bench: Bench) -> None:
    await created(bench)
    bench.take(Queue.UPLOAD)
    assert await bench.do(Queue.SUBMIT, REF) == Done()
    assert bench.take(Queue.UPLOAD) == [await of_its_import(bench)]
    (item,) = (await bench.items()).values()
    await bench.ledger.advance(item, ItemState.QUEUED, reason="given up", import_id=None, status=None)
    assert await bench.do(Queue.UPLOAD, REF) == Done()
    assert bench.take(Queue.SUBMIT) == [REF]


async def test_an_upload_that_outlives_its_function_three_times_fails_with_a_code_of_its_own(bench: Bench) -> None:
    await created(bench)
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Stalled())  # type: ignore[arg-type]
    for _ in range(3):
        assert isinstance(await bench.do(Queue.UPLOAD, REF, left_s=200), Requeued)
        assert await bench.states() == {"orders/a.csv": "created"}
    bench.deployment = replace(bench.deployment, storage=storage)
    bench.take(Queue.FINISH)
    assert await bench.do(Queue.UPLOAD, REF) == Done()
    (item,) = (await bench.items()).values()
    assert (str(item.state), item.error_code) == ("failed", "upload_too_slow")
    assert "3 times" in (item.error_message or "")
    assert bench.uploads == []
    assert len(bench.take(Queue.FINISH)) == 1


async def test_an_upload_that_ends_in_the_third_function_is_not_too_slow(bench: Bench) -> None:
    await created(bench)
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Stalled())  # type: ignore[arg-type]
    for _ in range(2):
        await bench.do(Queue.UPLOAD, REF, left_s=200)
    bench.deployment = replace(bench.deployment, storage=storage)
    assert await bench.do(Queue.UPLOAD, REF) == Done()
    assert bench.uploads == ["orders/a.csv"]


async def test_storage_that_does_not_answer_uses_up_tries_and_the_upload_is_tried_again_by_the_hour(
    bench: Bench,
) -> None:
    await created(bench)
    bench.take(Queue.UPLOAD)
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Unreachable(NotSent("no")))  # type: ignore[arg-type]
    for receives in range(1, 6):
        with pytest.raises(NotYet):
            await bench.do(Queue.UPLOAD, REF, receives=receives)
    (item,) = (await bench.items()).values()
    assert (str(item.state), item.error_code) == ("created", "dead_letter")
    bench.deployment = replace(bench.deployment, storage=storage)
    await bench.reconcile()
    assert bench.take(Queue.UPLOAD) == [await of_its_import(bench)]
    await bench.do(Queue.UPLOAD, REF)
    assert bench.uploads == ["orders/a.csv"]
