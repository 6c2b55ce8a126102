"""What warnings cost: the same imports with the engine's warnings and without them, in turn in one process.

`python -m benchmarks.warning_cost [PAIRS]` imports the files of `benchmarks.engine` and `benchmarks.check` with the
engine that both use, so many times (41 by default) in each state, and prints the median ratio of their CPU times. Runs
are short and alternate, so that other load on the machine meets both states. Without warnings means that everything
that only looks for them is replaced by nothing. The whole commands do more besides, so their share is smaller.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks import check, engine
from benchmarks.figures import Figure, report
from runner.check.engine import DiscardedResult
from sandbox.engine import metadata, run_import, table_builder
from sandbox.engine.reading import text
from sandbox.engine.reading.text_watch import TextWatch
from sandbox.engine.row_watch import RowWatch
from sandbox.engine.types.string import StringKind

PAIRS = 41
ROWS = 20_000
SMALL_FILES = 60
COST_AT_MOST = 1.05


def _nothing(*_arguments: object, **_options: object) -> None:
    return None


def _without_look(look: text.ByteLook, chunks: Iterator[bytes]) -> Iterator[bytes]:
    look.has_plus = False
    return chunks


@contextmanager
def without_warnings() -> Iterator[None]:
    """Replace everything that only looks for warnings by nothing."""
    with ExitStack() as stack:
        for owner, name, stub in (
            (RowWatch, "see", _nothing),
            (TextWatch, "see_spanning", _nothing),
            (TextWatch, "see_escapes", _nothing),
            (StringKind, "column", lambda _kind, texts, _memo: texts),
            (text.ByteLook, "through", _without_look),
            (table_builder, "watch_above", _nothing),
            (metadata, "warn_of_values", _nothing),
        ):
            stack.enter_context(mock.patch.object(owner, name, stub))
        yield


def cpu_s(paths: list[Path], schema: Mapping[str, Any]) -> float:
    began = time.process_time()
    for path in paths:
        outcome = run_import(path, schema=schema, filename=path.name, result=DiscardedResult())
        assert outcome.status == "SUCCESSFUL", outcome.errors
    return time.process_time() - began


def ratio(paths: list[Path], fields: list[dict[str, Any]], pairs: int) -> float:
    """Return the median ratio of pairs of runs, with and without warnings; every second pair begins with the latter."""

    def without() -> float:
        with without_warnings():
            return cpu_s(paths, {"fields": fields})

    states: tuple[Callable[[], float], ...] = (lambda: cpu_s(paths, {"fields": fields}), without)
    ratios = []
    for number in range(pairs + 1):
        order = states if number % 2 else states[::-1]
        spent = {state: state() for state in order}
        if number:  # the first pair imports libraries
            ratios.append(spent[states[0]] / spent[states[1]])
    return median(ratios)


def main(arguments: list[str]) -> int:
    pairs = int(arguments[0]) if arguments else PAIRS
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        home = Path(directory)
        engine.make_file(home / "customers.csv", ROWS)
        check.make_files(home / "small", SMALL_FILES)
        check.make_large(home / "large", ROWS)
        stack.enter_context(mock.patch.object(text, "HELD_MAX_BYTES", 64 << 10))  # as if the files were large
        found = (
            (f"engine: {ROWS:,} rows of 12 columns", ratio([home / "customers.csv"], engine.FIELDS, pairs)),
            (f"check: {ROWS:,} rows of 6 columns", ratio([home / "large" / "large.csv"], check.FIELDS, pairs)),
            (
                f"check: {SMALL_FILES:,} files of 20 rows",
                ratio(sorted((home / "small").rglob("*.csv")), check.FIELDS, pairs),
            ),
        )
    return report([Figure(name, value, "x", at_most=COST_AT_MOST) for name, value in found])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
