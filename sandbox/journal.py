"""What a sandbox tells whoever keeps its account, and what it takes back at a start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.clock import Reading
from sandbox.imports import Import


@dataclass(frozen=True)
class Registration:
    """A managed webhook: its address and the events it is told; an `id` of the sandbox's own."""

    id: str
    url: str
    events: tuple[str, ...]


@dataclass(kw_only=True)
class Delivery:
    """One webhook on its way: its body, how often it was tried, and when (epoch seconds) it is due next.

    A `held` one goes when a later one has gone, at the latest when it is due.
    """

    id: str
    import_id: str
    event: str
    url: str
    content_type: str
    body: str
    due_at: float
    attempts: int = 0
    held: bool = False


@dataclass(kw_only=True)
class SavedAccount:
    """An account as it was kept. `imports` from oldest to newest; `figures` are name, key and count in their order.

    `admitted` are the accepted requests by log ("" for creates, else an import's id); `preloaded` maps the ids of
    schemas given at a start to a digest of what was given.
    """

    secret: bytes
    clock: Reading | None = None
    imports: list[Import] = field(default_factory=list)
    schemas: list[dict[str, Any]] = field(default_factory=list)
    preloaded: dict[str, str] = field(default_factory=dict)
    figures: list[tuple[str, str, int]] = field(default_factory=list)
    admitted: list[tuple[str, float]] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)


class Journal(Protocol):
    """Hears of every change as it happens; between two calls of `commit` it keeps everything or nothing."""

    def import_changed(self, found: Import) -> None:
        """An import is new or anything but its outcome has changed."""

    def import_finished(self, found: Import) -> None:
        """An import has an outcome, or another one."""

    def import_gone(self, import_id: str) -> None:
        """An import was deleted or dropped."""

    def schema_changed(self, schema: Mapping[str, Any], *, given: str | None = None) -> None:
        """A saved schema is new or another; `given` is its digest where it was given at the start."""

    def schema_gone(self, schema_id: str) -> None:
        """A saved schema was deleted."""

    def counted(self, name: str, key: str) -> None:
        """One more of a figure."""

    def figure_forgotten(self, name: str, key: str) -> None:
        """A figure no longer matters."""

    def admitted(self, log: str, at: float, *, window_s: float) -> None:
        """A request was accepted; those of its log that left the window no longer matter."""

    def registered(self, registration: Registration) -> None:
        """A managed webhook is new."""

    def unregistered(self, registration_id: str) -> None:
        """A managed webhook is gone."""

    def delivery_changed(self, delivery: Delivery) -> None:
        """A delivery is new or was tried."""

    def delivery_gone(self, delivery_id: str) -> None:
        """A delivery came to its end."""

    def clock_set(self, reading: Reading) -> None:
        """The clock goes on from this reading."""

    def forgotten(self) -> None:
        """A reset: schemas and registrations stay, all else is gone."""

    def commit(self) -> None:
        """Keep what was told. Raises OSError where that cannot be."""


class NoJournal:
    """Keeps nothing: the journal of a sandbox in memory."""

    def import_changed(self, found: Import) -> None: ...

    def import_finished(self, found: Import) -> None: ...

    def import_gone(self, import_id: str) -> None: ...

    def schema_changed(self, schema: Mapping[str, Any], *, given: str | None = None) -> None: ...

    def schema_gone(self, schema_id: str) -> None: ...

    def counted(self, name: str, key: str) -> None: ...

    def figure_forgotten(self, name: str, key: str) -> None: ...

    def admitted(self, log: str, at: float, *, window_s: float) -> None: ...

    def registered(self, registration: Registration) -> None: ...

    def unregistered(self, registration_id: str) -> None: ...

    def delivery_changed(self, delivery: Delivery) -> None: ...

    def delivery_gone(self, delivery_id: str) -> None: ...

    def clock_set(self, reading: Reading) -> None: ...

    def forgotten(self) -> None: ...

    def commit(self) -> None: ...
