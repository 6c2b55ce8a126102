"""Versions of objects: what a listing shows of one, and the item names of further versions of a key."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from runner.sources.file_types import suffix_of

_MARK_LENGTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """An object's content: etag (without quotes), size in bytes, and the version id if its bucket keeps versions.

    As text it is `<etag>-<size in hex>`, then `@<version id>` if there is one.
    """

    etag: str
    size_bytes: int
    version_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> ObjectVersion | None:
        """Read what `str()` returns; None for anything else."""
        content, _, version_id = text.partition("@")
        etag, found, size = content.rpartition("-")
        try:
            size_bytes = int(size, 16)
        except ValueError:
            return None
        return cls(etag=etag, size_bytes=size_bytes, version_id=version_id or None) if found and etag else None

    @property
    def fingerprint(self) -> str:
        """Return what identifies the content, the same for every version id: `s3:<etag>-<size>`."""
        return f"s3:{self.etag}-{self.size_bytes}"

    def __str__(self) -> str:
        ending = f"@{self.version_id}" if self.version_id else ""
        return f"{self.etag}-{self.size_bytes:x}{ending}"


def versioned_source(source: str, version: str) -> str:
    """Mark the source of a further version of a key before its suffix, as `orders/a@k3f9x2.csv`."""
    stem, suffix = _split(source)
    return f"{stem}@{_mark(version)}{suffix}"


def unversioned_source(source: str, version: str) -> str:
    """Return a source without the marks that `versioned_source` made for this version; others stay unchanged."""
    if "@" not in source:
        return source
    stem, suffix = _split(source)
    mark = f"@{_mark(version)}"
    while stem.endswith(mark):
        stem = stem.removesuffix(mark)
    return stem + suffix


def _split(source: str) -> tuple[str, str]:
    """Split a source before its suffix, which keeps its case."""
    at = source.rfind(".") if suffix_of(source) else len(source)
    return source[:at], source[at:]


def _mark(version: str) -> str:
    digest = hashlib.sha256(b"version\0" + version.encode()).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:_MARK_LENGTH]
