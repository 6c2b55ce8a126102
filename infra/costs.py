"""Prints infra/cost.md: what the deployment costs, from prices, units that were measured, and what the template has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INFRA = Path(__file__).parent
MILLION = 1_000_000

LAMBDA_GB_S = 0.0000133334
LAMBDA_REQUESTS = 0.20
SQS_REQUESTS = 0.40
WRITE_UNITS = 0.625
READ_UNITS = 0.125
TABLE_GB_MONTH = 0.45
S3_WRITES = 5.00
S3_READS = 0.40
API_REQUESTS = 1.00
TRACES = 5.00
LOGS_GB = 0.50
TRAFFIC_GB = 0.09
METRIC = 0.30
ALARM = 0.10
DASHBOARD = 3.00
SECRET = 0.40
CONTAINER_VCPU_H = 0.03238
CONTAINER_GB_H = 0.00356
ADDRESS_H = 0.005
METRIC_WRITES = 10.00
"""US dollars; those of requests, units, and traces are for a million."""

PRICES = (
    ("Lambda, arm64", f"${LAMBDA_GB_S:.10f} per GB-second"),
    ("Lambda requests", f"${LAMBDA_REQUESTS:.2f} per million"),
    ("SQS", f"${SQS_REQUESTS:.2f} per million requests"),
    ("DynamoDB write unit", f"${WRITE_UNITS} per million"),
    ("DynamoDB read unit", f"${READ_UNITS} per million"),
    ("DynamoDB storage, with recovery", f"${TABLE_GB_MONTH:.2f} per GB and month"),
    ("S3 PUT, LIST", f"${S3_WRITES:.2f} per million"),
    ("S3 GET", f"${S3_READS:.2f} per million"),
    ("HTTP API", f"${API_REQUESTS:.2f} per million"),
    ("X-Ray trace", f"${TRACES:.2f} per million"),
    ("CloudWatch logs", f"${LOGS_GB:.2f} per GB"),
    ("CloudWatch metric", f"${METRIC:.2f} per month"),
    ("CloudWatch metric in an alarm", f"${ALARM:.2f} per month"),
    ("CloudWatch dashboard", f"${DASHBOARD:.2f} per month"),
    ("Secret", f"${SECRET:.2f} per month"),
    ("Traffic to the internet", f"${TRAFFIC_GB:.2f} per GB"),
    ("Fargate, arm64", f"${CONTAINER_VCPU_H:.5f} per vCPU and hour"),
    ("Fargate memory", f"${CONTAINER_GB_H:.5f} per GB and hour"),
    ("Public IPv4 address", f"${ADDRESS_H:.3f} per hour"),
    ("CloudWatch PutMetricData", f"${METRIC_WRITES:.2f} per million requests"),
)

WRITES_PER_FILE = 25
READS_PER_FILE = 12
"""Units that `python -m benchmarks.cloud_stack` counts on the emulator, rounded up."""

SQS_PER_FILE = 30
INVOCATIONS_PER_FILE = 5
GUARD_S = 2.0
"""How much longer than its window a create slot is busy."""

ROUND_TRIP_S = 1.5
"""How long a create takes; an assumption."""

WAITING = 2
"""Executions of submit that wait for permits during a load, of 1 GB each (`SubmitConcurrency`)."""

CONTAINER_VCPU, CONTAINER_GB = 0.25, 0.5
"""The task of examples/container/ecs-worker.yaml."""

QUOTAS = ((20, 60.0), (300, 60.0), (3000, 60.0))
LEDGER_KB = 2
MONTH_H = 720
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table: what it is, how it is computed, and the result in US dollars."""

    name: str
    units: str
    usd: float


def creates_per_s(count: int, per_s: float) -> float:
    """Return how many creates a quota allows in a second, with the guard and the way to the vendor."""
    return count / (per_s + GUARD_S + ROUND_TRIP_S)


