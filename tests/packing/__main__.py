"""Compares packed imports with single ones for many seeds: `python -m tests.packing --seeds 2000 [--first 0]`."""

from __future__ import annotations

import argparse
import sys

from tests.packing.equality import Account, check
from tests.packing.hostile import KINDS
from tests.packing.world import World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    account, failed = Account(), []
    for seed in range(given.first, given.first + given.seeds):
        try:
            check(World(seed), account)
            check(World(seed, usual_kind=KINDS[seed % len(KINDS)], mixed_share=0.1), account)
        except AssertionError as error:
            failed.append(seed)
            print(f"seed {seed}: {str(error)[:600]}")
    print(f"{account.packed.total()} files in {account.packs} packs, {account.alone.total()} alone")
    print("packed:", dict(account.packed.most_common()))
    print("alone:", dict(account.alone.most_common()))
    print(f"{len(failed)} seeds failed: {failed[:50]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
