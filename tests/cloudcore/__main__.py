"""`python -m tests.cloudcore`: many seeds, or one of them with its trace."""

from __future__ import annotations

import sys

from tests.cloudcore.scenario import CLOUD
from tests.support.seeds import main

if __name__ == "__main__":
    sys.exit(main({"cloud": CLOUD}, command=CLOUD.command))
