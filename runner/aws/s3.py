"""S3: the places that `s3://` urls name, and the client for reading and writing there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote, unquote

from runner.aws.client import open_client
from runner.errors import ConfigError

SCHEME = "s3://"
MAX_KEY_BYTES = 1024

_MAX_CONNECTIONS = 80
"""More than the uploads, collects, and documents that a run handles at the same time."""

_FOREIGN = re.compile(r"[a-z][a-z0-9+.-]+:/|s3:", re.IGNORECASE).match
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}").fullmatch


class S3Client(Protocol):
    """The part of an aiobotocore S3 client that Bulkhead uses; the S3 API reference has arguments and answers."""

    async def list_objects_v2(self, **arguments: Any) -> dict[str, Any]: ...
    async def list_object_versions(self, **arguments: Any) -> dict[str, Any]: ...
    async def head_object(self, **arguments: Any) -> dict[str, Any]: ...
    async def get_object(self, **arguments: Any) -> dict[str, Any]: ...
    async def put_object(self, **arguments: Any) -> dict[str, Any]: ...
    async def create_multipart_upload(self, **arguments: Any) -> dict[str, Any]: ...
    async def upload_part(self, **arguments: Any) -> dict[str, Any]: ...
    async def complete_multipart_upload(self, **arguments: Any) -> dict[str, Any]: ...
    async def abort_multipart_upload(self, **arguments: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, and a key in it or the beginning of keys; `str()` is the url as a person writes it."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, url: str) -> S3Place:
        """Read `s3://bucket` or `s3://bucket/key`, the key taken literally. Raises ConfigError."""
        bucket, _, key = url.removeprefix(SCHEME).partition("/")
        if not is_s3(url) or not _BUCKET(bucket):
            raise ConfigError(f"{url} does not name a bucket", hint="write s3://BUCKET/PREFIX")
        if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES or not _is_text(key):
            raise ConfigError(f"{url[:80]}… is not a valid S3 key", hint="keys are UTF-8 of at most 1024 bytes")
        return cls(bucket, key)

    @classmethod
    def of_uri(cls, uri: str) -> S3Place:
        """Read what `uri` returns."""
        place = cls.parse(uri)
        return replace(place, key=unquote(place.key))

    @property
    def uri(self) -> str:
        """Return the place as a url of printable ASCII, the identity of an object everywhere."""
        return f"{SCHEME}{self.bucket}/{quote(self.key, safe='/~')}"

    @property
    def folder(self) -> S3Place:
        """Return the place as a folder: its key is empty or ends in `/`."""
        return self if self.key == "" or self.key.endswith("/") else replace(self, key=f"{self.key}/")

    def is_below(self, other: S3Place) -> bool:
        """Return whether this key is in the folder that the other names."""
        return self.bucket == other.bucket and self.key.startswith(other.folder.key) and self.key != other.folder.key

    def below(self, path: str) -> S3Place:
        """Return the place at `path` below this one, which is a folder."""
        return replace(self, key=self.folder.key + path)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def is_s3(text: str) -> bool:
    """Return whether a text is meant as an `s3://` url."""
    return text.startswith(SCHEME)


def canonical_folder(url: str) -> str:
    """Return an `s3://` url of a folder in its canonical form, without any `/` at its end. Raises ConfigError."""
    place = S3Place.parse(url)
    return str(replace(place, key=place.key.rstrip("/"))).removesuffix("/")


def refuse_foreign_folder(folder: str) -> None:
    """Raise ConfigError if a folder is named like a url that is none of S3: it is not meant as a path."""
    if not is_s3(folder) and _FOREIGN(folder):
        raise ConfigError(f"{folder} is neither a path nor an s3:// url", hint="write a path, or s3://BUCKET/PREFIX")


@asynccontextmanager
async def open_s3(**arguments: Any) -> AsyncIterator[S3Client]:
    """Open a client that does not retry; `arguments` are those of `open_client`. Raises ConfigError."""
    async with open_client("s3", max_connections=_MAX_CONNECTIONS, **arguments) as client:
        yield client


def _is_text(key: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in key)
