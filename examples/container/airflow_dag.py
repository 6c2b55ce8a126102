"""Bulkhead in Airflow: one task that runs the image, and decides by its exit code what Airflow does next.

docs/operations.md lists the exit codes. The worker needs Docker, and the variables below; the ledger is in DynamoDB, so
that a task can go on where another worker's task has stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from types import FrameType

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk import dag, task

IMAGE = os.environ.get("BULKHEAD_IMAGE", "registry.example.com/bulkhead:0.1.0")
SOURCE = os.environ.get("BULKHEAD_SOURCE", "s3://acme-in/2026/")
OUT = os.environ.get("BULKHEAD_OUT", "s3://acme-out/2026")
LEDGER = os.environ.get("BULKHEAD_LEDGER", "dynamodb://bulkhead")
SCHEMA_ID = os.environ.get("BULKHEAD_SCHEMA_ID", "your-saved-schema-id")
PASSED_ON = ("DROMO_LICENSE_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")

SUCCEEDED = {0: "everything was imported", 6: "reviews wait for a person"}
CONTINUED = {
    5: "a temporary problem",
    10: "the time is over",
    11: "another run works on the batch",
    130: "interrupted",
    143: "terminated",
}
"""A later try continues the batch; no file is sent twice."""
EMPTY = 9


def judge(code: int) -> str:
    """Return what a successful code means. Raises what makes Airflow try again, skip, or fail the task."""
    if code in SUCCEEDED:
        return SUCCEEDED[code]
    if code in CONTINUED:
        raise AirflowException(f"{CONTINUED[code]}; the next try continues the batch (code {code})")
    if code == EMPTY:
        raise AirflowSkipException("there was nothing to import")
    raise AirflowFailException(f"a person must look: docs/operations.md, code {code}")


def command() -> list[str]:
    passed_on = [word for name in PASSED_ON for word in ("--env", name)]
    return [
        *("docker", "run", "--rm", "--init", "--read-only", "--stop-timeout", "30", *passed_on, IMAGE),
        *("run", SOURCE, "--out", OUT, "--ledger", LEDGER, "--schema-id", SCHEMA_ID),
        *("--min-age", "5m", "--max-duration", "5h", "--fail-if-empty", "--stats", "60s"),
    ]


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["bulkhead"],
)
def bulkhead() -> None:
    @task(retries=6, retry_delay=timedelta(minutes=10), execution_timeout=timedelta(hours=6))
    def run() -> str:
        with subprocess.Popen(command()) as running:  # noqa: S603 - the words are this file's

            def stop(_number: int, _frame: FrameType | None) -> None:
                running.send_signal(signal.SIGTERM)

            signal.signal(signal.SIGTERM, stop)
            return judge(running.wait())

    run()


bulkhead()
