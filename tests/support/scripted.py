"""A vendor that does what a test scripts: the API and the storage as the core's protocols, without sockets or rules."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.errors import ImportNotFound, SchemaNotFound, UrlExpired
from runner.models import CreateRequest, ImportPage, RemoteImport
from runner.protocols import Body
from runner.stages.upload_urls import url_end

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """Both clocks of the core, moved by the event loop's time."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.ticks())

    def ticks(self) -> float:
        return asyncio.get_running_loop().time()


class ScriptedVendor:
    """Imports succeed once uploaded. The scripts contain the errors of the next calls; None lets a call succeed.

    The call of an error marked by `lose` takes effect before it is raised: only the response is lost.
    """

    def __init__(self, clock: LoopClock, *, url_life_s: int = 1800) -> None:
        self.clock = clock
        self.url_life_s = url_life_s
        self.imports: dict[str, RemoteImport] = {}
        self.received: dict[str, list[bytes]] = {}
        self.created: list[CreateRequest] = []
        self.create_script: deque[Exception | None] = deque()
        self.put_script: deque[Exception | None] = deque()
        self.get_script: deque[Exception | None] = deque()
        self.schema_script: deque[Exception | None] = deque()
        self.schemas_asked_for: list[str] = []
        self.schemas_by_id: dict[str, str] = {}
        self.names_error: Exception | None = None
        self.calls: list[str] = []
        self.renews_urls = True
        self.honors_condition = True
        self.result = b'[{"a":1}]'
        self.on_answer: Callable[[], None] = lambda: None
        self._lost: set[int] = set()

    def lose(self, error: Exception) -> Exception:
        """Return the error, marked so that its call takes effect."""
        self._lost.add(id(error))
        return error

    def add(self, request: CreateRequest, *, status: str | None = None) -> RemoteImport:
        """Make an import, as a create does."""
        import_id = f"import-{len(self.created) + 1}"
        self.created.append(request)
        remote = RemoteImport(
            import_id=import_id,
            status=status or ("PENDING" if request.initial_data else "AWAITING_UPLOAD"),
            schema_id=request.schema_id,
            original_filename=request.original_filename,
            created_at=self.clock.now(),
            upload_url=self._url(import_id),
        )
        self.imports[import_id] = remote
        return remote

    def change(self, import_id: str, **changes: Any) -> None:
        """Change fields of an import at the vendor."""
        self.imports[import_id] = replace(self.imports[import_id], **changes)

    async def create(self, request: CreateRequest) -> RemoteImport:
        await asyncio.sleep(0)
        self.calls.append("create")
        error = self._next(self.create_script)
        self._raise_before(error)
        remote = self.add(request)
        self._raise_after(error)
        return remote

    async def retrieve(self, import_id: str) -> RemoteImport:
        await asyncio.sleep(0)
        self.calls.append("retrieve")
        if import_id not in self.imports:
            raise ImportNotFound("Not found.")
        if self.renews_urls:
            self.change(import_id, upload_url=self._url(import_id))
        return self.imports[import_id]

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(0)
        self.calls.append("list")
        self.on_answer()
        newest_first = list(reversed(self.imports.values()))
        page = newest_first[offset : offset + limit]
        return ImportPage(count=len(newest_first), imports=tuple(page), has_next=offset + limit < len(newest_first))

    async def results_url(self, import_id: str) -> str:
        self.calls.append("url")
        if import_id not in self.imports:
            raise ImportNotFound("Not found.")
        return f"https://storage.test/results/{import_id}"

    async def delete(self, import_id: str) -> None:
        self.imports.pop(import_id)

    async def schema_names(self) -> dict[str, str]:
        self._raise_before(self.names_error)
        return self.schemas_by_id

    async def schema(self, schema_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.calls.append("schema")
        self.schemas_asked_for.append(schema_id)
        if self.schema_script:
            self._raise_before(self.schema_script.popleft())
            return {"id": schema_id}
        raise SchemaNotFound("Not found.", schema_id=schema_id)

    async def put(self, url: str, body: Body, *, only_if_absent: bool) -> bool:
        import_id = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        data = b"".join([chunk async for chunk in body.chunks()])
        self.calls.append("put if absent" if only_if_absent else "put")
        error = self._next(self.put_script)
        self._raise_before(error)
        if url_end(url, fallback=EPOCH) <= self.clock.now():
            raise UrlExpired("Request has expired")
        if only_if_absent and self.honors_condition and self.received.get(import_id):
            return False
        self.received.setdefault(import_id, []).append(data)
        self.change(import_id, status="SUCCESSFUL")
        self._raise_after(error)
        return True

    @asynccontextmanager
    async def get(self, url: str, *, most_bytes: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.calls.append("get")
        yield self._chunks(self._next(self.get_script))

    async def _chunks(self, error: Exception | None) -> AsyncIterator[bytes]:
        yield self.result[:4]
        if error is not None:
            raise error
        yield self.result[4:]

    def _next(self, script: deque[Exception | None]) -> Exception | None:
        return script.popleft() if script else None

    def _raise_before(self, error: Exception | None) -> None:
        if error is not None and id(error) not in self._lost:
            raise error

    def _raise_after(self, error: Exception | None) -> None:
        if error is not None:
            raise error

    def _url(self, import_id: str) -> str:
        signed_at = self.clock.now().strftime("%Y%m%dT%H%M%SZ")
        return f"https://storage.test/uploads/{import_id}?X-Amz-Date={signed_at}&X-Amz-Expires={self.url_life_s}"
