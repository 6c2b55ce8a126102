"""The check: small files a CPU second through the whole command, one large file, and the memory the command takes.

`python -m benchmarks.check [FILES] [ROWS]` makes so many CSV files of 20 rows by 6 columns (10,000 by default), one in
ten of them with a wrong cell, and one file of so many rows (1,000,000), and checks each source by the command itself.
CPU seconds are those of the command and its workers together.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, report

FILES = 10_000
ROWS = 1_000_000
ROWS_A_FILE = 20
FILES_A_DIRECTORY = 1000
FIELDS = [
    {"key": "no", "label": "Customer No", "validators": [{"validate": "required"}, {"validate": "unique"}]},
    {"key": "name", "label": "Company Name", "validators": [{"validate": "required"}]},
    {"key": "email", "label": "Email", "type": "email"},
    {"key": "city", "label": "City"},
    {"key": "limit", "label": "Credit Limit", "type": "number"},
    {"key": "since", "label": "Since", "type": "date"},
]
HEADER = ",".join(str(field["label"]) for field in FIELDS)


@dataclass(frozen=True, slots=True)
class Run:
    """One command: wall and CPU seconds, the largest resident memory of any of its processes, and its last line."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    summary: dict[str, int]


def row(number: int, *, is_wrong: bool = False) -> str:
    email = "nowhere" if is_wrong else f"office{number}@example.com"
    place, since = f"Town {number % 97}", f"2024-03-{number % 28 + 1:02}"
    return f'C-{number},"Company {number}, Ltd",{email},{place},"{number % 90_000:,}",{since}\n'


def make_files(directory: Path, count: int) -> None:
    for number in range(count):
        folder = directory / f"{number // FILES_A_DIRECTORY:03}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = (row(number * ROWS_A_FILE + at, is_wrong=number % 10 == at == 3) for at in range(ROWS_A_FILE))
        (folder / f"{number:06}.csv").write_text(HEADER + "\n" + "".join(lines), encoding="utf-8")


def make_large(directory: Path, count: int) -> None:
    directory.mkdir()
    with (directory / "large.csv").open("w", encoding="utf-8") as stream:
        stream.write(HEADER + "\n")
        stream.writelines(row(number, is_wrong=number % 1000 == 3) for number in range(count))


def check(home: Path, source: str, *options: str) -> Run:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "runner", "check", source, "--fields", "fields.json", "--json", *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (home / "lines").open("wb") as lines:
        subprocess.run(command, cwd=home, env=environment, stdout=lines, check=True)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    summary = json.loads((home / "lines").read_bytes().splitlines()[-1])
    return Run(wall_s, cpu_s, after.ru_maxrss * 1024 / 1e6, summary)


def main(arguments: list[str]) -> int:
    files, rows = (int(arguments[at]) if len(arguments) > at else (FILES, ROWS)[at] for at in range(2))
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "fields.json").write_text(json.dumps(FIELDS), encoding="utf-8")
        make_files(home / "small", files)
        make_large(home / "large", rows)
        few = check(home, "small", "--include", "000/**")
        small = check(home, "small")
        large = check(home, "large")
    assert small.summary["file_count"] == files
    assert large.summary["row_count"] == rows
    return report(
        [
            Figure(f"{files:,} files of 20 x 6 cells", files / small.cpu_s, "files/cpu s", at_least=500),
            Figure("the same, wall", files / small.wall_s, "files/s"),
            Figure("the same, wall time", small.wall_s, "s"),
            Figure(f"one file of {rows:,} rows", rows / large.cpu_s, "rows/cpu s", at_least=80_000),
            Figure("the same, wall time", large.wall_s, "s"),
            Figure("peak memory, first 1,000 files", few.peak_mb, "MB"),
            Figure(f"peak memory, {files:,} files", small.peak_mb, "MB", at_most=150),
            Figure(f"peak memory with {rows:,} rows", large.peak_mb, "MB", at_most=300),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
