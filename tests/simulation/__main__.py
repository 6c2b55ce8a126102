"""`python -m tests.simulation`: many seeds, or one of them with its trace."""

from __future__ import annotations

import sys

from tests.simulation.scenario import ALONE, PACKS, SHARED
from tests.support.seeds import main

if __name__ == "__main__":
    sys.exit(main({"alone": ALONE, "packs": PACKS, "shared": SHARED}, command=ALONE.command))
