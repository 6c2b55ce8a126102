"""Packing without a vendor: CPU time per small file of reading, planning, building, and splitting; memory of a plan.

`python -m benchmarks.packing` packs 20,000 files of 1 to 9 rows and 8 columns, and plans 200,000 files in a process of
its own: once of 50 headers, and once with a header of its own for each file.
"""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from benchmarks.figures import Figure, peak_rss_mb, report
from runner.config.routes import Route
from runner.packing.body import PackBody
from runner.packing.member import Member, read_member
from runner.packing.planner import Candidate, PackLimits, PlannedPack, header_digest, plan_packs
from runner.packing.rules import PackRules, rules_of
from runner.packing.split import PackSplitter

FILES = 20_000
PLANNED_FILES = 200_000
HEADERS_OF_PLANNED_FILES = 50
PLAN_ONLY = "--plan-only"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
FIELDS: tuple[dict[str, Any], ...] = (
    {"key": "id", "label": "Id", "type": "number", "validators": [{"validate": "required"}]},
    {"key": "name", "label": "Name"},
    {"key": "mail", "label": "Mail", "type": "email"},
    {"key": "born", "label": "Born", "type": "date"},
    {"key": "city", "label": "City", "validators": [{"validate": "length", "max": 40}]},
    {"key": "amount", "label": "Amount", "type": ["number", {"preset": "usd"}]},
)
HEADER = ("Id", "Name", "Mail", "Born", "City", "Amount", "Remarks", "Source")
SETTINGS = {"passThroughUnmappedColumns": True}


def tags(count: int) -> list[str]:
    rng = random.Random(1)
    return sorted({"".join(rng.choices(BASE32, k=13)) for _ in range(count)})


def small_file(number: int) -> bytes:
    rng = random.Random(number)
    rows = [",".join(HEADER)]
    for row in range(rng.randint(1, 9)):
        born = f"{rng.randint(1950, 2000)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        rows.append(
            f'{number}{row},Ada {row},ada{row}@example.com,{born},"Ulm, Donau",{rng.random() * 900:.2f},none,csv'
        )
    return ("\n".join(rows) + "\n").encode()


def as_imported(body: PackBody) -> bytes:
    """Return a result as the vendor writes it, without the work of an import: each cell as a text."""
    rows = list(csv.reader(io.StringIO(body.content.decode(), newline="")))
    made = []
    for row in rows[1:]:
        cells: dict[str, Any] = {field["key"]: text for field, text in zip(FIELDS, row[1:], strict=False)}
        cells["$unmapped"] = {"0": row[0], "7": row[7], "8": row[8]}
        made.append(cells)
    return orjson.dumps(made)


def candidate(tag: str, member: Member) -> Candidate:
    return Candidate(
        tag=tag, route="all", binding="b", header=header_digest(member.header), date_order=member.date_order,
        row_count=member.row_count, size_bytes=member.size_bytes, unique_keys=member.unique_keys,
    )  # fmt: skip


def cpu_us_per_file(work: Callable[[], object], count: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / count


def plan_only(header_count: int) -> int:
    """Plan many files that nothing else holds, and print the time and the peak of the memory."""
    names = tags(PLANNED_FILES)

    def candidates() -> Iterator[Candidate]:
        for at, tag in enumerate(names):
            header = f"{at % header_count:016x}"
            yield Candidate(
                tag=tag, route="all", binding="b", header=header, date_order="-", row_count=5, size_bytes=500
            )

    began = time.process_time()
    packs = sum(isinstance(each, PlannedPack) for each in plan_packs(candidates()))
    print((time.process_time() - began) * 1e6 / len(names), peak_rss_mb(), packs)
    return 0


def planned_files(header_count: int) -> tuple[float, float, int]:
    """Return CPU microseconds per file, peak resident memory in MB, and the number of packs of a large plan."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.packing", PLAN_ONLY, str(header_count)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    cpu_us, peak_mb, packs = done.stdout.split()
    return float(cpu_us), float(peak_mb), int(packs)


def main() -> int:
    if PLAN_ONLY in sys.argv:
        return plan_only(int(sys.argv[-1]))
    rules = rules_of(Route(name="all", schema_id="s"), {"fields": list(FIELDS), "settings": SETTINGS, "hooks": {}})
    assert isinstance(rules, PackRules)
    raws = dict(zip(tags(FILES), map(small_file, range(FILES)), strict=True))
    members: dict[str, Member] = {}

    def read() -> None:
        for tag, raw in raws.items():
            found = read_member(raw, rules)
            assert isinstance(found, Member), found
            members[tag] = found

    read_us = cpu_us_per_file(read, FILES)
    packs: list[PlannedPack] = []

    def plan() -> None:
        found = plan_packs((candidate(tag, members[tag]) for tag in raws), PackLimits(), proven={"b"})
        packs.extend(each for each in found if isinstance(each, PlannedPack))

    plan_us = cpu_us_per_file(plan, FILES)
    bodies: list[PackBody] = []
    build_us = cpu_us_per_file(
        lambda: bodies.extend(PackBody((tag, members[tag]) for tag in pack.tags) for pack in packs), FILES
    )
    results = list(map(as_imported, bodies))

    def split() -> None:
        for body, content in zip(bodies, results, strict=True):
            splitter = PackSplitter(
                body.layout, column=body.marker, keeps_unmapped=True, behavior="REMOVE_INVALID_ROWS"
            )
            for at in range(0, len(content), 1 << 16):
                splitter.feed(content[at : at + (1 << 16)])
            splitter.finish({"totalRows": body.layout.row_count})

    split_us = cpu_us_per_file(split, FILES)
    large_plan_us, peak_mb, pack_count = planned_files(HEADERS_OF_PLANNED_FILES)
    _, worst_peak_mb, _ = planned_files(PLANNED_FILES)
    return report(
        [
            Figure("files a pack", FILES / len(packs), "files", at_least=700),
            Figure("read one file of 5 rows", read_us, "us CPU", at_most=400),
            Figure("plan one file", plan_us, "us CPU", at_most=40),
            Figure("build one file's part of a pack", build_us, "us CPU", at_most=60),
            Figure("split one file's part of a result", split_us, "us CPU", at_most=400),
            Figure(f"plan one of {PLANNED_FILES:,} files", large_plan_us, "us CPU", at_most=40),
            Figure(f"packs of {PLANNED_FILES:,} files", pack_count, "packs", at_most=350),
            Figure(f"peak memory of planning {PLANNED_FILES:,} files", peak_mb, "MB", at_most=150),
            Figure("the same if each has a header of its own", worst_peak_mb, "MB"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
