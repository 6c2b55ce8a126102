"""The vendor's rate limits: a sliding log of accepted requests, as Django REST framework keeps it."""

import math
import re
from collections import deque
from dataclasses import dataclass

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(?P<count>\d+)/(?P<factor>\d*)(?P<unit>[a-z]*)", re.ASCII)


@dataclass(frozen=True)
class Rate:
    """At most `count` accepted requests in any window of `window_s` seconds."""

    count: int
    window_s: float


CREATE_QUOTA = Rate(20, 60.0)
POLL_QUOTA = Rate(12, 60.0)


def parse_rate(text: str) -> Rate:
    """Read "20/60s", "20/60", "20/minute" or "20/2m" (only a unit's first letter counts).

    Raises ValueError for anything else.
    """
    match = _RATE.fullmatch(text.strip().lower())
    if match is None or not (match["factor"] or match["unit"]):
        raise ValueError(f"not a rate such as 20/60s or 20/minute: {text!r}")
    unit_s = _UNIT_S.get(match["unit"][:1] or "s")
    window_s = int(match["factor"] or 1) * (unit_s or 0)
    if window_s <= 0:
        raise ValueError(f"a rate's window must be some seconds, minutes, hours or days: {text!r}")
    return Rate(int(match["count"]), float(window_s))


class SlidingLog:
    """The instants of a client's accepted requests; a refused request is not logged.

    The window is half-open: a request exactly `window_s` after an older one no longer counts it. The caller gives
    instants in epoch seconds. `rate` may change at any time.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._accepted: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Log the request and return True, or return False and leave the log unchanged."""
        while self._accepted and self._accepted[0] <= now - self.rate.window_s:
            self._accepted.popleft()
        if len(self._accepted) >= self.rate.count:
            return False
        self._accepted.append(now)
        return True

    def restore(self, at: float) -> None:
        """Log a request that an earlier process accepted; call in the order of acceptance."""
        self._accepted.append(at)

    def retry_after_s(self, now: float) -> int | None:
        """Return whole seconds for `Retry-After` after a refusal at `now`; None if the log exceeds the rate."""
        age_s = now - self._accepted[0] if self._accepted else 0.0
        free_count = self.rate.count - len(self._accepted) + 1
        if free_count <= 0:
            return None
        return math.ceil((self.rate.window_s - age_s) / free_count)
