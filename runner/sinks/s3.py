"""S3Sink: results and manifests in an S3 prefix, streamed in parts, stored completely or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from runner.aws.s3 import MAX_KEY_BYTES, S3Place, canonical_folder
from runner.aws.s3_errors import Doing, is_condition_unmet, is_condition_unsupported, is_missing, of_s3, translated
from runner.errors import BulkheadError, ConfigError, FileUnavailable, SinkFailed
from runner.protocols import Occupant, SavedResult
from runner.retry import READ_ATTEMPTS, repeat_read
from runner.sinks.result_array import Chunks, ResultArray
from runner.sinks.result_path import MAX_PATH_BYTES, is_document, result_path

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client
    from runner.protocols import Place

PART_BYTES = 8 << 20
"""The part of one object that is in memory; S3 takes 10,000 parts of at least 5 MiB, so results of up to 80 GB."""

CALL_TIMEOUT_S = 300.0
"""The longest upload of a part: about 27 KB a second (choice)."""

READ_BYTES = 1 << 20

_IMPORT_ID = "bulkhead-import"
"""The metadata of a result that names the import it was saved for."""

_MAX_PREFIX_BYTES = MAX_KEY_BYTES - MAX_PATH_BYTES - 1
_CONTENT_TYPES = {".json": "application/json", ".jsonl": "application/x-ndjson", ".csv": "text/csv; charset=utf-8",
                  ".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8"}  # fmt: skip


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
        self._conditional = True

    async def prepare(self) -> None:
        """Check that uploads can be started and aborted below the prefix, and that it shows when an object is missing.

        Leaves nothing. Raises ConfigError.
        """
        probe = _Upload(self._client, self._root.below("probe"))
        await probe.begin()
        await probe.abort()
        await self._inspect("probe")

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        """Store the bytes exactly as received. Raises ResultInvalid unless they are one complete JSON array.

        The path that `place` chooses is written only if what is there has not changed since; FileUnavailable otherwise.
        """
        path, array, digest = result_path(source), ResultArray(), hashlib.sha256()
        found: dict[str, _Found] = {}

        async def look(path: str) -> Occupant | None:
            try:
                found[path] = await self._inspect(path, hashed=True)
            except ConfigError as error:
                raise SinkFailed(str(error), hint=error.hint) from error
            return found[path].occupant

        if place is not None:
            path = await place.choose(path, look, saved=None)
            if path not in found:
                await look(path)

        async def checked() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                array.feed(chunk)
                digest.update(chunk)
                yield chunk
            array.finish()

        await self._store(path, checked(), found.get(path), import_id=place.import_id if place else "")
        return SavedResult(path=path, row_count=array.row_count, sha256=digest.hexdigest())

    async def has(self, path: str) -> bool:
        """Return whether an object is at a path. Raises ConfigError, Unavailable."""
        return (await self._inspect(path)).etag is not None

    async def read(self, name: str) -> bytes | None:
        """Return a small document. Raises ConfigError, FileUnavailable."""
        if (await self._inspect(name)).etag is None:
            return None
        return b"".join([chunk async for chunk in self._content(name)])

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store one document and return its url. Raises ConfigError for another name than `is_document` takes."""
        if not is_document(name):
            raise ConfigError(f"{name!r} is not a plain file name")
        await self._store(name, chunks)
        return str(self._root.below(name))

    async def _inspect(self, path: str, *, hashed: bool = False) -> _Found:
        """Return what is at a path; `hashed`: with the hash of its content unless it names its import."""
        place = self._root.below(path)

        async def looked() -> dict[str, Any] | None:
            try:
                with translated(place, Doing.INSPECT):
                    answer = await self._client.head_object(Bucket=place.bucket, Key=place.key)
                    return of_s3(answer, "ETag", place, Doing.INSPECT)
            except ConfigError as error:
                if is_missing(error):
                    return None
                await self._explain(place)
                raise

        head = await repeat_read(looked)
        if head is None:
            return _Found()
        import_id = head.get("Metadata", {}).get(_IMPORT_ID)
        if import_id is not None or not hashed:
            return _Found(etag=head["ETag"], occupant=Occupant(import_id=unquote(import_id) if import_id else None))
        digest = hashlib.sha256()
        try:
            async for chunk in self._content(path):
                digest.update(chunk)
        except ConfigError as error:
            if is_missing(error):
                return _Found()
            raise
        return _Found(etag=head["ETag"], occupant=Occupant(sha256=digest.hexdigest()))

    async def _explain(self, place: S3Place) -> None:
        """Raise the reason why a HEAD was refused, such as expired credentials: only the answer to a GET has it."""
        with translated(place, Doing.INSPECT):
            answer = await self._client.get_object(Bucket=place.bucket, Key=place.key, Range="bytes=0-0")
            answer["Body"].close()

    async def _content(self, path: str) -> AsyncIterator[bytes]:
        place = self._root.below(path)
        with translated(place, Doing.INSPECT):
            answer = await self._client.get_object(Bucket=place.bucket, Key=place.key)
            body = answer["Body"]
            async with body:
                of_s3(answer, "ETag", place, Doing.INSPECT)
                while chunk := await asyncio.wait_for(body.read(READ_BYTES), CALL_TIMEOUT_S):
                    yield chunk

    async def _store(
        self, path: str, chunks: AsyncIterator[bytes], found: _Found | None = None, *, import_id: str = ""
    ) -> None:
        upload = _Upload(self._client, self._root.below(path))
        if found is not None:
            upload.metadata = {_IMPORT_ID: quote(import_id, safe="")}
            upload.condition = found.condition if self._conditional else {}
        gathered = Chunks(self._part_bytes)
        try:
            async for chunk in chunks:
                if part := gathered.add(chunk):
                    await upload.add(part)
            if found is not None and upload.is_in_parts:
                await self._check_unchanged(path, found)
            await upload.finish(gathered.rest())
        except BaseException as error:
            await asyncio.shield(upload.forget())
            if isinstance(error, ConfigError):
                raise self._failure(error, upload) from error
            raise

    def _failure(self, error: ConfigError, upload: _Upload) -> SinkFailed | FileUnavailable:
        if upload.condition and is_condition_unsupported(error):
            self._conditional = False
            return FileUnavailable(f"{error}; it is written again without a condition")
        if upload.condition and is_condition_unmet(error):
            return _written_meanwhile(upload.place)
        return SinkFailed(str(error), hint=error.hint)

    async def _check_unchanged(self, path: str, found: _Found) -> None:
        """Look again after a long upload: a store may ignore the condition of its end. Raises FileUnavailable."""
        if (await self._inspect(path)).etag != found.etag:
            raise _written_meanwhile(self._root.below(path))


