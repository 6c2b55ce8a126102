"""The setup of a check: from settings, a source, and an engine to a pool that knows every route's schema."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.check.gate import Gate, GateMode
from runner.check.pool import WorkerPool
from runner.check.schemas import BoundRoute, SavedSchemas, bind_routes
from runner.check.source_check import SourceCheck
from runner.check.worker import WorkerSetup
from runner.config.route_remarks import fault_sentences
from runner.errors import SchemaNotFound
from runner.events import Notice
from runner.retry import repeat_read
from runner.sources import links_passed_over, rank_of
from runner.stages.discover import Discovery

if TYPE_CHECKING:
    from runner.check.engine import Engine
    from runner.check.predictions import FileCheck
    from runner.config.run_spec import RunSpec
    from runner.events import EventHook
    from runner.local.resources import Resources

MEMORY_BYTES = 2 << 30
"""Memory limit of one worker; a workbook of a million rows needs half of it (measured)."""

FILE_TIMEOUT_S = 300.0
_GATE_WORKERS_MAX = 2

SCHEMA_ATTEMPTS = 3
"""Fewer than in a run: a person waits, and can run the check again without loss."""


KeepPool = Callable[[AbstractAsyncContextManager[WorkerPool]], Awaitable[WorkerPool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How to check: `jobs` worker processes (None: one per core), and whether to show cells as `samples`.

    `file_timeout_s` is the time limit for one file in seconds, `memory_bytes` the memory limit of one worker.
    """

    jobs: int | None = None
    file_timeout_s: float = FILE_TIMEOUT_S
    samples: bool = True
    memory_bytes: int = MEMORY_BYTES


@dataclass(slots=True)
class CheckSetup:
    """The check of one source. `too_young` is the number of files that were too recent to list, known after `run`."""

    resources: Resources
    spec: RunSpec
    engine: Engine
    options: CheckOptions
    too_young: int = 0
    linked_directories: str | None = None

    async def bind(self, saved: SavedSchemas) -> list[BoundRoute]:
        """Read the schemas of all routes. Raises AuthRefused, TransientError."""
        return await bind_routes(self.spec.routes, self.engine, saved)

    async def run(
        self,
        bound: Sequence[BoundRoute],
        *,
        on_files: Callable[[Sequence[FileCheck]], None],
        on_listed: Callable[[int], None],
    ) -> None:
        """Check every file; send nothing, and create no ledger. `on_files` and `on_listed` as in `SourceCheck`.

        Raises SourceNotFound, LedgerError, and SchemaNotFound for the first file whose schema cannot be read.
        """
        resources = self.resources
        ledger = await resources.ledger(write=False) if resources.settings.ledger_is_there else None
        source = await resources.source(self.spec.source)
        discovery = Discovery(
            batch_id="check", ledger=ledger, source=source, routes=self.spec.routes,
            rank_of=lambda entry: rank_of(entry, self.spec.source.order_by), endpoint=resources.endpoint,
            again=self.spec.again, retry_failed=self.spec.retry_failed, clock=resources.clock,
        )  # fmt: skip
        async with _pool(resources, self.spec, self.engine, self.options, bound) as pool:
            checking = SourceCheck(
                source=source, discovery=discovery, routes=self.spec.routes, bound=bound, pool=pool,
                ledger=ledger, again=self.spec.again, retry_failed=self.spec.retry_failed,
                on_files=on_files, on_listed=on_listed,
            )  # fmt: skip
            try:
                await checking.run()
            finally:
                self.too_young = source.too_young
                self.linked_directories = links_passed_over(source)


def schemas_of_the_vendor(resources: Resources) -> SavedSchemas:
    """Return a reader of the vendor's saved schemas, with retries. It opens the client for the first schema."""

    async def read(schema_id: str) -> Mapping[str, Any]:
        client = await resources.client()
        try:
            return await repeat_read(lambda: client.schema(schema_id), attempts=SCHEMA_ATTEMPTS)
        except SchemaNotFound:
            raise SchemaNotFound(
                f"the vendor has no saved schema {schema_id}",
                schema_id=schema_id,
                hint="`bulkhead explain FILE` shows which route names it; `bulkhead config` shows the API url",
            ) from None

    return read


def gate(
    resources: Resources, spec: RunSpec, engine: Engine, *, mode: GateMode, emit: EventHook, keep: KeepPool
) -> Gate:
    """Return the gate of a run; it opens its pool and reads the schemas for the first file.

    `keep` enters the pool, and closes it when the run ends.
    """
    for package, consequence in engine.missing:
        emit(Notice(code="check_library", message=f"{package} is not installed: {consequence}"))
    options = CheckOptions(jobs=min(_GATE_WORKERS_MAX, cores()), samples=False)

    async def opened() -> tuple[WorkerPool, list[BoundRoute]]:
        bound = await bind_routes(spec.routes, engine, schemas_of_the_vendor(resources))
        for fault in fault_sentences(one for route in bound for one in route.remarks if one.schema_id):
            emit(Notice(code="schema_name", message=fault))
        return await keep(_pool(resources, spec, engine, options, bound)), bound

    return Gate(opened, mode=mode, emit=emit)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(
    resources: Resources, spec: RunSpec, engine: Engine, options: CheckOptions, bound: Sequence[BoundRoute]
) -> WorkerPool:
    setup = WorkerSetup(
        run=engine.run,
        messages=engine.messages,
        source=spec.source,
        routes=tuple(bound),
        endpoint=resources.endpoint,
        filename_tag=resources.settings.filename_tag,
        samples=options.samples,
        memory_bytes=options.memory_bytes,
        aws_endpoint_url=resources.settings.aws_endpoint_url,
        aws_region=resources.settings.aws_region,
    )
    return WorkerPool(setup, workers=options.jobs or cores(), file_timeout_s=options.file_timeout_s)
