"""Webhooks that are lost, repeated, out of order or forged: the end is the same."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.inbox import rows
from tests.support.cloud.running import Cloud, rolling
from tests.support.cloud.stack import until

FORGED = 1000


def post(url: str, body: bytes, *, content_type: str = "application/json") -> int:
    request = urllib.request.Request(url, body, {"Content-Type": content_type}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_where_all_webhooks_are_lost_reconcile_brings_the_same_end(cloud: Cloud) -> None:
    cloud.vendor.faults({"operation": "webhook", "kind": "lost"})
    files = cloud.land({f"lost/{number}.csv": rows(number) for number in range(400, 406)})
    until(lambda: len(cloud.vendor.received()) == len(files))
    batch_id = rolling("lost")

    cloud.expect(batch_id, dict.fromkeys(files, "collected"), meanwhile=cloud.reconcile)
    cloud.assert_imported(files, batch_id=batch_id)


def test_webhooks_that_come_three_times_and_reversed_bring_the_same_end(cloud: Cloud) -> None:
    cloud.tell(*[cloud.webhook_url] * 3)
    cloud.vendor.faults({"operation": "webhook", "kind": "reorder", "delay_s": 3})
    files = cloud.land({f"thrice/{number}.csv": rows(number) for number in range(410, 416)})
    batch_id = rolling("thrice")
    cloud.expect(batch_id, dict.fromkeys(files, "collected"))
    until(lambda: cloud.vendor.counters()["webhooks"].get("delivered") == 3 * len(files))
    until(cloud.stack.is_quiet)
    cloud.assert_imported(files, batch_id=batch_id)


def test_a_thousand_forged_webhooks_change_nothing_and_call_nobody(cloud: Cloud) -> None:
    before = cloud.vendor.counters()
    ledger = cloud.stack.client("dynamodb").scan(TableName=cloud.stack.table, ConsistentRead=True)["Items"]
    forged = [
        (f"{cloud.stack.webhook_url('guess')}{number}" if number % 2 else cloud.webhook_url, number)
        for number in range(FORGED)
    ]

    def forge(url: str, number: int) -> int:
        import_id = f"00000000-0000-4000-8000-{number:012}"
        body = {"event": "import_completed", "data": {"id": import_id, "headless": {"id": import_id}}}
        return post(url, json.dumps(body).encode())

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: forge(*one), forged))
    assert answers == [404 if number % 2 else 204 for _, number in forged]
    assert post(cloud.webhook_url, b"{" * 10_000) in {204, 400}
    assert post(cloud.webhook_url, b"a" * 300_000) in {204, 400, 413}
    until(cloud.stack.is_quiet)
    assert cloud.vendor.counters() == before
    assert cloud.stack.client("dynamodb").scan(TableName=cloud.stack.table, ConsistentRead=True)["Items"] == ledger


def test_the_basic_form_of_a_webhook_is_taken_as_well(cloud: Cloud) -> None:
    cloud.vendor.faults({"operation": "webhook", "kind": "lost"})
    files = cloud.land({"form/a.csv": rows(420)})
    batch_id = rolling("form")
    until(lambda: cloud.vendor.counters()["ran"])
    (import_id,) = cloud.vendor.counters()["created_ids"]
    body = f"uploadId={import_id}".encode()
    kind = "application/x-www-form-urlencoded"

    def tell() -> None:
        assert post(cloud.webhook_url, body, content_type=kind) == 204

    cloud.expect(batch_id, dict.fromkeys(files, "collected"), meanwhile=tell)
    cloud.assert_imported(files, batch_id=batch_id)
