"""Very many file names in sorted order and little memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

RUN_LENGTH = 32_768
"""Names sorted at a time: short enough that sorting never keeps an event loop waiting."""

_BLOCK_LENGTH = 512


class SortedNames:
    """Byte strings without NUL, handed out in sorted order; a name costs its length and one byte more."""

    def __init__(self) -> None:
        self._runs: list[list[bytes]] = []
        self._open: list[bytes] = []

    def add(self, name: bytes) -> None:
        """Take one name."""
        self._open.append(name)
        if len(self._open) == RUN_LENGTH:
            self._close_run()

    def __iter__(self) -> Iterator[bytes]:
        self._close_run()
        if len(self._runs) == 1:
            return _unpacked(self._runs[0])
        return heapq.merge(*map(_unpacked, self._runs))

    def _close_run(self) -> None:
        names = sorted(self._open)
        blocks = range(0, len(names), _BLOCK_LENGTH)
        if names:
            self._runs.append([b"\0".join(names[at : at + _BLOCK_LENGTH]) for at in blocks])
        self._open = []


def _unpacked(blocks: list[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield from block.split(b"\0")
