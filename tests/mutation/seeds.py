"""`python -m tests.mutation.seeds N KIND...`: play seeds up to the first that breaks something; print its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tests.simulation.scenario import ALONE, PACKS, SHARED
from tests.support.seeds import Kind

KINDS = {"alone": ALONE, "shared": SHARED, "packs": PACKS}


def seeds(count: int, kinds: Sequence[str]) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield so many seeds, as many of each kind: the name, and what tells whether it breaks something."""
    for name in kinds:
        for seed in range(count // len(kinds)):
            yield f"{name} seed {seed}", partial(breaks, KINDS[name], seed)


def breaks(kind: Kind[Any], seed: int) -> bool:
    try:
        return kind.broken_by(seed)[1] is not None
    except Exception:  # noqa: BLE001 - a mutant may raise anything
        return True


def main(count: int, kinds: Sequence[str]) -> int:
    found = next((name for name, is_broken in seeds(count, kinds) if is_broken()), None)
    print(found or "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
