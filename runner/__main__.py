"""The `bulkhead` command: answers `--version` at once, and imports the command line for everything else."""

from __future__ import annotations

import sys

from runner._version import __version__


def main() -> None:
    """Run the command line with this process's arguments, and exit."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"bulkhead {__version__}\n")
        return
    from runner.cli.app import build
    from runner.cli.terminal import guard_terminal

    guard_terminal()
    build(sys.argv[1:])(prog_name="bulkhead")


if __name__ == "__main__":
    main()
