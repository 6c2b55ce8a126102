"""S3Sink: results and manifests in an S3 prefix, streamed in parts, stored completely or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runner.aws.s3 import MAX_KEY_BYTES, S3Place, canonical_folder
from runner.aws.s3_errors import Doing, translated
from runner.errors import BulkheadError, ConfigError, SinkFailed
from runner.protocols import SavedResult
from runner.retry import READ_ATTEMPTS, repeat_read
from runner.sinks.result_array import Chunks, ResultArray
from runner.sinks.result_path import MAX_PATH_BYTES, is_plain, result_path

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client

PART_BYTES = 8 << 20
"""The part of one object that is in memory; S3 takes 10,000 parts of at least 5 MiB, so results of up to 80 GB."""

CALL_TIMEOUT_S = 300.0
"""The longest upload of a part: about 27 KB a second (choice)."""

_MAX_PREFIX_BYTES = MAX_KEY_BYTES - MAX_PATH_BYTES - 1
_CONTENT_TYPES = {".json": "application/json", ".jsonl": "application/x-ndjson", ".csv": "text/csv; charset=utf-8",
                  ".html": "text/html; charset=utf-8"}  # fmt: skip


class S3Sink:
    """A prefix as sink; implements `Sink`, with the layout of `LocalSink`.

    An object appears once all of it is sent and found to be complete: in one request if it fits into one part, else by
    a multipart upload, which is aborted on any failure. Methods raise StorageFull, SinkFailed if S3 does not allow the
    write, and Unavailable if retries do not help.
    """

    def __init__(self, uri: str, client: S3Client, *, part_bytes: int = PART_BYTES) -> None:
        """Raises ConfigError if results cannot be stored at `uri`."""
        self._root = S3Place.parse(canonical_folder(uri))
        if len(self._root.key.encode()) > _MAX_PREFIX_BYTES:
            raise ConfigError(f"the prefix of {uri} is longer than {_MAX_PREFIX_BYTES} bytes", hint="shorten it")
        self._client = client
        self._part_bytes = part_bytes

    async def prepare(self) -> None:
        """Check that uploads can be started and aborted below the prefix; leaves nothing. Raises ConfigError."""
        probe = _Upload(self._client, self._root.below("probe"))
        await probe.begin()
        await probe.abort()

    async def save_result(self, source: str, chunks: AsyncIterator[bytes]) -> SavedResult:
        """Store the bytes exactly as received. Raises ResultInvalid unless they are one complete JSON array."""
        path, array, digest = result_path(source), ResultArray(), hashlib.sha256()

        async def checked() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                array.feed(chunk)
                digest.update(chunk)
                yield chunk
            array.finish()

        await self._store(path, checked())
        return SavedResult(path=path, row_count=array.row_count, sha256=digest.hexdigest())

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store one document and return its url. Raises ConfigError if `name` is not a plain file name."""
        if not is_plain(name):
            raise ConfigError(f"{name!r} is not a plain file name")
        await self._store(name, chunks)
        return str(self._root.below(name))

    async def _store(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        upload = _Upload(self._client, self._root.below(path))
        gathered = Chunks(self._part_bytes)
        try:
            async for chunk in chunks:
                if part := gathered.add(chunk):
                    await upload.add(part)
            await upload.finish(gathered.rest())
        except BaseException as error:
            await asyncio.shield(upload.forget())
            if isinstance(error, ConfigError):
                raise SinkFailed(str(error), hint=error.hint) from error
            raise


class _Upload:
    """The upload of one object."""

    def __init__(self, client: S3Client, place: S3Place) -> None:
        self._client = client
        self._place = place
        self._id: str | None = None
        self._etags: list[str] = []

    async def begin(self) -> None:
        """Start a multipart upload."""
        answer = await self._call(self._client.create_multipart_upload, self._content_type())
        self._id = answer["UploadId"]

    async def add(self, part: bytes) -> None:
        """Send the next part, which is at least 5 MiB unless it is the last."""
        if self._id is None:
            await self.begin()
        number = len(self._etags) + 1
        arguments = {"UploadId": self._id, "PartNumber": number, "Body": part}
        answer = await self._call(self._client.upload_part, arguments)
        self._etags.append(answer["ETag"])

    async def finish(self, rest: bytes) -> None:
        """Send the rest, and complete the object."""
        if self._id is None:
            await self._call(self._client.put_object, {"Body": rest, **self._content_type()})
            return
        if rest:
            await self.add(rest)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, start=1)]
        arguments = {"UploadId": self._id, "MultipartUpload": {"Parts": parts}}
        await self._call(self._client.complete_multipart_upload, arguments)
        self._id = None

    async def abort(self) -> None:
        """Abort the upload; tried only twice, since the caller reports an error. Raises ConfigError, Unavailable."""
        if self._id is not None:
            arguments = {"UploadId": self._id}
            await self._call(self._client.abort_multipart_upload, arguments, doing=Doing.ABORT, attempts=2)
            self._id = None

    async def forget(self) -> None:
        """Abort the upload if possible; the bucket's lifecycle rule removes what remains."""
        with suppress(BulkheadError):
            await self.abort()

    def _content_type(self) -> dict[str, str]:
        known = _CONTENT_TYPES.get(self._place.key[self._place.key.rfind(".") :])
        return {"ContentType": known} if known else {}

    async def _call(
        self,
        operation: Callable[..., Awaitable[dict[str, Any]]],
        arguments: Mapping[str, Any],
        *,
        doing: Doing = Doing.WRITE,
        attempts: int = READ_ATTEMPTS,
    ) -> dict[str, Any]:
        async def called() -> dict[str, Any]:
            with translated(self._place, doing):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    return await operation(Bucket=self._place.bucket, Key=self._place.key, **arguments)

        return await repeat_read(called, attempts=attempts)