def file_rows(count: int, per_s: float) -> list[Row]:
    """Return what one file costs that waits for a quota in a load."""
    waited_s = WAITING / creates_per_s(count, per_s)
    per = 1 / MILLION
    return [
        Row(name="DynamoDB writes", units=f"{WRITES_PER_FILE} units", usd=WRITES_PER_FILE * WRITE_UNITS * per),
        Row(name="DynamoDB reads", units=f"{READS_PER_FILE} units", usd=READS_PER_FILE * READ_UNITS * per),
        Row(
            name="submit, 1 GB, waits for permits",
            units=f"{WAITING} executions x {waited_s / WAITING:.2f} s for each create = {waited_s:.2f} GB-s",
            usd=waited_s * LAMBDA_GB_S,
        ),
        Row(name="collect, 512 MB", units="1 s = 0.5 GB-s", usd=0.5 * LAMBDA_GB_S),
        Row(name="register and webhook, 512 MB", units="3 x 0.05 s = 0.08 GB-s", usd=0.075 * LAMBDA_GB_S),
        Row(
            name="Lambda requests",
            units=f"{INVOCATIONS_PER_FILE}",
            usd=INVOCATIONS_PER_FILE * LAMBDA_REQUESTS * per,
        ),
        Row(name="SQS requests", units=f"{SQS_PER_FILE}", usd=SQS_PER_FILE * SQS_REQUESTS * per),
        Row(name="S3", units="2 PUT, 2 GET", usd=(2 * S3_WRITES + 2 * S3_READS) * per),
        Row(name="HTTP API", units="2 requests", usd=2 * API_REQUESTS * per),
        Row(name="Logs", units="6 KB", usd=6 * LOGS_GB * per),
        Row(name="X-Ray", units="0.25 traces, at the default sampling", usd=0.25 * TRACES * per),
        Row(name="Traffic", units="100 KB up; traffic into AWS is free", usd=100 * TRAFFIC_GB * per),
    ]


def fixed_rows() -> list[Row]:
    """Return what the deployment costs a month, whatever it imports."""
    alarms, metrics, queues = counts()
    runs = MONTH_H * 12
    polls = queues * 5 * 3 * 60 * MONTH_H
    sweep = MONTH_H * 100 * (S3_WRITES / MILLION + 0.25 * LAMBDA_GB_S)
    return [
        Row(name="Metrics", units=f"{metrics} x ${METRIC:.2f}", usd=metrics * METRIC),
        Row(name="Metrics in alarms", units=f"{alarms} x ${ALARM:.2f}", usd=alarms * ALARM),
        Row(name="Dashboard", units="1", usd=DASHBOARD),
        Row(name="Secrets", units=f"2 x ${SECRET:.2f}", usd=2 * SECRET),
        Row(name="reconcile, every 5 minutes", units=f"{runs:,} x 5 s x 0.5 GB", usd=runs * 2.5 * LAMBDA_GB_S),
        Row(name="configure, every 5 minutes", units=f"{runs:,} x 1 s x 0.5 GB", usd=runs * 0.5 * LAMBDA_GB_S),
        Row(
            name="Sweep every hour, for each 100,000 objects in the inbox",
            units=f"{MONTH_H} x 100 pages x (1 LIST + 0.5 s x 0.5 GB)",
            usd=sweep,
        ),
        Row(
            name="Polling of idle queues",
            units=f"{queues} x 5 pollers x 3 a minute = {polls:,} requests",
            usd=polls * SQS_REQUESTS / MILLION,
        ),
    ]


def waiting_rows() -> list[Row]:
    """Return what a day of waiting costs in functions, then what it costs in a container."""
    polls, looks = 2 * 6 * 1440, 1440
    sqs, memory = polls + 2 * looks, CONTAINER_GB * 24
    return [
        Row(
            name="functions: executions of submit that wait for permits",
            units=f"{WAITING} x {DAY_S:,} s x 1 GB",
            usd=WAITING * DAY_S * LAMBDA_GB_S,
        ),
        Row(
            name="container: a Fargate task",
            units=f"24 h x ({CONTAINER_VCPU} vCPU + {CONTAINER_GB} GB)",
            usd=24 * CONTAINER_VCPU * CONTAINER_VCPU_H + memory * CONTAINER_GB_H,
        ),
        Row(
            name="container: metrics, counts, and signs of life",
            units=f"{looks:,} PutMetricData, {sqs:,} SQS requests, {looks:,} write units",
            usd=(looks * METRIC_WRITES + sqs * SQS_REQUESTS + looks * WRITE_UNITS) / MILLION,
        ),
    ]


def counts() -> tuple[int, int, int]:
    """Return how many metrics in alarms, metrics of functions, and queues with a reader the template has."""
    alarms = len(re.findall(r"^ +MetricName: ", (INFRA / "monitoring.yaml").read_text("utf-8"), re.MULTILINE))
    rows = re.findall(r"^\| `\w+` \| \w+ \| ([\w, ]+) \|", (INFRA / "metrics.md").read_text("utf-8"), re.MULTILINE)
    metrics = sum(len(functions.split(", ")) for functions in rows)
    template = (INFRA.parent / "template.yaml").read_text("utf-8")
    queues = len(re.findall(r"^  (?!\w*DeadLetter)\w+:\n    Type: AWS::SQS::Queue$", template, re.MULTILINE))
    return alarms, metrics, queues


