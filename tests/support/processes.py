"""Operating system processes: a process's children, and waiting for an end without polling."""

import os
import select
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the running children of `pid`."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text().split()]


class Watched:
    """A process that this one didn't start, with a handle to wait for its end."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, and return whether it came. Call this only once."""
        try:
            return bool(select.select([self._descriptor], [], [], seconds)[0])
        finally:
            os.close(self._descriptor)
