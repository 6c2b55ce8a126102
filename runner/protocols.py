"""Protocols: what the core needs from the vendor's API, storage, a source, a sink, and a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from runner.errors import ItemRejected
from runner.models import CreateRequest, ImportPage, Item, ItemKind, RemoteImport


class Clock(Protocol):
    """The two clocks that the event loop does not provide."""

    def now(self) -> datetime:
        """Wall time, aware UTC."""
        ...

    def ticks(self) -> float:
        """Seconds on a clock that never steps and that is the same for everyone who shares the quota."""
        ...


class ImportsApi(Protocol):
    """The vendor's Headless API, one method per endpoint. All may raise AuthRefused, NotSent, and RateLimited."""

    async def create(self, request: CreateRequest) -> RemoteImport:
        """Create an import. Raises OutcomeUnknown (it may exist), SchemaNotFound, RequestInvalid."""
        ...

    async def retrieve(self, import_id: str) -> RemoteImport:
        """Return the full import. Raises ImportNotFound, Unavailable."""
        ...

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        """Return one page of short imports, newest first. Raises Unavailable."""
        ...

    async def results_url(self, import_id: str) -> str:
        """Return a fresh presigned url of the results. Raises ImportNotFound, RequestInvalid, Unavailable."""
        ...

    async def delete(self, import_id: str) -> None:
        """Delete an import. Raises ImportNotFound, Unavailable."""
        ...

    async def schema_names(self) -> dict[str, str]:
        """Return the names of the account's saved schemas by id. Raises Unavailable."""
        ...

    async def schema(self, schema_id: str) -> dict[str, Any]:
        """Return a saved schema. Raises SchemaNotFound, Unavailable."""
        ...


class Body(Protocol):
    """An item's bytes, to be sent once."""

    @property
    def size_bytes(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield exactly `size_bytes` bytes; raises SourceChanged before the last chunk if they have changed.

        Raises ItemRejected if they can no longer be read, and FileUnavailable if they cannot be read at the moment.
        """
        ...


class Storage(Protocol):
    """Presigned urls: the vendor's storage, which never sees the license key."""

    async def put(self, url: str, body: Body, *, only_if_absent: bool) -> bool:
        """Send the body; True if it is stored now, False if it was already there (412 to `If-None-Match: *`).

        Raises NotSent, OutcomeUnknown (also a stalled or cut transfer), UrlExpired, ConditionUnsupported,
        UploadRefused, and what the body raises.
        """
        ...

    def get(self, url: str, *, most_bytes: int | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a download of at most `most_bytes`, by default as many as any result may have.

        Iterating raises Unavailable if it is cut. Entering raises Unavailable or UrlExpired. Both raise ResultTooLarge.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """What a listing knows about one input: `source` is its key in the batch, `uri` its identity everywhere.

    `modified_ns` is in nanoseconds since 1970 UTC.
    """

    source: str
    uri: str
    size_bytes: int | None
    version: str
    modified_ns: int | None
    kind: ItemKind = ItemKind.FILE
    rejection: ItemRejected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An input that was opened and read once: `body` for a file, `rows` (JSON text of an array) for a JSON item."""

    uri: str
    size_bytes: int
    version: str
    fingerprint: str
    body: Body | None = None
    rows: bytes | None = None


class InputReader(Protocol):
    """Reads the inputs of items."""

    async def prepare(self, item: Item) -> Prepared:
        """Read the item's input once, for its fingerprint or rows.

        Raises ItemRejected, SourceNotFound; and FileUnavailable if it cannot be read at the moment, also after retries.
        """
        ...


class Source(InputReader, Protocol):
    """Where items come from."""

    @property
    def uri(self) -> str:
        """Identity of the whole source, such as `file:///data/inbox`; never a secret."""
        ...

    def entries(self) -> AsyncIterator[list[SourceEntry]]:
        """Yield the inputs in chunks, ordered by key if that is cheap; memory does not grow with their number.

        Raises SourceNotFound; and FileUnavailable, after all others, if some cannot be listed at the moment.
        """
        ...

    async def selection(self, sources: Sequence[str]) -> dict[str, bool]:
        """Return {key: whether the filters take the input} for those inputs that exist."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedResult:
    """A result at its final place: `path` relative to the sink's root, `sha256` hex of its bytes."""

    path: str
    row_count: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """What a sink has at a path: `sha256` of a file's content, or the import that an object was saved for.

    Both are None for something that is no result, such as a link or a directory.
    """

    sha256: str | None = None
    import_id: str | None = None


Look = Callable[[str], Awaitable[Occupant | None]]
"""Says what is at a path of a sink; None if nothing is."""


class Place(Protocol):
    """Where the result of one import goes if results of other batches are below the same root."""

    @property
    def import_id(self) -> str: ...

    async def choose(self, usual: str, look: Look, *, saved: SavedResult | None) -> str:
        """Return the path to save the result at: the `usual` one, or one beside it.

        `saved` is the result as it would be at the usual path; None if the sink has to know the path first. What is at
        the returned path may be replaced. A sink asks again if something else is there by then.
        """
        ...


class Sink(Protocol):
    """Where results and manifests are written.

    Once a run has begun, what cannot be written is a StorageFull, a SinkFailed, or a FileUnavailable that may pass.
    """

    async def prepare(self) -> None:
        """Check that something can be written. Raises ConfigError, StorageFull."""
        ...

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        """Store one complete JSON array, atomically, at a path made from `source` or at the one that `place` chooses.

        No other writer changes what is at that path between the choice and the end.
        Raises ResultInvalid, StorageFull, SinkFailed, FileUnavailable.
        """
        ...

    async def has(self, path: str) -> bool:
        """Return whether something is at the path of a saved result. Raises ConfigError, SinkFailed, Unavailable."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a small document that `write` stored; None if there is none. Raises ConfigError, FileUnavailable."""
        ...

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store one document, such as `manifest.jsonl` or one in a folder, durably and atomically; returns its place.

        Raises as `save_result`.
        """
        ...
