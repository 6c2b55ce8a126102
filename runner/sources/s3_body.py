"""S3Body: an object's bytes for an upload, streamed, resumed after a broken read, never from two versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.aws.s3_errors import Doing, changed, is_about_content, of_s3, translated
from runner.errors import Unavailable
from runner.retry import backoff_s

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client, S3Place
    from runner.sources.object_versions import ObjectVersion

STALL_S = 15.0
"""A read that returns nothing for so long is repeated: half the time that an upload may stall."""

_CHUNK_BYTES = 256 * 1024
_READ_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Object:
    """One version of one object; every read of it requires this version."""

    client: S3Client
    place: S3Place
    version: ObjectVersion

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that name the object, and make S3 refuse other content."""
        known = {"VersionId": self.version.version_id} if self.version.version_id else {}
        return {"Bucket": self.place.bucket, "Key": self.place.key, "IfMatch": f'"{self.version.etag}"', **known}


class S3Body:
    """An object to be sent; implements `Body`. Each call of `chunks` reads it again."""

    def __init__(self, found: S3Object, *, stall_s: float = STALL_S) -> None:
        self._found = found
        self._stall_s = stall_s

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that `chunks` yields."""
        return self._found.version.size_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield chunks of 256 KiB; a broken read continues where it broke, up to 5 times in a row without progress.

        Raises SourceChanged, ItemRejected, Unavailable.
        """
        at, failures = 0, 0
        while at < self.size_bytes:
            try:
                async with aclosing(self._from(at)) as pieces:
                    async for piece in pieces:
                        at, failures = at + len(piece), 0
                        yield piece
            except Unavailable as error:
                failures += 1
                if failures == _READ_ATTEMPTS or is_about_content(error):
                    raise
                await asyncio.sleep(backoff_s(failures, base_s=_FIRST_PAUSE_S))

    async def _from(self, at: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `at` that one answer contains. Raises Unavailable if they end too early."""
        place = self._found.place
        with translated(place, Doing.READ):
            async with asyncio.timeout(self._stall_s):
                answer = await self._found.client.get_object(**self._found.arguments(), **_range(at))
        left = self.size_bytes - at
        async with answer["Body"]:
            of_s3(answer, "ETag", place, Doing.READ)
            if answer["ETag"].strip('"') != self._found.version.etag or answer["ContentLength"] != left:
                raise changed()
            while piece := await self._piece(answer["Body"]):
                left -= len(piece)
                yield piece
        if left:
            raise Unavailable(f"cannot read {place}: it ended {left} bytes too early")

    async def _piece(self, stream: Any) -> bytes:
        """Return the next 256 KiB, or the rest; each read may take `stall_s`."""
        blocks: list[bytes] = []
        missing = _CHUNK_BYTES
        while missing > 0:
            with translated(self._found.place, Doing.READ):
                async with asyncio.timeout(self._stall_s):
                    block = await stream.read(missing)
            if not block:
                break
            blocks.append(block)
            missing -= len(block)
        return b"".join(blocks)


def _range(at: int) -> dict[str, str]:
    return {"Range": f"bytes={at}-"} if at else {}
