"""S3Source: an S3 prefix as a source, listed page by page in flat memory, and read in the version that was listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.aws.s3 import S3Place, is_s3
from runner.aws.s3_errors import Doing, archived, changed, of_s3, translated
from runner.errors import ConfigError, FileUnavailable, ItemRejected, SourceNotFound
from runner.globs import PathFilter
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from runner.retry import repeat_read
from runner.sources.earlier_results import OWNER_FILE, EarlierResults
from runner.sources.file_types import kind_and_rejection, kind_of, rejection_of
from runner.sources.json_rows import rows_of
from runner.sources.object_versions import ObjectVersion, unversioned_source
from runner.sources.s3_body import STALL_S, S3Body, S3Object

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client
    from runner.sources.spec import SourceSpec

PAGE_LENGTH = 1000
"""Keys a listing page has at most (S3 API reference, ListObjectsV2)."""

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read; GLACIER_IR is read as it is."""


class S3Source:
    """All objects below a prefix, or one object; implements `Source`.

    Keys are relative to the prefix, which is taken as a folder: `s3://bucket/2026` lists what begins with `2026/`, or
    the one object with exactly that name. An object with the name of the folder itself is a marker and is skipped, like
    an empty one whose name ends in `/`. `too_young` counts the objects that are left for a later run.
    """

    def __init__(
        self,
        spec: SourceSpec,
        *,
        client: S3Client,
        now: datetime,
        page_length: int | None = None,
        only: str | None = None,
        stall_s: float = STALL_S,
        parsing: asyncio.Lock | None = None,
    ) -> None:
        """`only` is the one key, relative to the prefix, that is listed; `parsing` is held while JSON is parsed."""
        self.too_young = 0
        self.earlier_results = EarlierResults()
        self._client = client
        self._given = S3Place.parse(spec.path)
        is_folder = only is not None or self._given == self._given.folder
        self._root: S3Place | None = self._given.folder if is_folder else None
        self._only = only
        self._filter = PathFilter(include=spec.include, exclude=spec.exclude)
        self._named = PathFilter(include=spec.include, exclude=spec.exclude, hidden=True)
        left_out = [S3Place.parse(url) for url in spec.leave_out if is_s3(url)]
        self._left_out = tuple(place for place in left_out if place.is_below(self._given))
        self._youngest = now.timestamp() - spec.min_age_s if spec.min_age_s > 0 else None
        self._page_length = page_length or PAGE_LENGTH
        self._stall_s = stall_s
        self._parsing = parsing or asyncio.Lock()
        self._has_read = False
        self._following: str | None = None
        """The token of the page after the one that was listed last."""
        self._entered: dict[str, bool] = {}

    @property
    def uri(self) -> str:
        """Return `s3://bucket/prefix`, without a `/` at its end, and with special characters escaped."""
        return self._given.uri.removesuffix("/")

    async def root_uri(self) -> str:
        """Return the identity of the folder that keys are relative to, without a `/` at its end."""
        return (await self._located()).uri.removesuffix("/")

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        """Yield the entries page by page. Raises SourceNotFound, ConfigError, Unavailable."""
        self.too_young = 0
        token: str | None = None
        while True:
            entries, token = await self.page(token)
            if entries:
                yield entries
            if token is None:
                return

    async def page(self, token: str | None) -> tuple[list[SourceEntry], str | None]:
        """Return the entries of one listing page, and the token of the next; None after the last page.

        The first page's token is None. Raises as `entries`.
        """
        root = await self._located()
        if self._only is not None:
            return await self._only_entry(root.below(self._only)), None
        answer = await self._list_objects(root, limit=self._page_length, token=token)
        listed = answer.get("Contents", ())
        if token is None:
            self.earlier_results = EarlierResults()
        elif token != self._following and listed:
            await self._look_around(listed[0]["Key"], root)
        found = [self._listed(raw) for raw in listed if not self._is_of_run(raw["Key"], root)]
        self._following = _following(answer, place=root, token=token)
        return [entry for entry in found if entry is not None], self._following

    def entry(
        self,
        key: str,
        version: ObjectVersion,
        *,
        modified_at: datetime | None = None,
        storage_class: str | None = None,
    ) -> SourceEntry | None:
        """Return the entry of an object, given by its full key; None if the source does not list it."""
        root = self._root or self._given.folder
        source = key.removeprefix(root.key)
        if not key.startswith(root.key) or not self._takes(key, source, version.size_bytes):
            return None
        if self._youngest is not None and modified_at is not None and modified_at.timestamp() > self._youngest:
            self.too_young += 1
            return None
        kind, rejection = kind_and_rejection(source, version.size_bytes)
        if rejection is None and storage_class in _ARCHIVES:
            rejection = archived(storage_class)
        return SourceEntry(
            source=source,
            uri=replace(root, key=key).uri,
            size_bytes=version.size_bytes,
            version=str(version),
            modified_ns=int(modified_at.timestamp() * 1000) * 1_000_000 if modified_at else None,
            kind=kind,
            rejection=rejection,
        )

    async def selection(self, sources: Sequence[str]) -> dict[str, bool]:
        """Return {key: whether include and exclude take the object}; an object's version was fixed when it was listed.

        Its age does not count: it was old enough then, and only that version is sent.
        """
        root = await self._located()
        return {source: self._takes(root.key + source, source, 1) for source in sources}

    async def prepare(self, item: Item) -> Prepared:
        """Check that the object is still the one that was listed; read it if it is JSON.

        An item without a version gets the current version. Raises ItemRejected, SourceNotFound, Unavailable; and
        ConfigError if S3 denies the first object that is read, since it then probably denies all of them.
        """
        place = (await self._located()).below(unversioned_source(item.source, item.version))
        try:
            prepared = await self._prepare(item.source, place, ObjectVersion.parse(item.version))
        except ItemRejected as rejection:
            if rejection.code == "access_denied" and not self._has_read:
                hint = "add it to the identity's policy, then resume"
                raise ConfigError(f"cannot read {place}: {rejection}", hint=hint) from rejection
            raise
        self._has_read = True
        return prepared

    async def _prepare(self, source: str, place: S3Place, listed: ObjectVersion | None) -> Prepared:
        found = await self._found(place, listed)
        if rejection := rejection_of(source, found.version.size_bytes):
            raise rejection
        body = S3Body(found, stall_s=self._stall_s)
        is_json = kind_of(source) is ItemKind.JSON
        return Prepared(
            uri=place.uri,
            size_bytes=found.version.size_bytes,
            version=str(found.version),
            fingerprint=found.version.fingerprint,
            body=None if is_json else body,
            rows=await self._rows(source, body) if is_json else None,
        )

    async def _rows(self, source: str, body: S3Body) -> bytes:
        async with self._parsing:  # parsing takes up to 25 times the memory of the object
            content = b"".join([chunk async for chunk in body.chunks()])
            return await asyncio.to_thread(rows_of, source, content)

    async def _found(self, place: S3Place, listed: ObjectVersion | None) -> S3Object:
        """Return the object as it is now. Raises SourceChanged if it is not the one that was listed.

        Its first byte is read: a refused HEAD gives no reason, and a HEAD may succeed where a KMS key denies reading.
        """
        arguments = {"Bucket": place.bucket, "Key": place.key}
        if listed is not None:
            arguments = S3Object(client=self._client, place=place, version=listed).arguments()

        async def first_byte() -> dict[str, Any]:
            with translated(place, Doing.READ):
                answer = await self._client.get_object(**arguments, Range="bytes=0-0")
                async with answer["Body"]:
                    return of_s3(answer, "ETag", place, Doing.READ)

        answer = await repeat_read(first_byte)
        version = ObjectVersion(
            etag=answer["ETag"].strip('"'),
            size_bytes=_whole_size(answer),
            version_id=listed.version_id if listed else None,
        )
        if listed is not None and version != listed:
            raise changed()
        if (archive := _archive_of(answer)) is not None:
            raise archived(archive)
        if (encoding := answer.get("ContentEncoding", "")) not in ("", "identity", "aws-chunked"):
            raise ItemRejected("unsupported_type", f"the object is stored with Content-Encoding {encoding}; unpack it")
        return S3Object(client=self._client, place=place, version=version)

    async def _located(self) -> S3Place:
        """Return the folder that keys are relative to; checks once whether the given path is an object."""
        if self._root is None:
            if await self._named_object(self._given) is not None:
                parent, _, self._only = self._given.key.rpartition("/")
                self._root = replace(self._given, key=parent).folder
            else:
                self._root = self._given.folder
        return self._root

    async def _only_entry(self, place: S3Place) -> list[SourceEntry]:
        if (raw := await self._named_object(place)) is None:
            raise SourceNotFound(f"{place} does not exist")
        entry = self._listed(raw)
        return [entry] if entry is not None else []

    async def _named_object(self, place: S3Place) -> dict[str, Any] | None:
        """Return the object of exactly this key as a listing shows it."""
        first = (await self._list_objects(place, limit=1)).get("Contents", ())
        return first[0] if first and first[0]["Key"] == place.key else None

    async def _look_around(self, key: str, root: S3Place) -> None:
        """Look for the owner files that come before a key, and are on earlier pages, which another process listed."""
        self.earlier_results = EarlierResults()
        *folders, _ = key.removeprefix(root.key).split("/")
        for depth in range(len(folders) + 1):
            owner = root.below("/".join([*folders[:depth], OWNER_FILE]))
            if owner.key < key and await self._named_object(owner) is not None:
                self._is_of_run(owner.key, root)

    async def _list_objects(self, place: S3Place, *, limit: int, token: str | None = None) -> dict[str, Any]:
        following = {"ContinuationToken": token} if token is not None else {}

        async def listed() -> dict[str, Any]:
            with translated(place, Doing.LIST):
                answer = await self._client.list_objects_v2(
                    Bucket=place.bucket,
                    Prefix=place.key,
                    MaxKeys=limit,
                    OptionalObjectAttributes=["RestoreStatus"],
                    **following,
                )
            return of_s3(answer, "IsTruncated", place, Doing.LIST)

        return await repeat_read(listed)

    def _listed(self, raw: dict[str, Any]) -> SourceEntry | None:
        restored = raw.get("RestoreStatus", {})
        is_back = "RestoreExpiryDate" in restored and not restored.get("IsRestoreInProgress")
        return self.entry(
            raw["Key"],
            ObjectVersion(etag=raw["ETag"].strip('"'), size_bytes=raw["Size"]),
            modified_at=raw["LastModified"],
            storage_class=None if is_back else raw.get("StorageClass"),
        )

    def _is_of_run(self, key: str, root: S3Place) -> bool:
        """Return whether an earlier run wrote an object; its `--out` is known by the owner file, which comes first."""
        source = key.removeprefix(root.key)
        folder, _, name = source.rpartition("/")
        if name == OWNER_FILE and not self._is_left_out(key) and self._enters(folder):
            self.earlier_results.add(source.removesuffix(name))
        return self.earlier_results.have(source)

    def _is_left_out(self, key: str) -> bool:
        return any(replace(self._given, key=key).is_below(out) for out in self._left_out)

    def _takes(self, key: str, source: str, size_bytes: int) -> bool:
        if source == "" or (source.endswith("/") and size_bytes == 0):
            return False
        if key == self._given.key:
            return self._named.takes(source, source)
        if self._is_left_out(key):
            return False
        folder, _, name = source.rpartition("/")
        return self._enters(folder) and self._filter.takes(source, name)

    def _enters(self, folder: str) -> bool:
        """Return whether the filters allow a folder of the source and all folders above it."""
        if not folder:
            return True
        if folder not in self._entered:
            self._entered.clear()
            parts = folder.split("/")
            above = ("/".join(parts[: n + 1]) for n in range(len(parts)))
            self._entered[folder] = all(
                self._filter.enters(path, part) for path, part in zip(above, parts, strict=True)
            )
        return self._entered[folder]


def _following(answer: dict[str, Any], *, place: S3Place, token: str | None) -> str | None:
    """Return the token of the page after an answer, None if it was the last. Raises FileUnavailable."""
    if not answer.get("IsTruncated"):
        return None
    following: str | None = answer.get("NextContinuationToken")
    if not following or following == token:
        raise FileUnavailable(
            f"cannot list all of {place}: S3 says that there is more, but not where it continues",
            hint="check that what aws_endpoint_url names supports ListObjectsV2",
        )
    return following


def _whole_size(answer: dict[str, Any]) -> int:
    """Return the full size in bytes of an object of which a part was requested."""
    _, _, size = answer.get("ContentRange", "").rpartition("/")
    return int(size or answer["ContentLength"])


def _archive_of(answer: dict[str, Any]) -> str | None:
    """Return the storage class of an object that must be restored first; None for one that can be read."""
    storage_class = answer.get("StorageClass")
    is_back = 'ongoing-request="false"' in answer.get("Restore", "")
    return storage_class if storage_class in _ARCHIVES and not is_back else None
