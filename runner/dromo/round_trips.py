"""RoundTrips: how long the vendor takes to answer a create that was sent."""

from __future__ import annotations

LEAST_SAMPLES = 20
"""So many round trips say how short they can be."""


class RoundTrips:
    """The shortest round trip of a create, from its head being sent to the head of its answer, without connecting."""

    def __init__(self) -> None:
        self._count = 0
        self._shortest_s = float("inf")

    def note(self, seconds: float) -> None:
        """Note the round trip of a create that was answered."""
        self._count += 1
        self._shortest_s = min(self._shortest_s, seconds)

    @property
    def shortest_s(self) -> float:
        """Return the shortest round trip in seconds, 0 until enough of them were seen."""
        return self._shortest_s if self._count >= LEAST_SAMPLES else 0.0