def _written_meanwhile(place: S3Place) -> FileUnavailable:
    return FileUnavailable(f"{place} was written by somebody else at the same time")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was at a path; `etag` is None if nothing was."""

    etag: str | None = None
    occupant: Occupant | None = None

    @property
    def condition(self) -> dict[str, str]:
        return {"IfMatch": self.etag} if self.etag is not None else {"IfNoneMatch": "*"}


class _Upload:
    """The upload of one object, which appears only if `condition` holds at the end."""

    def __init__(self, client: S3Client, place: S3Place) -> None:
        self.place = place
        self.metadata: dict[str, str] = {}
        self.condition: dict[str, str] = {}
        self._client = client
        self._id: str | None = None
        self._etags: list[str] = []

    @property
    def is_in_parts(self) -> bool:
        return self._id is not None

    async def begin(self) -> None:
        """Start a multipart upload."""
        answer = await self._call(self._client.create_multipart_upload, self._about(), sign="UploadId")
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
            await self._call(self._client.put_object, {"Body": rest, **self._about(), **self.condition})
            return
        if rest:
            await self.add(rest)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, start=1)]
        arguments = {"UploadId": self._id, "MultipartUpload": {"Parts": parts}, **self.condition}
        await self._call(self._client.complete_multipart_upload, arguments)
        self._id = None

    async def abort(self) -> None:
        """Abort the upload; tried only twice, since the caller reports an error. Raises ConfigError, Unavailable."""
        if self._id is not None:
            arguments = {"UploadId": self._id}
            await self._call(self._client.abort_multipart_upload, arguments, sign=None, doing=Doing.ABORT, attempts=2)
            self._id = None

    async def forget(self) -> None:
        """Abort the upload if possible; the bucket's lifecycle rule removes what remains."""
        with suppress(BulkheadError):
            await self.abort()

    def _about(self) -> dict[str, Any]:
        known = _CONTENT_TYPES.get(self.place.key[self.place.key.rfind(".") :])
        content_type = {"ContentType": known} if known else {}
        return {**content_type, **({"Metadata": self.metadata} if self.metadata else {})}

    async def _call(
        self,
        operation: Callable[..., Awaitable[dict[str, Any]]],
        arguments: Mapping[str, Any],
        *,
        sign: str | None = "ETag",
        doing: Doing = Doing.WRITE,
        attempts: int = READ_ATTEMPTS,
    ) -> dict[str, Any]:
        """Return the answer to an operation, which has the field `sign`. Raises ConfigError, Unavailable."""

        async def called() -> dict[str, Any]:
            with translated(self.place, doing):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    answer = await operation(Bucket=self.place.bucket, Key=self.place.key, **arguments)
            return answer if sign is None else of_s3(answer, sign, self.place, doing)

        return await repeat_read(called, attempts=attempts)
