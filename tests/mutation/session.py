"""The mutants of a target that cosmic-ray made, and the verdicts on them, in a copy of the project."""

from __future__ import annotations

import ast
import hashlib
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.targets import TARGETS

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".mutants"
TOOLS = ROOT / ".tools" / "mutants" / "bin"
VERDICTS = ("killed", "hung", "crashed", "incompetent", "survived")
"""How the output of `ask.py` begins; anything else is no verdict."""
CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = 3600.0
excluded-modules = []
test-command = "{python} -S -E tests/mutation/ask.py"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [
    "core/ReplaceBinaryOperator_.*_(Pow|FloorDiv|Mod|RShift|LShift|BitOr|BitAnd|BitXor)$",
    "core/ReplaceBinaryOperator_(BitOr|BitAnd|BitXor|Pow|FloorDiv|Mod|RShift|LShift)_.*",
    "core/ReplaceBinaryOperator_(Add|Sub)_(Mul|Div)$",
    "core/ReplaceBinaryOperator_(Mul|Div)_(Add|Sub)$",
    "core/ReplaceComparisonOperator_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Is|IsNot)$",
    "core/ReplaceComparisonOperator_(Is|IsNot)_(Eq|NotEq|Lt|LtE|Gt|GtE)$",
    "core/ReplaceComparisonOperator_(Eq|NotEq)_(Lt|LtE|Gt|GtE)$",
    "core/ReplaceComparisonOperator_(Lt|LtE|Gt|GtE)_(Eq|NotEq)$",
    "core/ReplaceComparisonOperator_(Lt_Gt|Gt_Lt|LtE_GtE|GtE_LtE)$",
    "core/ReplaceUnaryOperator_.*",
    "core/VariableReplacer",
    "core/VariableInserter",
]
"""


@dataclass(frozen=True)
class Mutant:
    """A mutant with its verdict; the first changed line tells mutants apart well enough."""

    module: str
    line: str
    instead: str
    verdict: str
    job: str

    def __str__(self) -> str:
        return f"{self.module} | {self.line} | {self.instead}"

    @property
    def outcome(self) -> str:
        return self.verdict.partition(":")[0]


class Session:
    """The session of one target."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module = TARGETS[name].module
        self._place = STATE / name
        self._database = self._place / "mutants.sqlite"

    def test(self, *, seeds: int, listed: set[str]) -> None:
        """Test the mutants that have no verdict, and again those that survived and are not listed."""
        copy_project(self._place)
        if not self._is_current():
            self._make()
        self._skip(unjudged_rows(self._place / self.module))
        self._forget(listed)
        if not self.untested_count():
            return
        with self._judge(seeds):
            run(self._place, TOOLS / "cosmic-ray", "exec", "mutants.toml", self._database)

    def mutants(self) -> list[Mutant]:
        """Return the mutants that have a verdict."""
        return [mutant for mutant in self._tested() if mutant.outcome in VERDICTS]

    def untested_count(self) -> int:
        """Return how many mutants have no verdict: none yet, or the judge ended before it."""
        made = len(self._query("SELECT job_id FROM mutation_specs"))
        return made - len(self._query("SELECT job_id FROM work_results")) + len(self._tested()) - len(self.mutants())

    def _tested(self) -> list[Mutant]:
        query = "SELECT diff, output, job_id FROM work_results WHERE worker_outcome <> 'SKIPPED'"
        return [self._mutant(*row) for row in self._query(query)]

    def _make(self) -> None:
        config = CONFIG.format(module=self.module, python=sys.executable)
        (self._place / "mutants.toml").write_text(config, "utf-8")
        run(self._place, TOOLS / "cosmic-ray", "init", "mutants.toml", self._database, "--force")
        run(self._place, TOOLS / "cr-filter-operators", self._database, "mutants.toml")
        (self._place / "mutants.of").write_text(self._digest(), "utf-8")

    def _skip(self, rows: set[int]) -> None:
        """Leave out the mutants of these lines of the module."""
        self._query(
            "INSERT OR REPLACE INTO work_results (worker_outcome, output, job_id) SELECT 'SKIPPED', '', job_id "
            f"FROM mutation_specs WHERE start_pos_row IN ({', '.join(map(str, sorted(rows)))})"
        )

    def _forget(self, listed: set[str]) -> None:
        """Forget what is no verdict, and survivors that are not listed: tests may notice them by now."""
        for mutant in self._tested():
            if mutant.outcome not in VERDICTS or (mutant.outcome == "survived" and str(mutant) not in listed):
                self._query(f"DELETE FROM work_results WHERE job_id = '{mutant.job}'")

    @contextmanager
    def _judge(self, seeds: int) -> Iterator[None]:
        """Run the judge of this target until the end of the context."""
        socket = self._place / "judge"
        socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.mutation.judge", self.name, str(seeds)]
        with (self._place / "judge.log").open("wb") as log:
            judge = subprocess.Popen(command, cwd=self._place, stdout=log, stderr=log)
        try:
            while not socket.exists():
                if judge.poll() is not None:
                    raise SystemExit(f"{self.name}: the tests fail without a mutant; see {self._place / 'judge.log'}")
                time.sleep(0.1)
            yield
            if judge.poll() is not None:
                raise SystemExit(f"{self.name}: the judge ended; see {self._place / 'judge.log'}")
        finally:
            judge.terminate()
            judge.wait()

    def _is_current(self) -> bool:
        """Tell whether the mutants were made from the module as it is."""
        made_of = self._place / "mutants.of"
        return made_of.exists() and made_of.read_text("utf-8") == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256((ROOT / self.module).read_bytes() + CONFIG.encode()).hexdigest()

    def _query(self, text: str) -> list[tuple[str, ...]]:
        if not self._database.exists():
            return []
        with sqlite3.connect(self._database) as session:
            return session.execute(text).fetchall()

    def _mutant(self, diff: str | None, output: str | None, job: str) -> Mutant:
        lines = (diff or "").splitlines()
        old = next((line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")), "")
        new = next((line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")), "")
        return Mutant(self.module, old, new, (output or "").strip(), job)


def unjudged_rows(path: Path) -> set[int]:
    """Return the lines of signatures, decorators, imports for types, and log entries.

    mypy judges them, or nothing depends on them.
    """
    rows: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        rows |= {decorator.lineno for decorator in getattr(node, "decorator_list", ())}
        match node:
            case ast.FunctionDef(body=[first, *_]) | ast.AsyncFunctionDef(body=[first, *_]):
                rows |= set(range(node.lineno, first.lineno))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                rows.add(node.lineno)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"))):
                rows |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return rows


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
