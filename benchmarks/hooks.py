"""Hooks: rows through one row hook of 12 fields per CPU second of both processes, and what a start costs."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, report
from sandbox.engine import run_import
from sandbox.hooks import Batch, HookColumn, HookLimits, HookRunner

ROWS = 200_000
BATCH_ROWS = 5_000
STARTS = 10
KEYS = [f"field_{at}" for at in range(12)]
FIELDS = [{"key": key} for key in KEYS]
TYPED = {KEYS[3], KEYS[5], KEYS[7]}
ROW_HOOK = """(record, mode) => {
  const row = record.row;
  const info = row.field_2.value.endsWith("7") ? [{ message: "odd", level: "warning" }] : [];
  return { row: { field_1: { value: row.field_1.value.trim().toUpperCase() }, field_2: { info } } };
}"""
SPREADING = "(record) => ({...record, row: {...record.row, field_1: {value: record.row.field_1.value + '!'}}})"


def cpu_s() -> float:
    """CPU seconds of this process and of the ended ones that it started."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def batches() -> list[Batch]:
    return [
        Batch(
            columns=[
                HookColumn(
                    key=key,
                    texts=[f" value {row} of {key}" for row in range(start, start + BATCH_ROWS)],
                    results=[row / 4 for row in range(start, start + BATCH_ROWS)] if key in TYPED else None,
                )
                for key in KEYS
            ],
            indexes=range(start, start + BATCH_ROWS),
        )
        for start in range(0, ROWS, BATCH_ROWS)
    ]


def rows_per_cpu_second(source: str, rows: list[Batch]) -> float:
    before = cpu_s()
    with HookRunner.start({"rowHooks": [source]}, fields=FIELDS) as runner:
        for batch in rows:
            for _ in runner.rows(runner.hooks.row[0], batch):
                pass
    return ROWS / (cpu_s() - before)


def bulk_rows_per_cpu_second(rows: list[Batch]) -> float:
    source = "(rows) => rows.map((r) => { r.row.field_1.value += '!'; return r; })"
    limits = HookLimits().for_rows(ROWS, fields=len(KEYS))
    before = cpu_s()
    with HookRunner.start({"bulkRowHooks": [source]}, fields=FIELDS, limits=limits) as runner:
        for _ in runner.bulk(runner.hooks.bulk[0], rows):
            pass
    return ROWS / (cpu_s() - before)


def whole_rows_per_cpu_second() -> float:
    """The same row hook in an import: the file read, hooked, checked, and its result written."""
    lines = [",".join(f" value {row} of {key}" for key in KEYS) for row in range(ROWS)]
    schema = {"fields": FIELDS, "hooks": {"rowHooks": [ROW_HOOK]}}
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "rows.csv"
        source.write_text("\n".join([",".join(KEYS), *lines]) + "\n", encoding="utf-8")
        del lines
        before = cpu_s()
        with (Path(directory) / "result.json").open("wb") as result:
            outcome = run_import(source, schema=schema, filename=source.name, result=result)
        assert outcome.metadata["totalRows"] == ROWS
        return ROWS / (cpu_s() - before)


def start_ms() -> float:
    started = time.perf_counter()
    with HookRunner.start({"rowHooks": [ROW_HOOK]}, fields=FIELDS):
        return (time.perf_counter() - started) * 1000


def main() -> int:
    rows = batches()
    return report(
        [
            Figure(
                "start of a hook process, median",
                statistics.median(start_ms() for _ in range(STARTS)),
                "ms",
                at_most=400,
            ),
            Figure("one row hook", rows_per_cpu_second(ROW_HOOK, rows), "rows/CPU s", at_least=100_000),
            Figure("one row hook, rows spread", rows_per_cpu_second(SPREADING, rows), "rows/CPU s", at_least=100_000),
            Figure(
                "one async row hook", rows_per_cpu_second(f"async {ROW_HOOK}", rows), "rows/CPU s", at_least=100_000
            ),
            Figure("row hook through the whole engine", whole_rows_per_cpu_second(), "rows/CPU s"),
            Figure("one bulk row hook", bulk_rows_per_cpu_second(rows), "rows/CPU s"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
