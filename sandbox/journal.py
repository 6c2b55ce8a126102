"""The journal: records every change of an account, so that the next start can continue from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.clock import Reading
from sandbox.imports import Import


@dataclass(frozen=True)
class Registration:
    """A managed webhook: its URL and the events it gets. The sandbox makes its `id`.

    `import_identifiers` and `schema_ids` are the imports it reports: those with any of them, or all if both are empty.
    `development_mode` True or False is the mode of these imports, None is either.
    """

    id: str
    url: str
    events: tuple[str, ...]
    import_identifiers: tuple[str, ...] = ()
    schema_ids: tuple[str, ...] = ()
    development_mode: bool | None = None


@dataclass(kw_only=True)
class Delivery:
    """One webhook to deliver: its body, how often it was tried, and when (epoch seconds) it is due next.

    A `held` one is sent after a later one, or when it is due.
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
    """An account as the last process left it. `imports` run from oldest to newest; `figures` are (name, key, count).

    `admitted` are the requests that count against a quota, by log ("" for creates, else an import's id). `preloaded`
    maps the ids of schemas that an earlier start was given to a digest of their content.
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
    """Records every change when it happens. Between two calls of `commit`, it saves everything or nothing."""

    def import_changed(self, found: Import) -> None:
        """An import is new, or anything but its outcome changed."""

    def import_finished(self, found: Import) -> None:
        """An import got an outcome, for the first time or again."""

    def import_gone(self, import_id: str) -> None:
        """An import was deleted or dropped."""

    def schema_changed(self, schema: Mapping[str, Any], *, given: str | None = None) -> None:
        """A saved schema is new or changed; `given` is its digest if the start brought it."""

    def schema_gone(self, schema_id: str) -> None:
        """A saved schema was deleted."""

    def counted(self, name: str, key: str) -> None:
        """A counter went up by one."""

    def figure_forgotten(self, name: str, key: str) -> None:
        """A counter's entry is dropped."""

    def admitted(self, log: str, at: float, *, window_s: float) -> None:
        """A request was accepted; those of its log that left the window can be dropped."""

    def registered(self, registration: Registration) -> None:
        """A managed webhook was added."""

    def unregistered(self, registration_id: str) -> None:
        """A managed webhook was removed."""

    def delivery_changed(self, delivery: Delivery) -> None:
        """A delivery is new or was tried."""

    def delivery_gone(self, delivery_id: str) -> None:
        """A delivery ended, whether or not a receiver took it."""

    def clock_set(self, reading: Reading) -> None:
        """The clock was set and runs from this reading."""

    def forgotten(self) -> None:
        """A reset: only schemas and registrations stay."""

    def commit(self) -> None:
        """Save what was reported. Raises OSError if that fails."""


class NoJournal:
    """Saves nothing: the journal of a sandbox in memory."""

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
