"""`python -m tests.mutation [TARGET ...]`: change the code in small ways with cosmic-ray; some test must notice each.

The mutants of a target and what became of them are kept in `.mutants`, so that an interrupted run continues; a module
that has changed since starts again. A survivor fails the run unless `survivors.txt` says why it cannot harm.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.targets import TARGETS

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".mutants"
TOOLS = ROOT / ".tools" / "mutants" / "bin"
LISTED = Path(__file__).with_name("survivors.txt")
TIMEOUT_S = 150.0
CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = {timeout_s}
excluded-modules = []
test-command = "{python} -m tests.mutation.judge {name}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [
    "core/ReplaceBinaryOperator_.*_(Pow|FloorDiv|Mod|RShift|LShift|BitOr|BitAnd|BitXor)",
    "core/ReplaceBinaryOperator_(BitOr|BitAnd|BitXor|Pow|FloorDiv|Mod|RShift|LShift)_.*",
    "core/ReplaceComparisonOperator_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Is|IsNot)",
    "core/ReplaceComparisonOperator_(Is|IsNot)_(Eq|NotEq|Lt|LtE|Gt|GtE)",
    "core/ReplaceComparisonOperator_(Eq|NotEq)_(Lt|LtE|Gt|GtE)",
    "core/ReplaceUnaryOperator_.*",
    "core/VariableReplacer",
    "core/VariableInserter",
]
"""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed: the module, the line as it is, and the line as it would be."""

    module: str
    line: str
    instead: str

    def __str__(self) -> str:
        return f"{self.module} | {self.line} | {self.instead}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Test the tests with mutants.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="targets to work on at the same time")
    parser.add_argument("--report", action="store_true", help="only tell what the last run found")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if not options.report:
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(mutate, names))
    reasons = dict(listed())
    return max([tell(name, reasons) for name in names])


def mutate(name: str) -> None:
    """Test all mutants of a target that were not tested yet, in a copy of the project."""
    place = STATE / name
    if not is_current(name):
        copy_project(place)
        config = CONFIG.format(module=TARGETS[name].module, timeout_s=TIMEOUT_S, python=sys.executable, name=name)
        (place / "mutants.toml").write_text(config, "utf-8")
        run(place, TOOLS / "cosmic-ray", "init", "mutants.toml", "mutants.sqlite", "--force")
        run(place, TOOLS / "cr-filter-operators", "mutants.sqlite", "mutants.toml")
        skip_signatures(name)
        run(place, sys.executable, "-m", "tests.mutation.judge", name)
        (place / "mutants.of").write_text(digest(name), "utf-8")
    shutil.copyfile(ROOT / TARGETS[name].module, place / TARGETS[name].module)
    print(f"{name}: testing mutants", flush=True)
    run(place, TOOLS / "cosmic-ray", "exec", "mutants.toml", "mutants.sqlite")


def skip_signatures(name: str) -> None:
    """Skip mutants of signatures, imports for types, and log entries, which mypy judges or nothing depends on."""
    tree = ast.parse((STATE / name / TARGETS[name].module).read_text("utf-8"))
    rows: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(body=[first, *_]) | ast.AsyncFunctionDef(body=[first, *_]):
                rows |= set(range(node.lineno, first.lineno))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                rows.add(node.lineno)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"))):
                rows |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    where = f"start_pos_row IN ({', '.join(map(str, sorted(rows)))})"
    with sqlite3.connect(STATE / name / "mutants.sqlite") as session:
        session.execute(
            "INSERT OR IGNORE INTO work_results (worker_outcome, output, job_id) "
            f"SELECT 'SKIPPED', 'nothing runs it', job_id FROM mutation_specs WHERE {where}"
        )


def is_current(name: str) -> bool:
    """Tell whether the mutants of a target were made from its module as it is."""
    made_of = STATE / name / "mutants.of"
    return made_of.exists() and made_of.read_text("utf-8") == digest(name)


def digest(name: str) -> str:
    return hashlib.sha256((ROOT / TARGETS[name].module).read_bytes()).hexdigest()


def copy_project(place: Path) -> None:
    """Copy the files that git knows or would add, and link the tools."""
    known = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(known, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        source, copy = ROOT / name, place / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copyfile(source, copy)
    link = place / ".tools"
    if not link.exists():
        link.symlink_to(ROOT / ".tools")


def run(place: Path, *command: object) -> None:
    done = subprocess.run([str(part) for part in command], cwd=place, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def tell(name: str, reasons: dict[str, str]) -> int:
    """Print what became of the mutants of a target; returns an exit code."""
    counts = {"killed": 0, "survived": 0, "incompetent": 0, "untested": 0}
    left: list[Survivor] = []
    for outcome, diff in outcomes(name):
        counts[outcome] += 1
        if outcome == "survived" and str(found := survivor(name, diff)) not in reasons:
            left.append(found)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    print(f"{name}: {told or 'no mutants yet'}; {len(left)} survivors are not listed")
    for found in left:
        print(f"  {found}")
    return 1 if left or counts["untested"] or not counts["killed"] else 0


def outcomes(name: str) -> Iterator[tuple[str, str]]:
    """Yield the outcome and the diff of each mutant."""
    place = STATE / name
    if not (place / "mutants.sqlite").exists():
        return
    dump = [str(TOOLS / "cosmic-ray"), "dump", "mutants.sqlite"]
    text = subprocess.run(dump, cwd=place, capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        _, result = json.loads(line)
        if result is None:
            yield "untested", ""
        elif result["worker_outcome"] != "skipped":
            yield result["test_outcome"] or "incompetent", result["diff"] or ""


def survivor(name: str, diff: str) -> Survivor:
    """Return what a diff changes; the first changed line tells mutants apart well enough."""
    lines = diff.splitlines()
    old = next((line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")), "")
    new = next((line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")), "")
    return Survivor(TARGETS[name].module, old, new)


def listed() -> Iterator[tuple[str, str]]:
    """Yield the survivors that cannot harm, each with the reason."""
    for line in LISTED.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            mutant, _, reason = line.rpartition(" | ")
            yield mutant, reason


if __name__ == "__main__":
    sys.exit(main())
