"""`python -m tests.mutation.seeds N`: play seeds up to the first that breaks something, and print its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.simulation.scenario import ALONE, SHARED
from tests.support.seeds import Kind


def seeds(count: int) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield so many seeds, half of them on a shared ledger: the name, and what tells whether it breaks something."""
    for name, kind in (("alone", ALONE), ("shared", SHARED)):
        for seed in range(count // 2):
            yield f"{name} seed {seed}", partial(breaks, kind, seed)


def breaks(kind: Kind[Any], seed: int) -> bool:
    try:
        return kind.broken_by(seed)[1] is not None
    except Exception:  # noqa: BLE001 - a mutant may raise anything
        return True


def main(count: int) -> int:
    found = next((name for name, is_broken in seeds(count) if is_broken()), None)
    print(found or "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
