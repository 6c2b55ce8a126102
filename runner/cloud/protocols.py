"""The seams of the event-driven core: queues, who is told of ends, figures, and where batches lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from runner.protocols import Source

if TYPE_CHECKING:
    from runner.cloud.messages import Message
    from runner.models import BatchState
    from runner.protocols import Sink, SourceEntry
    from runner.sources import ObjectVersion, SourceSpec

TimeLeft = Callable[[], float]
"""Seconds that are left to the function."""

MOST_DELAY_S = 900
"""The longest delay a queue takes."""

MOST_RECEIVES = 5
"""A message that was received so often without success goes to the dead-letter queue."""

_COMES_BACK_AFTER_S = (30, 90, 270, 810)


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do for the message: acknowledge it."""


@dataclass(frozen=True, slots=True)
class Requeued:
    """The work was sent anew, to come in `delay_s` seconds: acknowledge the message all the same."""

    delay_s: int


Outcome = Done | Requeued
"""What an entry point returns: the message is acknowledged either way. Only what is raised is a failure."""


def comes_back_after_s(receives: int) -> int:
    """Return how long a message that failed is best kept invisible: 30, 90, 270 and 810 seconds."""
    return _COMES_BACK_AFTER_S[min(max(receives, 1), len(_COMES_BACK_AFTER_S)) - 1]


class Queue(StrEnum):
    SUBMIT = "submit"
    LIST = "list"
    COLLECT = "collect"
    FINISH = "finish"


class Queues(Protocol):
    """Deliver at least once, in no order. Both may raise TransientError."""

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        """Send any number of messages, each as one of its own; returns once all are kept."""
        ...

    async def is_empty(self, queue: Queue) -> bool:
        """Tell whether no message waits, is delayed or is being worked on, as far as the queue knows."""
        ...


class Notifier(Protocol):
    """Tells whoever listens that a batch has come to an end."""

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        """`summary` has the fields of `summary.json`, `reason`, `manifest` (where it lies) and `end`.

        `end` names this end of the batch: where a function was killed in between, the same is told again.
        """
        ...


class Metrics(Protocol):
    """Takes figures for the dashboard."""

    def gauge(self, name: str, value: float, unit: str = "Count") -> None:
        """`unit` is `Count` or `Seconds`."""
        ...


class PagedSource(Source, Protocol):
    """A source that is listed a page at a time, by whoever comes next."""

    async def page(self, token: str | None) -> tuple[list[SourceEntry], str | None]:
        """Return one page of entries and the token of the next. Raises SourceNotFound, ConfigError, Unavailable."""
        ...

    def entry(self, key: str, version: ObjectVersion) -> SourceEntry | None:
        """Return the entry of one object, by its whole key; None where the source's filters leave it out."""
        ...


class Places(Protocol):
    """Opens where a batch's items come from and where its results go."""

    def source(self, spec: SourceSpec) -> PagedSource: ...

    def sink(self, out: str) -> Sink: ...
