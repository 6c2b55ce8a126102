"""Places in S3: the inbox and the results of a stack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.sinks import open_sink
from runner.sources.s3 import S3Source

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client
    from runner.cloud.ports import PagedSource
    from runner.protocols import Clock, Sink
    from runner.sources import SourceSpec


class S3Places:
    """Implements `ports.Places` over one client; all its sources parse one JSON object at a time."""

    def __init__(self, client: S3Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._parsing = asyncio.Lock()

    def source(self, spec: SourceSpec) -> PagedSource:
        """Open a source of kind `s3`. Raises ConfigError for another: it lies where the stack cannot read."""
        if spec.kind != "s3":
            raise ConfigError(f"the stack cannot read {spec.path}")
        return S3Source(spec, client=self._client, now=self._clock.now(), parsing=self._parsing)

    def sink(self, out: str) -> Sink:
        return open_sink(out, s3=self._client)
