"""A figure and the limit it is held against, and how a benchmark prints them."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and the limit it is held against, if there is one."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        limit = f">= {self.at_least:,}" if self.at_least is not None else ""
        limit = f"<= {self.at_most:,}" if self.at_most is not None else limit
        return f"{self.name:44} {self.value:14,.3f} {self.unit:9} {limit:14} {'' if self.holds else 'MISSED'}"


def report(figures: list[Figure]) -> int:
    """Print a line a figure; returns the exit status: 1 where one misses its limit."""
    print(*figures, sep="\n")
    return 0 if all(figure.holds for figure in figures) else 1


def peak_rss_mb() -> float:
    """Return this process's peak resident memory in MB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
