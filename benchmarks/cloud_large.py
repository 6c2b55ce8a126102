"""The largest file there can be, through the functions `submit` and `upload`: time, against the timeout, and memory.

Each function is a process of its own, its handler called as Lambda calls it; S3 is ministack and the vendor the
sandbox, on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import boto3

from benchmarks.figures import Figure, peak_rss_mb, report
from runner.models import MAX_FILE_BYTES
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws, running_ministack
from tests.support.command import CANARY_KEY
from tests.support.functions import Context, Stack, arrived
from tests.support.sandbox import CUSTOMERS

TIMEOUT_S = 900.0
RSS_LIMIT_MB = 512.0
PART_BYTES = 64 << 20
KEY = "large/large.csv"
INBOX = "bulkhead-inbox"


async def fill(size_bytes: int) -> None:
    """Store the object in parts; of its content only the size matters here."""
    from runner.aws.s3 import open_s3  # noqa: PLC0415 - the function's process must not load it for this

    part = (b"Ann,ann@example.test,1\n" * (PART_BYTES // 23 + 1))[:PART_BYTES]
    async with open_s3() as client:
        upload = (await client.create_multipart_upload(Bucket=INBOX, Key=KEY))["UploadId"]
        done = []
        for number in range(1, size_bytes // PART_BYTES + 1):
            answer = await client.upload_part(Bucket=INBOX, Key=KEY, UploadId=upload, PartNumber=number, Body=part)
            done.append({"PartNumber": number, "ETag": answer["ETag"]})
        await client.complete_multipart_upload(Bucket=INBOX, Key=KEY, UploadId=upload, MultipartUpload={"Parts": done})


def arrival(size_bytes: int, etag: str) -> str:
    """Return the message about the object, as EventBridge sends it."""
    detail = {"bucket": {"name": INBOX}, "object": {"key": KEY, "size": size_bytes, "etag": etag, "sequencer": "00"}}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"detail-type": "Object Created", "source": "aws.s3", "time": now, "detail": detail})


def call(function: str, body: str) -> dict[str, float]:
    """Call a function once, with one message."""
    from lambdas.bootstrap import container  # noqa: PLC0415 - the environment has to be there before

    handler = import_module(f"lambdas.{function}").lambda_handler
    started = time.perf_counter()
    answer = handler(arrived(body), Context(left_ms=int(TIMEOUT_S * 1000)))
    took_s = time.perf_counter() - started
    container.close()
    assert answer == {"batchItemFailures": []}, answer
    return {"took_s": took_s, "rss_mb": peak_rss_mb()}


def child(environ: dict[str, str], *arguments: str, module: str = "benchmarks.cloud_large") -> dict[str, float]:
    command = [sys.executable, "-m", module, "--child", *arguments]
    done = subprocess.run(command, env={**os.environ, **environ}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


def measure(folder: Path, *, size_bytes: int) -> list[Figure]:
    schemas = folder / "schemas"
    schemas.mkdir()
    (schemas / "customers.json").write_text(json.dumps(CUSTOMERS))
    with running_ministack(folder) as aws, SandboxVendor(schemas=schemas) as vendor:
        stack = Stack(aws.client_arguments)
        environ = deployed(stack, aws, vendor)
        child(environ, "fill", str(size_bytes))
        s3 = boto3.client("s3", **aws.client_arguments)
        etag = s3.head_object(Bucket=INBOX, Key=KEY)["ETag"].strip('"')
        submitted = child(environ, "submit", arrival(size_bytes, etag))
        (message,) = stack.waiting("upload")
        uploaded = child(environ, "upload", json.dumps(message))
        assert sum(map(len, vendor.received().values())) == 1
    took_s = submitted["took_s"] + uploaded["took_s"]
    return [
        Figure(f"submit and upload, {size_bytes >> 20} MiB", took_s, "s", at_most=TIMEOUT_S),
        Figure("peak memory of submit", submitted["rss_mb"], "MB", at_most=RSS_LIMIT_MB),
        Figure("peak memory of upload", uploaded["rss_mb"], "MB", at_most=RSS_LIMIT_MB),
    ]


def deployed(stack: Stack, aws: LocalAws, vendor: SandboxVendor) -> dict[str, str]:
    """Make what the template makes, but for the functions; returns the variables of a function."""
    for bucket in (INBOX, "bulkhead-results"):
        stack.client("s3").create_bucket(Bucket=bucket)
    stack.put_secret("license", CANARY_KEY)
    topic = stack.client("sns").create_topic(Name="ended")["TopicArn"]
    return {
        **aws.variables,
        **stack.variables,
        "BULKHEAD_API_URL": vendor.api_url,
        "BULKHEAD_SCHEMA_ID": "customers",
        "BULKHEAD_QUOTA": "20/60s",
        "BULKHEAD_TOPIC_ARN": topic,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=MAX_FILE_BYTES >> 20)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, given = options.child
        if what == "fill":
            asyncio.run(fill(int(given)))
        else:
            print(json.dumps(call(what, given)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return report(measure(Path(folder), size_bytes=options.size_mib << 20))


if __name__ == "__main__":
    sys.exit(main())
