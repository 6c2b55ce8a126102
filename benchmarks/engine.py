"""The import engine: rows a CPU second through reading and through the whole import, and the memory a large file takes.

`python benchmarks/engine.py [ROWS]` makes a CSV file of so many rows (a million by default) of twelve typed columns
in a temporary directory and imports it, each figure in a process of its own.
"""

from __future__ import annotations

import csv
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Figure, peak_rss_mb, report
from sandbox.engine import run_import
from sandbox.engine.reading import read_sheet

DEFAULT_ROWS = 1_000_000
PEAK_MAX_MB = 200.0
FIELDS = [
    {"key": "id", "label": "ID", "type": "number", "validators": [{"validate": "required"}]},
    {"key": "name", "label": "Name", "validators": [{"validate": "required"}]},
    {"key": "email", "label": "Email", "type": "email"},
    {"key": "born", "label": "Born", "type": "date"},
    {"key": "seen", "label": "Last Seen", "type": "datetime"},
    {"key": "plan", "label": "Plan", "type": "select", "selectOptions": [{"label": "Free", "value": "free"},
     {"label": "Team", "value": "team"}, {"label": "Enterprise", "value": "enterprise"}]},
    {"key": "active", "label": "Active", "type": "checkbox"},
    {"key": "country", "label": "Country", "type": "country"},
    {"key": "state", "label": "State", "type": "us-state-territory"},
    {"key": "zip", "label": "ZIP", "type": "us-zip-code"},
    {"key": "spent", "label": "Spent", "type": ["number", "usd"]},
    {"key": "note", "label": "Note"},
]  # fmt: skip
UNIQUE_FIELDS = [
    {**field, "validators": [{"validate": "unique"}]} if field["key"] == "email" else field for field in FIELDS
]


def rows(count: int) -> Iterator[list[str]]:
    rng = random.Random(7)
    for n in range(count):
        wrong = n % 500 == 499
        yield [
            str(n),
            f"Customer {rng.randrange(100_000)}",
            "nowhere" if wrong else f"user{n}@example.com",
            f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/{rng.randint(1940, 2005)}",
            f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T{rng.randint(10, 23)}:{rng.randint(10, 59)}:00",
            rng.choice(("Free", "team", "Enterprise")),
            rng.choice(("yes", "no", "")),
            rng.choice(("US", "de", "FR")),
            rng.choice(("CA", "US-NY", "TX")),
            f"{rng.randint(501, 99950):05}",
            f"${rng.randint(0, 9999):,}.{rng.randint(0, 99):02}",
            "said hello, twice" if n % 3 else 'a "quoted"\nline',
        ]


def make_file(path: Path, count: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([field["label"] for field in FIELDS])
        writer.writerows(rows(count))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read_alone(path: Path) -> tuple[float, float, float]:
    started, began = cpu_s(), time.perf_counter()
    sheet = read_sheet(path, max_bytes=1 << 40)
    count = sum(map(len, sheet.batches(start=1)))
    spent = cpu_s() - started
    return count / spent, time.perf_counter() - began, peak_rss_mb()


def csv_alone(path: Path) -> tuple[float, float, float]:
    """How fast Python's own csv module is at that moment, for comparison."""
    started, began = cpu_s(), time.perf_counter()
    with path.open(newline="", encoding="utf-8") as stream:
        count = sum(1 for _ in csv.reader(stream))
    return count / (cpu_s() - started), time.perf_counter() - began, peak_rss_mb()


def whole_import(path: Path, fields: list[dict[str, object]] = FIELDS) -> tuple[float, float, float]:
    started, began = cpu_s(), time.perf_counter()
    with path.with_suffix(".json").open("wb") as result:
        outcome = run_import(path, schema={"fields": fields}, filename=path.name, result=result)
    assert outcome.status == "SUCCESSFUL", outcome.errors
    spent = cpu_s() - started
    return outcome.metadata["totalRows"] / spent, time.perf_counter() - began, peak_rss_mb()


def unique_import(path: Path) -> tuple[float, float, float]:
    return whole_import(path, UNIQUE_FIELDS)


def apart(work: Callable[[Path], tuple[float, float, float]], path: Path) -> tuple[float, float, float]:
    """The figures of `work`, measured in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (path,))


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else DEFAULT_ROWS
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "customers.csv"
        make_file(path, count)
        csv_rate, _, _ = apart(csv_alone, path)
        read_rate, read_wall_s, _ = apart(read_alone, path)
        rate, wall_s, _ = apart(whole_import, path)
        unique_rate, _, peak_mb = apart(unique_import, path)
    return report(
        [
            Figure("csv.reader, for comparison", csv_rate, "rows/s"),
            Figure("reading alone", read_rate, "rows/s", at_least=150_000),
            Figure("reading alone, wall", read_wall_s, "s"),
            Figure("12 typed columns, file to result", rate, "rows/s", at_least=80_000),
            Figure("12 typed columns, wall", wall_s, "s"),
            Figure("the same with a unique column", unique_rate, "rows/s"),
            Figure(f"peak memory of {count:,} rows", peak_mb, "MB", at_most=PEAK_MAX_MB),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
