"""`python -m tests.mutation.judge TARGET SEEDS`: judge the mutants of a module, each in a copy of this process.

The process imports the tests and runs each once, to learn which of them run which function. Then it waits until
`ask.py` asks for a verdict on the mutant that is in the module's file. A fork gives the changed function its new code,
and runs the tests and seeds that run this function, up to the first that fails.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol
from coverage import Coverage

from tests.mutation.swap import Change, Original
from tests.mutation.targets import TARGETS, Target

PYTEST = ("-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no")
LEAST_CPU_S = 2.0
TIMES_SLOWER = 10
"""A check hangs if it takes so many times the CPU time that it takes without a mutant, plus the least."""
MAY_HANG = 2
"""After so many checks that hang, no other is tried."""

WALL_S_PER_CPU_S = 100
"""The same for the time that it waits, for a machine that is busy."""


@dataclass(frozen=True)
class Check:
    """A test or a seed; `fails` runs it, and `cpu_s` is the CPU time that this takes without a mutant."""

    name: str
    fails: Callable[[], bool]
    cpu_s: float = 0.0

    @property
    def most_cpu_s(self) -> float:
        return LEAST_CPU_S + TIMES_SLOWER * self.cpu_s


class Judge:
    """A pytest plugin that gives verdicts instead of running the tests."""

    def __init__(self, target: Target, *, seeds: int) -> None:
        self._path = Path(target.module).resolve()
        self._seeds = seeds if target.kinds else 0
        self._kinds = target.kinds
        self._coverage = Coverage(data_file=None, config_file=False, include=[str(self._path)])
        self._arguments = [*PYTEST, "-k", target.only, *target.tests]
        self._kills: Counter[str] = Counter()

    def run(self) -> int:
        self._coverage.start()
        return int(pytest.main(self._arguments, plugins=[self]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tests = [Check(item.nodeid, partial(fails, item)) for item in session.items]
        self._checks = [self._measured(check) for check in [*tests, *self._seeds_to_play()]]
        self._coverage.stop()
        self._run_by = self._coverage.get_data().contexts_by_lineno(str(self._path))
        self._original = Original(self._path)
        Path(importlib.util.cache_from_source(str(self._path))).unlink(missing_ok=True)
        if not (unchanged := self._in_fork([], self._checks[: len(tests)])).startswith("survived"):
            pytest.exit(f"a second run without a mutant: {unchanged}", returncode=1)
        self._serve()
        return True

    def _seeds_to_play(self) -> list[Check]:
        if not self._seeds:
            return []
        from tests.mutation.seeds import seeds

        return [Check(*seed) for seed in seeds(self._seeds, self._kinds)]

    def _measured(self, check: Check) -> Check:
        self._coverage.switch_context(check.name)
        started = time.process_time()
        if check.fails():
            pytest.exit(f"{check.name} fails without a mutant", returncode=1)
        return replace(check, cpu_s=time.process_time() - started)

    def _serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("judge")
            server.listen()
            while True:
                question, _ = server.accept()
                with question:
                    question.sendall(self._verdict().encode())

    def _verdict(self) -> str:
        """Judge the mutant that is in the module's file."""
        try:
            changes = self._original.changes()
        except SyntaxError:
            return "incompetent: it does not compile"
        ran = self._ran(changes or [])
        at_import = changes is None or "" in ran
        checks = self._checks if at_import else [check for check in self._checks if check.name in ran]
        checks = sorted(checks, key=lambda check: (-self._kills[check.name], check.cpu_s))
        verdict = self._judged(None if at_import else changes, checks)
        self._kills[verdict.removeprefix("killed: ")] += 1
        return verdict or self._afresh()

    def _ran(self, changes: list[Change]) -> set[str]:
        """Return the names of the checks that run a changed function; an empty one stands for the import."""
        return {name for change in changes for line in change.lines() for name in self._run_by.get(line, ())}

    def _judged(self, changes: list[Change] | None, checks: list[Check], *, may_hang: int = MAY_HANG) -> str:
        """Run the checks in a fork; if one hangs, look for another that fails."""
        verdict = self._in_fork(changes, checks)
        if verdict.startswith("hung: ") and may_hang:
            others = [check for check in checks if check.name != verdict.removeprefix("hung: ")]
            found = self._judged(changes, others, may_hang=may_hang - 1)
            return found if found.startswith("killed: ") else verdict
        return verdict

    def _in_fork(self, changes: list[Change] | None, checks: list[Check]) -> str:
        """Return the verdict of a copy of this process; an empty one if it takes a new process."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self._try(changes, checks, writer)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as told:
            *_, last = ["", *told.read().splitlines()]
        _, status = os.waitpid(child, 0)
        if not last or last.startswith(("killed: ", "survived: ")):
            return last
        hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGALRM, signal.SIGPROF}
        return f"{'hung' if hung else 'crashed'}: {last}"

    def _try(self, changes: list[Change] | None, checks: list[Check], writer: int) -> NoReturn:
        """Become the mutant and run the checks, each named before; a signal ends the process if one hangs."""
        try:
            if changes is None:
                is_mutant = self._original.apply_constants()
            else:
                is_mutant = True
                self._original.apply(changes)
            for check in checks if is_mutant else ():
                os.write(writer, f"{check.name}\n".encode())
                signal.setitimer(signal.ITIMER_PROF, check.most_cpu_s)
                signal.alarm(round(WALL_S_PER_CPU_S * check.most_cpu_s))
                if check.fails():
                    os.write(writer, f"killed: {check.name}\n".encode())
                    break
            else:
                os.write(writer, f"survived: {len(checks)} checks\n".encode() if is_mutant else b"")
        finally:
            os._exit(0)

    def _afresh(self) -> str:
        """Judge a mutant of what an import runs, in new processes."""
        most_cpu_s = round(10 * LEAST_CPU_S + TIMES_SLOWER * sum(check.cpu_s for check in self._checks))
        tests = python("-m", "pytest", *self._arguments, "-rfE", most_cpu_s=most_cpu_s)
        if tests.returncode < 0:
            return "hung: a test"
        if tests.returncode > 1:
            return "incompetent: no test can import it"
        if tests.returncode == 1:
            failed = (line for line in tests.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
            return f"killed: {next(failed)}"
        if not self._seeds:
            return "survived: all checks"
        played = python("-m", "tests.mutation.seeds", self._seeds, *self._kinds, most_cpu_s=most_cpu_s)
        if played.returncode < 0:
            return "hung: a seed"
        return f"killed: {played.stdout.strip()}" if played.returncode else "survived: all checks"


def fails(item: pytest.Item) -> bool:
    """Run a test; the fixtures of the session stay."""
    reports = runtestprotocol(item, log=False, nextitem=item.session)  # type: ignore[arg-type]
    return any(report.failed for report in reports)


def python(*arguments: object, most_cpu_s: int) -> subprocess.CompletedProcess[str]:
    """Run Python without its cache of compiled files, which may have an earlier mutant; the kernel ends what hangs."""
    command = [sys.executable, "-B", *map(str, arguments)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (most_cpu_s, most_cpu_s))

    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)


if __name__ == "__main__":
    sys.exit(Judge(TARGETS[sys.argv[1]], seeds=int(sys.argv[2])).run())
