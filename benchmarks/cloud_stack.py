"""The deployed stack on this machine: from a webhook to the collected result, and what DynamoDB would bill a file.

Times are those of this machine, where a function is a process and all AWS one server; units and calls are those that
AWS counts. Prices are us-east-1's, on demand, without free tiers and data transfer.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.figures import Figure, report
from tests.acceptance.inbox import rows
from tests.support.cloud.meter import Meter, running_meter
from tests.support.cloud.running import Cloud, rolling, running_cloud
from tests.support.cloud.stack import FUNCTIONS, until

QUOTA = "60/20s"
WARM_FILES = 4
LOAD_FILES = 100
TRICKLE_FILES = 60
TRICKLE_EVERY_S = 0.4
WITHIN_S = 180.0
SCHEMA = {
    "id": "customers",
    "name": "Customers",
    "fields": [{"key": "name", "label": "Full Name", "type": "string"}, {"key": "email", "label": "Email"}],
    "settings": {},
}
CONFIG = '[[routes]]\nname = "all"\nmatch = "**"\nschema_id = "customers"\n'

WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"})
READS = frozenset({"GetItem", "BatchGetItem", "Query", "TransactGetItems"})

PER_MILLION = 1e-6
PRICES = {
    "write unit": 0.625 * PER_MILLION,
    "read unit": 0.125 * PER_MILLION,
    "SQS call": 0.40 * PER_MILLION,
    "S3 write": 5.00 * PER_MILLION,
    "S3 read": 0.40 * PER_MILLION,
    "invocation": 0.20 * PER_MILLION,
    "GB-second": 0.0000133334,
    "HTTP API call": 1.00 * PER_MILLION,
}
"""US dollars."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bulkhead-cloud-bench-") as name, running_meter() as meter:
        directory = Path(name)
        schemas = directory / "schemas"
        schemas.mkdir()
        (schemas / "customers.json").write_text(json.dumps(SCHEMA))
        with running_cloud(
            directory,
            schemas=schemas,
            config=CONFIG,
            quota=QUOTA,
            meter=meter,
            ReconcileMinutes="60",
            ManifestMinutes="0",
        ) as cloud:
            cloud.vendor.reset()
            cloud.vendor.settings(create_quota=QUOTA)
            land(cloud, "warm", WARM_FILES, first=0, every_s=0.0)
            return report([*_of_a_load(cloud, meter), *_of_a_trickle(cloud)])


def _of_a_load(cloud: Cloud, meter: Meter) -> list[Figure]:
    """Import many files at once, and count what that takes."""
    contents = {f"{number:04}.csv": rows(number) for number in range(1000, 1000 + LOAD_FILES)}
    for name, content in contents.items():
        cloud.stack.land(f"nightly/load/{name}", content)
    until(cloud.stack.is_quiet)
    meter.reset()
    before = _invocations(cloud)
    uri = f"s3://{cloud.stack.inbox}/nightly/load/"
    cloud.stack.send(
        "List", json.dumps({"kind": "start_load", "uri": uri, "name": "bench", "at": "2026-07-23T02:00:00Z"})
    )
    (batch_id,) = cloud.batches_of("bench-")
    cloud.expect(batch_id, dict.fromkeys(contents, "collected"), within_s=WITHIN_S)
    until(cloud.stack.is_quiet)
    return _bill(meter, Counter(_invocations(cloud)) - Counter(before))


def _bill(meter: Meter, invocations: Counter[str]) -> list[Figure]:
    """What `LOAD_FILES` files took, a file each, and what 10,000 of them cost."""
    s3 = {op: count for (service, op), count in meter.calls.items() if service == "s3"}
    used = {
        "write unit": meter.units["write"],
        "read unit": meter.units["read"],
        "SQS call": sum(count for (service, _), count in meter.calls.items() if service == "sqs")
        + 2 * invocations["n"],
        "S3 write": sum(count for op, count in s3.items() if op in {"PUT", "POST"}),
        "S3 read": sum(count for op, count in s3.items() if op in {"GET", "HEAD"}),
        "invocation": invocations["n"],
        "GB-second": invocations["ms"] / 1000 * 0.5,
        "HTTP API call": LOAD_FILES,
    }
    a_file = {name: amount / LOAD_FILES for name, amount in used.items()}
    cost = sum(PRICES[name] * amount for name, amount in a_file.items()) * 10_000
    return [
        Figure("DynamoDB writes a file", _calls(meter, WRITES) / LOAD_FILES, "calls", at_most=15),
        Figure("DynamoDB reads a file", _calls(meter, READS) / LOAD_FILES, "calls"),
        Figure("DynamoDB write units a file", a_file["write unit"], "WRU", at_most=25),
        Figure("DynamoDB read units a file", a_file["read unit"], "RRU", at_most=12),
        Figure("SQS calls a file", a_file["SQS call"], "calls"),
        Figure("S3 writes a file", a_file["S3 write"], "calls"),
        Figure("S3 reads a file", a_file["S3 read"], "calls"),
        Figure("invocations a file", a_file["invocation"], "calls"),
        Figure("GB-seconds a file, on this machine", a_file["GB-second"], "GB-s"),
        Figure("cost of 10,000 files", cost, "USD", at_most=2.0),
    ]


def _of_a_trickle(cloud: Cloud) -> list[Figure]:
    """Let files land one by one, and read from the functions' own figure how long each webhook took to its result."""
    known = len(_milliseconds(cloud))
    land(cloud, "trickle", TRICKLE_FILES, first=5000, every_s=TRICKLE_EVERY_S)
    spent = sorted(_milliseconds(cloud)[known:])
    assert len(spent) >= TRICKLE_FILES * 0.9, f"{len(spent)} of {TRICKLE_FILES} files were collected after a webhook"
    return [
        Figure("webhook to collected, p50", statistics.median(spent), "ms", at_most=1_000),
        Figure("webhook to collected, p99", spent[int(len(spent) * 0.99)], "ms", at_most=10_000),
    ]


def _milliseconds(cloud: Cloud) -> list[float]:
    name = "WebhookToCollectedMilliseconds"
    messages = (json.loads(message) for message in cloud.stack.log("Collect") if f'"{name}":' in message)
    return [value for message in messages for value in message[name]]


def land(cloud: Cloud, folder: str, count: int, *, first: int, every_s: float) -> str:
    """Let files land and wait for their end; returns their batch's id."""
    files = {f"{folder}/{number}.csv": rows(number) for number in range(first, first + count)}
    for key, content in files.items():
        cloud.stack.land(key, content)
        time.sleep(every_s)
    cloud.expect(rolling(folder), dict.fromkeys(files, "collected"), within_s=WITHIN_S)
    return rolling(folder)


def _calls(meter: Meter, operations: frozenset[str]) -> int:
    return sum(meter.calls["dynamodb", operation] for operation in operations)


def _invocations(cloud: Cloud) -> dict[str, int]:
    """How often functions ran (`n`), and how many milliseconds in all (`ms`), as their logs have it."""
    found = Counter[str]()
    for function in FUNCTIONS:
        for message in cloud.stack.log(function):
            if message.startswith("REPORT"):
                found["n"] += 1
                found["ms"] += int(message.partition("Billed Duration: ")[2].split()[0])
    return found


if __name__ == "__main__":
    sys.exit(main())