def document() -> str:
    return "\n".join([*_head(), *_file(), *_fixed(), *_together(), *_container()]) + "\n"


def _head() -> list[str]:
    half = len(PRICES) // 2
    pairs = zip(PRICES[:half], PRICES[half:], strict=True)
    return [
        "# What the deployment costs",
        "",
        "This excludes the vendor's price and the storage of your files. Unit prices are **assumptions**: list prices",
        "of us-east-1 published in 2025, without free tier and discounts. Check them for your region before you rely",
        "on them. None of these figures comes from a bill. `python infra/costs.py > infra/cost.md` computes them.",
        "",
        "## Unit prices",
        "| | price | | price |",
        "|---|---|---|---|",
        *(f"| {one} | {price} | {other} | {its} |" for (one, price), (other, its) in pairs),
        "",
    ]


def _file() -> list[str]:
    rows = file_rows(20, 60.0)
    return [
        "## One file",
        "The cost of one file of 100 KB in a load at 20 creates a minute, with one import and no failure. A message in",
        "SQS is three requests (send, receive, delete), and each requeue is three more. DynamoDB's units are as",
        "`python -m benchmarks.cloud_stack` counts them on the emulator, rounded up.",
        "",
        "| | units | for 10,000 files |",
        "|---|---|---:|",
        *(f"| {row.name} | {row.units} | ${row.usd * 10_000:.2f} |" for row in rows),
        f"| **Sum**, before rounding | | **${sum(row.usd for row in rows) * 10_000:.2f}** |",
        "",
    ]


def _fixed() -> list[str]:
    rows = fixed_rows()
    return [
        "## Fixed cost per month",
        "| | units | per month |",
        "|---|---|---:|",
        *(f"| {row.name} | {row.units} | ${row.usd:.2f} |" for row in rows),
        f"| **Sum** | | **${sum(row.usd for row in rows):.2f}** |",
        "",
    ]


def _together() -> list[str]:
    fixed = sum(row.usd for row in fixed_rows())
    lines = [
        "## Together",
        "| quota | files | duration | files, waiting included | of that waiting | fixed, for the time of the load |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for count, per_s in QUOTAS:
        rows = file_rows(count, per_s)
        each, waiting = sum(row.usd for row in rows), rows[2].usd
        for files in (10_000, MILLION):
            days = files / creates_per_s(count, per_s) / DAY_S
            lines.append(
                f"| {count} in {per_s:.0f} s | {files:,} | {_lasting(days)} | ${files * each:,.2f} "
                f"| ${files * waiting:,.2f} | ${fixed * days / 30:,.2f} |"
            )
    storage = MILLION * LEDGER_KB * TABLE_GB_MONTH / MILLION
    return [
        *lines,
        "",
        f"The ledger keeps about {LEDGER_KB} KB of a file: ${storage:.2f} a month for a million files.",
        "",
        "A small quota makes a load long, and most of its price is then waiting: two executions of submit wait for",
        "permits all that time. During an outage of the vendor nothing waits in a function: messages wait in their",
        "queues.",
        "",
    ]


def _container() -> list[str]:
    functions, *container = waiting_rows()
    day = sum(row.usd for row in container)
    hours = 24 * day / functions.usd
    return [
        "## Waiting in a container",
        "With `SubmitBy = container`, a worker (`bulkhead cloud work`) waits instead of the function submit; all else",
        "costs the same. A day of it, with files that wait all the time:",
        "",
        "| | units | per day |",
        "|---|---|---:|",
        *(f"| {row.name} | {row.units} | ${row.usd:.2f} |" for row in (functions, *container)),
        "",
        f"That is ${day:.2f} instead of ${functions.usd:.2f}, or {day / functions.usd:.0%}. In a public subnet, the",
        f"task's address adds ${24 * ADDRESS_H:.2f} a day. A container costs the same when nothing waits, and",
        f"functions then cost nothing: it is cheaper if files wait for {hours:.1f} hours a day or longer. A worker on",
        "a server or in a cluster that you have anyway costs next to nothing.",
    ]


def _lasting(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours" if days * 24 >= 2 else f"{days * 1440:.0f} min"


if __name__ == "__main__":
    print(document(), end="")
