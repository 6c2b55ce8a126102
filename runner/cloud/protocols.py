"""The protocols of the functions: queues, notifier, metrics, and where batches read and write; and the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from runner.protocols import Source

if TYPE_CHECKING:
    from runner.cloud.messages import Message, ObjectCreated
    from runner.models import BatchState
    from runner.protocols import Sink, SourceEntry
    from runner.sources import ObjectVersion, SourceSpec

TimeLeft = Callable[[], float]
"""Returns the seconds that the function may still run."""

MAX_DELAY_S = 900
"""The longest delay of a message in SQS."""

MAX_RECEIVES = 5
"""A message that failed this often goes to the dead-letter queue (`maxReceiveCount` in template.yaml)."""

_RETRY_AFTER_S = (30, 90, 270, 810)


@dataclass(frozen=True, slots=True)
class Done:
    """The message needs no more work: acknowledge it."""


@dataclass(frozen=True, slots=True)
class Requeued:
    """The message was sent again, to arrive in `delay_s` seconds: acknowledge the one in hand."""

    delay_s: int


Outcome = Done | Requeued
"""What an entry point returns; the message is acknowledged in both cases. Only an exception is a failure."""


def retry_after_s(receives: int) -> int:
    """Return for how many seconds to hide a message that failed: 30, 90, 270, then 810. `receives` counts from 1."""
    return _RETRY_AFTER_S[min(max(receives, 1), len(_RETRY_AFTER_S)) - 1]


class Queue(StrEnum):
    REGISTER = "register"
    SUBMIT = "submit"
    LOAD = "load"
    UPLOAD = "upload"
    LIST = "list"
    COLLECT = "collect"
    FINISH = "finish"


class Queues(Protocol):
    """Deliver each message at least once, in no particular order. All methods may raise TransientError."""

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        """Send any number of messages, each separately; returns when the queue has stored all of them."""
        ...

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        """Return whether the queue knows of no message that waits, is delayed, or is being processed.

        With `apart_from`, that many messages at most do not count.
        """
        ...


class Mailbox(Queues, Protocol):
    """Queues, and what becomes of messages that were received from them."""

    async def hide(self, queue: Queue, receipt: str, *, for_s: int) -> None:
        """Hide a received message for `for_s` seconds; then it is delivered again. May raise TransientError."""
        ...


class Notifier(Protocol):
    """Publishes the ends of batches, and changes of the configuration."""

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        """Publish an end. `summary` has the fields of `summary.json`, `reason`, `manifest` (its url), and `end`.

        `end` identifies this end: if a function is killed after publishing, the same end is published again.
        """
        ...

    async def config_changed(self, sentence: str, changes: Sequence[str], *, place: str) -> None:
        """Publish a change of the configuration at `place`, an `s3://` url; `changes` are lines for people.

        A function that is killed after publishing publishes the same change again.
        """
        ...


class Metrics(Protocol):
    """Records metrics for the dashboard and the alarms; infra/metrics.md lists their names."""

    def add_metric(self, name: str, value: float, unit: str = "Count") -> None:
        """Record a value; `unit` is one of CloudWatch's, such as `Count` or `Seconds`."""
        ...


class PagedSource(Source, Protocol):
    """A source that is listed one page at a time, each page by another function."""

    async def page(self, token: str | None) -> tuple[list[SourceEntry], str | None]:
        """Return one page of entries and the token of the next. Raises SourceNotFound, ConfigError, Unavailable."""
        ...

    def entry(self, key: str, version: ObjectVersion) -> SourceEntry | None:
        """Return the entry of one object by its whole key; None if the source's filters exclude it."""
        ...


class Places(Protocol):
    """Opens the source and the sink of a batch."""

    def source(self, spec: SourceSpec) -> PagedSource: ...

    def sink(self, out: str) -> Sink: ...

    async def inbox_page(self, root: str, token: str | None) -> tuple[list[ObjectCreated], str | None]:
        """Return the latest versions of the objects in one page of an `s3://` url, and the token of the next.

        `at` is the time that S3 shows for the object. Raises ConfigError, SourceNotFound, Unavailable.
        """
        ...
