"""Sources, where items come from: a directory, a single file, the files of a list, or an S3 prefix.

Imports the root nouns and `aws`.

- source: lists entries, and reads one input for its fingerprint, its body, or its rows.
- entry: what a listing knows about one input.
- key: the name of an input in its source, which becomes the item's `source`.
- version: what changes if an input's content changes: size and time of a file, etag and size of an object.
- body: the bytes of one input, sent once and verified before the last of them is sent.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from runner.aws.s3 import S3Place, is_s3
from runner.errors import SourceNotFound
from runner.protocols import SourceEntry
from runner.sources.directory import DirectorySource
from runner.sources.earlier_results import results_passed_over
from runner.sources.listed import ListedFiles
from runner.sources.local import LocalFiles, links_passed_over
from runner.sources.object_versions import ObjectVersion, versioned_source
from runner.sources.spec import OrderBy, SourceSpec, printable, refuse_foreign, source_spec

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client
    from runner.sources.s3 import S3Source

__all__ = [
    "LocalFiles",
    "ObjectVersion",
    "OrderBy",
    "SourceSpec",
    "links_passed_over",
    "open_one",
    "open_source",
    "rank_of",
    "results_passed_over",
    "source_spec",
    "versioned_source",
]


def open_source(
    spec: SourceSpec, *, now: datetime, threaded: bool = True, s3: S3Client | None = None
) -> LocalFiles | S3Source:
    """Return the source a spec describes; `now` is the instant that `min_age_s` counts back from.

    `s3` is the client of a source of kind `s3`. Raises ConfigError if a glob is malformed or the source is neither
    local nor in S3.
    """
    if spec.is_in_s3:
        return _s3_source(spec, now=now, client=s3)
    refuse_foreign(spec.path)
    kind = DirectorySource if spec.kind == "directory" else ListedFiles
    return kind(spec, now=now, threaded=threaded)


def open_one(
    spec: SourceSpec, path: str, *, now: datetime, threaded: bool = True, s3: S3Client | None = None
) -> LocalFiles | S3Source:
    """Return a source with at most one entry: that of `path`, if the spec's filters take it.

    `path` is relative to the working directory, or else to the source's directory; of an S3 prefix, relative to that or
    an `s3://` url. Raises SourceNotFound if there is no such file, or it is not inside the directory; for an object,
    only the listing tells.
    """
    if spec.is_in_s3:
        return _s3_source(spec, now=now, client=s3, only=_key_below(spec, path))
    refuse_foreign(path)
    root = os.path.realpath(spec.path if spec.kind != "file" else os.path.dirname(spec.path))  # noqa: PTH120
    candidates = [os.path.abspath(path), os.path.join(root, path)]  # noqa: PTH100, PTH118 - bytes that are not text
    found = next((candidate for candidate in candidates if os.path.lexists(candidate)), None)
    if found is None:
        raise SourceNotFound(f"{printable(path)} does not exist")
    directory, name = os.path.split(found)
    key = os.path.join(os.path.realpath(directory), name).removeprefix(os.path.join(root, ""))  # noqa: PTH118
    if spec.kind != "directory":
        return ListedFiles(spec, now=now, threaded=threaded, only=key)
    if key.startswith("/"):
        raise SourceNotFound(f"{printable(path)} is not in {printable(root)}")
    return DirectorySource(spec, now=now, threaded=threaded, only=key)


def _s3_source(spec: SourceSpec, *, now: datetime, client: S3Client | None, only: str | None = None) -> S3Source:
    from runner.sources.s3 import S3Source  # noqa: PLC0415 - botocore is slow to import and often not needed

    if client is None:
        raise TypeError(f"{spec.path} needs a client of S3")
    if spec.kind == "s3_list":
        from runner.sources.s3_listed import S3Listed  # noqa: PLC0415 - as above

        return S3Listed(spec, client=client, now=now, only=only)
    return S3Source(spec, client=client, now=now, only=only)


def _key_below(spec: SourceSpec, path: str) -> str | None:
    """Return the key relative to the prefix; None if the prefix is the object itself."""
    if not is_s3(path):
        return path
    root, place = S3Place.parse(spec.path), S3Place.parse(path)
    if place == root:
        return None
    if not place.is_below(root):
        raise SourceNotFound(f"{place} is not in {root}")
    return place.key.removeprefix(root.folder.key)


def rank_of(entry: SourceEntry, order_by: OrderBy) -> int:
    """Return the number by which the ledger sorts items before their key: 0, bytes, or the mtime in milliseconds."""
    if order_by == "size":
        return entry.size_bytes or 0
    if order_by == "mtime" and entry.modified_ns is not None:
        return entry.modified_ns // 1_000_000
    return 0
