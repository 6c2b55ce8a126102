"""Deterministic identifiers: tags, version keys, bindings, and account and batch ids."""

from __future__ import annotations

import base64
import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

TAG_LENGTH = 13
"""Base32 characters, 65 bits: among a million files two share a tag with a chance of about one in 70 million."""

_MAX_FILENAME_BYTES = 200


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()


def _base32(raw: bytes, length: int) -> str:
    return base64.b32encode(raw).decode("ascii").lower()[:length]


def file_key(uri: str, *, endpoint: str) -> str:
    """Identify an input at an endpoint, whatever its content and its schema binding."""
    parts = f"file\0{endpoint}\0{uri}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


def version_key(uri: str, version: str, binding: str, *, endpoint: str) -> str:
    """Identify a listed version of an input under a schema binding; an item with an equal key is the same work."""
    parts = f"{endpoint}\0{uri}\0{version}\0{binding}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


def tag(uri: str, fingerprint: str, binding: str, *, endpoint: str, number: int = 1) -> str:
    """Identify an input's content under a schema binding, for use inside `original_filename`.

    `number` is above 1 for content that returns after other content was sent: 2 for the first return.
    """
    returned = [str(number)] if number > 1 else []
    return _base32(_digest("tag", endpoint, uri, fingerprint, binding, *returned), TAG_LENGTH)


def pack_tag(tags: Iterable[str], *, binding: str, endpoint: str, layout: str) -> str:
    """Identify a pack of the items with these tags, in their order, under a schema binding; `layout` is its form."""
    return _base32(_digest("pack", endpoint, binding, layout, *tags), TAG_LENGTH)


def tagged_filename(source: str, item_tag: str | None) -> str:
    """Return the `original_filename` of an item: its base name, the tag before its last suffix, 200 bytes at most."""
    name = PurePosixPath(source)
    stem = "".join(c if c.isprintable() else "_" for c in name.stem.encode("utf-8", "replace").decode())
    suffix = name.suffix if name.suffix.isascii() and name.suffix.isprintable() else ""
    ending = (f".~{item_tag}" if item_tag else "") + suffix
    room = max(_MAX_FILENAME_BYTES - len(ending.encode()), 1)
    return stem.encode()[:room].decode("utf-8", "ignore") + ending


def binding(request: dict[str, object]) -> str:
    """Identify everything of a create that is not the data: schema, fields, settings, hooks, user."""
    canonical = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]


def endpoint(base_url: str) -> str:
    """Identify the vendor's API that a run uses: imports at one say nothing about another."""
    return _digest("endpoint", base_url.rstrip("/")).hex()[:8]


def account(base_url: str, license_key: str) -> str:
    """Identify the key whose quota is used, without showing it: its endpoint, a dash, and 16 hex digits."""
    return f"{endpoint(base_url)}-{_digest('account', base_url.rstrip('/'), license_key).hex()[:16]}"


def endpoint_of(account: str) -> str:
    """Return the endpoint that an account is of."""
    return account.partition("-")[0]


def short(text: str) -> str:
    """Return 6 characters that distinguish a text from others."""
    return _base32(_digest("short", text), 6)


def batch_id(source_uri: str, started_at: datetime) -> str:
    """Name a batch after the second it started in (UTC) and its source, such as `20260723-101502-k3f9x2`."""
    stamp = started_at.strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{_base32(_digest('batch', source_uri, started_at.isoformat()), 6)}"
