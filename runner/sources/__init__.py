"""Where items come from: a directory, a single file, or the files of a list."""

from __future__ import annotations

import os
from datetime import datetime

from runner.errors import SourceNotFound
from runner.ports import SourceEntry
from runner.sources.directory import DirectorySource
from runner.sources.listed import ListedFiles
from runner.sources.local import LocalFiles
from runner.sources.spec import OrderBy, SourceSpec, printable, refuse_foreign, source_spec

__all__ = ["LocalFiles", "OrderBy", "SourceSpec", "open_one", "open_source", "rank_of", "source_spec"]


def open_source(spec: SourceSpec, *, now: datetime, threaded: bool = True) -> LocalFiles:
    """Return the source a spec describes; `now` is the instant that `min_age_s` counts back from.

    Raises ConfigError where a glob cannot be read or the source is not local.
    """
    refuse_foreign(spec.path)
    kind = DirectorySource if spec.kind == "directory" else ListedFiles
    return kind(spec, now=now, threaded=threaded)


def open_one(spec: SourceSpec, path: str, *, now: datetime, threaded: bool = True) -> LocalFiles:
    """Return a source with at most one entry: that of `path`, if the spec's filters take it.

    `path` is relative to the working directory, or else to the source's directory. Raises SourceNotFound where there
    is no such file, or none inside the directory.
    """
    refuse_foreign(path)
    root = os.path.realpath(spec.path if spec.kind != "file" else os.path.dirname(spec.path))  # noqa: PTH120
    candidates = [os.path.abspath(path), os.path.join(root, path)]  # noqa: PTH100, PTH118 - bytes that are no text
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


def rank_of(entry: SourceEntry, order_by: OrderBy) -> int:
    """Return what the ledger sorts items by before their key: 0, the size in bytes, or the mtime in milliseconds."""
    if order_by == "size":
        return entry.size_bytes or 0
    if order_by == "mtime" and entry.modified_ns is not None:
        return entry.modified_ns // 1_000_000
    return 0
