"""Processes as the kernel shows them: children, and waiting for an end without sleeping."""

import os
import select
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that `pid` has started and that live."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text().split()]


class Watched:
    """A process of somebody else, held so that its end can be waited for."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; whether it came. To be asked once."""
        try:
            return bool(select.select([self._descriptor], [], [], seconds)[0])
        finally:
            os.close(self._descriptor)
