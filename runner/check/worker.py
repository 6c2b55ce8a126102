"""A worker process of the check: it gets files from its parent, checks each, and sends the outcome back."""

from __future__ import annotations

import asyncio
import codecs
import gc
import os
import resource
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from runner import identity
from runner.aws.s3 import open_s3
from runner.check.engine import DiscardedResult, RunImport
from runner.check.read_outcome import OutcomeReader, about_file, failure, rejection
from runner.check.schemas import BoundRoute
from runner.errors import BulkheadError, ItemRejected
from runner.models import Item
from runner.problems.problem import Effect, Problem
from runner.sources import SourceSpec, open_source
from runner.sources.file_body import OPEN_FILES, FileBody
from runner.sources.recoded_body import RecodedBody, in_utf8

if TYPE_CHECKING:
    from runner.check.predictions import FileCheck
    from runner.protocols import Body, Prepared, Source

READY = "ready"
_TOO_MUCH_MEMORY = "the check of this file needs more memory than the limit"
_DISCARDED = DiscardedResult()
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FileToCheck:
    """A file to check: its key in the source, its size in bytes, and the index of its route."""

    source: str
    size_bytes: int
    route_at: int


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker needs to know; it is sent to the process once.

    `memory_bytes` limits the data of the process. `aws_endpoint_url` and `aws_region` are those of the settings.
    """

    run: RunImport
    messages: Mapping[str, str]
    source: SourceSpec
    routes: tuple[BoundRoute, ...]
    endpoint: str
    filename_tag: bool
    samples: bool
    memory_bytes: int
    aws_endpoint_url: str | None = None
    aws_region: str | None = None


def main() -> None:
    """Serve the parent process. Arguments: the descriptor of the connection to it, and the directory `scratch`."""
    connection, scratch = Connection(int(sys.argv[1])), sys.argv[2]
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    try:
        setup: WorkerSetup = connection.recv()
    except (EOFError, OSError):
        return
    serve(connection, setup, scratch)


def _end_with_parent(scratch: str) -> None:
    """Wait until stdin ends, which it does when the parent ends, however that ends; then end this process."""
    try:
        while os.read(0, 4096):
            pass
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


def serve(connection: Connection[Any, Any], setup: WorkerSetup, scratch: str) -> None:
    """Answer each list of files with one message per file, until the parent closes the connection.

    Temporary files go into `scratch`, which the parent removes; if the parent was killed, its workers do.
    """
    tempfile.tempdir = scratch
    _limit(setup.memory_bytes)
    checker = FileChecker(setup)
    connection.send(READY)
    while True:
        try:
            files: list[FileToCheck] = connection.recv()
        except (EOFError, OSError):
            return
        for file in files:
            connection.send(checker.check(file))


class FileChecker:
    """Checks one file at a time; opens the source for the first one."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._loop = asyncio.new_event_loop()
        self._resources = AsyncExitStack()
        self._source: Source | None = None
        self._readers = [OutcomeReader(bound, setup.messages, samples=setup.samples) for bound in setup.routes]

    def check(self, file: FileToCheck) -> FileCheck:
        """Predict how the import of one file would end; never raises because of its content."""
        bound = self._setup.routes[file.route_at]
        about = about_file(file.source, file.size_bytes, bound.route)
        try:
            prepared = self._loop.run_until_complete(self._prepare(file, bound.route.encoding))
            tag = identity.tag(prepared.uri, prepared.fingerprint, bound.route.binding, endpoint=self._setup.endpoint)
            if bound.schema is None:
                return failure(bound.refusal_code, bound.refusal, about={**about, "tag": tag})
            return self._judge(file, prepared, tag)
        except ItemRejected as error:
            return rejection(error.code, str(error), about=about)
        except BulkheadError as error:
            return failure("check_error", f"the check could not read this file: {error}", about=about)
        except Exception as error:  # noqa: BLE001 - one file must not end the check of the others
            if _ran_out_of_memory(error):
                return failure("check_memory", _TOO_MUCH_MEMORY, about=about)
            return failure(
                "check_error", f"the check of this file ended with an error ({type(error).__name__})", about=about
            )

    async def _prepare(self, file: FileToCheck, encoding: str | None) -> Prepared:
        if self._source is None:
            self._source = await self._open_source()
        return await in_utf8(await self._source.prepare(Item(batch_id="check", source=file.source)), encoding)

    async def _open_source(self) -> Source:
        """Open the source; an S3 client stays open until the process ends."""
        setup, s3 = self._setup, None
        if setup.source.is_in_s3:
            opening = open_s3(endpoint_url=setup.aws_endpoint_url, region_name=setup.aws_region)
            s3 = await self._resources.enter_async_context(opening)
        return open_source(setup.source, now=_ANY_TIME, threaded=False, s3=s3)

    def _judge(self, file: FileToCheck, prepared: Prepared, tag: str) -> FileCheck:
        bound = self._setup.routes[file.route_at]
        assert bound.schema is not None
        is_file = prepared.rows is None
        name = identity.tagged_filename(file.source, tag if self._setup.filename_tag else None) if is_file else ""
        with self._content(prepared) as content:
            outcome = self._setup.run(
                content, schema=bound.schema, filename=name, user=bound.route.user, result=_DISCARDED
            )
        check = self._readers[file.route_at].read(outcome, source=file.source, size_bytes=prepared.size_bytes, tag=tag)
        return _with_encoding(check, prepared.body) if isinstance(prepared.body, RecodedBody) else check

    @contextmanager
    def _content(self, prepared: Prepared) -> Iterator[Path | list[Any]]:
        """Yield the rows, or the path of the prepared file or of a temporary copy of it."""
        if prepared.rows is not None:
            yield orjson.loads(prepared.rows)
        elif isinstance(prepared.body, FileBody) and OPEN_FILES.exists():
            with prepared.body.held() as path:
                yield path
        else:
            assert prepared.body is not None
            with tempfile.NamedTemporaryFile() as file:
                self._loop.run_until_complete(_download(prepared.body, file))
                yield Path(file.name)


def _with_encoding(check: FileCheck, body: RecodedBody) -> FileCheck:
    """Return what is predicted for a file in a named encoding, with a warning if the file contradicts the name."""
    if not body.is_utf8 or codecs.lookup(body.encoding).name in {"utf-8", "utf-8-sig"}:
        return replace(check, encoding=body.encoding)
    contradicted = Problem(
        effect=Effect.DATA_LOST,
        kind="warning",
        code="encoding_contradicted",
        message=f"the file is UTF-8, but it is read as {body.encoding}, which changes every letter beyond ASCII",
    )
    return replace(check, encoding=body.encoding, problems=(contradicted, *check.problems))


async def _download(body: Body, file: IO[bytes]) -> None:
    async for chunk in body.chunks():
        file.write(chunk)
    file.flush()


def _ran_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; C libraries may wrap a MemoryError in an error of their own."""
    gc.collect()
    return any(isinstance(cause, MemoryError) for cause in (error, error.__cause__, error.__context__))


def _limit(memory_bytes: int) -> None:
    """Set a soft limit for the data of this process, so that its children can have other limits; write no core file.

    The address space is not limited, because V8 reserves much of it. Systems without this limit are left as they are.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
