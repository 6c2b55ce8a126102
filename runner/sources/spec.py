"""SourceSpec: the description of a source, which a batch keeps so that a resume can list it again."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

from runner.aws.s3 import S3Place, is_s3
from runner.errors import ConfigError, SourceNotFound
from runner.permissions import PRIVATE, Permissions

SourceKind = Literal["directory", "file", "list", "s3", "s3_list"]
OrderBy = Literal["name", "size", "mtime"]

FAILED_TXT = "failed.txt"
REVIEW_TXT = "review.txt"
LISTS_OF_RUNS = frozenset({FAILED_TXT, REVIEW_TXT})
"""Lists that each run writes beside its manifest, so that they may be other lists when a resume reads them."""

_SCHEME_MIN_LENGTH = 2
_PLAIN = re.compile(rb"[A-Za-z0-9_.~/-]*").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """A directory, a file, the files of a list, an S3 prefix, or the objects of a list below a prefix.

    `path` is absolute: the directory, the file, or for a list the directory its relative lines start from; or it is
    `s3://bucket/prefix`, taken literally. `files_from` is the absolute path of the list file. `leave_out` has
    absolute paths and `s3://` urls that are never listed, such as the results' directory. `min_age_s` is in seconds.
    """

    kind: SourceKind
    path: str
    files_from: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    min_age_s: float = 0.0
    order_by: OrderBy = "name"

    @property
    def is_in_s3(self) -> bool:
        """Return whether the files are objects in S3."""
        return self.kind in ("s3", "s3_list")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; paths become urls, since a path may hold bytes that JSON cannot."""
        return {
            "kind": self.kind,
            "path": _place_uri(self.path),
            "files_from": file_uri(self.files_from) if self.files_from else None,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "leave_out": [_place_uri(path) for path in self.leave_out],
            "min_age_s": self.min_age_s,
            "order_by": self.order_by,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> SourceSpec:
        """Read what `to_json` wrote. Raises ConfigError."""
        try:
            return cls(
                kind=raw["kind"],
                path=_place(raw["path"]),
                files_from=local_path(raw["files_from"]) if raw["files_from"] else None,
                include=tuple(raw["include"]),
                exclude=tuple(raw["exclude"]),
                leave_out=tuple(_place(uri) for uri in raw["leave_out"]),
                min_age_s=raw["min_age_s"],
                order_by=raw["order_by"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError("the batch's record of its source cannot be read") from error


def source_spec(
    target: str | None,
    *,
    files_from: str | None = None,
    stdin: BinaryIO | None = None,
    keep_lists_in: Path | None = None,
    permissions: Permissions = PRIVATE,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    leave_out: Iterable[str | Path] = (),
    min_age_s: float = 0.0,
    order_by: OrderBy = "name",
) -> SourceSpec:
    """Return the spec of a command line: a directory, a file, or an S3 prefix; and a list file or `-`.

    The list from `stdin`, and one that a run wrote, is kept as a file in `keep_lists_in`, named by its content, so that
    a resume can read it again and the same list is the same source; `permissions` are those of the file. Raises
    ConfigError, SourceNotFound.
    """
    if target is None and files_from is None:
        raise ConfigError("there is nothing to import", hint="name a directory, a file, or --files-from LIST")
    lists = _Lists(stdin, keep_lists_in, permissions)
    kind, path, list_path = _of_s3(target, files_from, lists) or _of_this_machine(
        target or os.curdir, files_from, lists
    )
    return SourceSpec(
        kind=kind,
        path=path,
        files_from=list_path,
        include=tuple(include),
        exclude=tuple(exclude),
        leave_out=tuple(str(p) if is_s3(str(p)) else os.path.realpath(p) for p in leave_out),
        min_age_s=min_age_s,
        order_by=order_by,
    )


def _of_s3(target: str | None, files_from: str | None, lists: _Lists) -> tuple[SourceKind, str, str | None] | None:
    if files_from and is_s3(files_from):
        raise ConfigError(
            "--files-from takes a list on this machine",
            hint=f"aws s3 cp {files_from} - | bulkhead run … --files-from -",
        )
    if not target or not is_s3(target):
        return None
    if not files_from:
        return "s3", str(S3Place.parse(target)), None
    return "s3_list", str(S3Place.parse(target).folder), lists.path_of(files_from)


def _of_this_machine(target: str, files_from: str | None, lists: _Lists) -> tuple[SourceKind, str, str | None]:
    refuse_foreign(target)
    refuse_foreign(files_from)
    list_path = lists.path_of(files_from) if files_from else None
    path = os.path.realpath(target)
    return _kind(path, target=target, listed=list_path is not None), path, list_path


def refuse_foreign(target: str | None) -> None:
    """Raise ConfigError if a source is a url of another kind."""
    scheme, found, _ = (target or "").partition("://")
    if found and len(scheme) >= _SCHEME_MIN_LENGTH and scheme.isalnum():
        raise ConfigError(f"{scheme}:// sources are not supported", hint="name a local path, or s3://BUCKET/PREFIX")


def file_uri(path: str) -> str:
    """Return the `file://` url of an absolute path, which may have any bytes."""
    return "file://" + quoted(os.fsencode(path))


def quoted(path: bytes) -> str:
    """Return a path as written in a url: printable ASCII, `/` kept."""
    return path.decode("ascii") if _PLAIN(path) else quote(path)


def local_path(uri: str) -> str:
    """Return the path of a `file://` url that `file_uri` returned."""
    return os.fsdecode(unquote_to_bytes(urlsplit(uri).path))


def _place_uri(path: str) -> str:
    return S3Place.parse(path).uri if is_s3(path) else file_uri(path)


def _place(uri: str) -> str:
    return str(S3Place.of_uri(uri)) if is_s3(uri) else local_path(uri)


def _kind(path: str, *, target: str, listed: bool) -> SourceKind:
    if Path(path).is_dir():
        return "list" if listed else "directory"
    if not os.path.lexists(path):
        raise SourceNotFound(f"{printable(target)} does not exist")
    if listed:
        raise ConfigError(f"with --files-from, {printable(target)} must be a directory")
    return "file"


@dataclass(frozen=True, slots=True)
class _Lists:
    """Where a command finds its list, and where a list is kept that may not be there later."""

    stdin: BinaryIO | None
    directory: Path | None
    permissions: Permissions

    def path_of(self, files_from: str) -> str:
        """Return the path of a list, or of the copy that is kept. Raises ConfigError, SourceNotFound."""
        if files_from == "-":
            if self.stdin is None or self.directory is None:
                raise ConfigError("a list on standard input cannot be read here", hint="give a list file")
            return self._kept(self.stdin.read(), self.directory)
        path = os.path.realpath(files_from)
        if not Path(path).is_file():
            raise SourceNotFound(f"the list file {printable(files_from)} does not exist")
        if self.directory is not None and os.path.basename(path) in LISTS_OF_RUNS:  # noqa: PTH119 - bytes
            return self._kept(Path(path).read_bytes(), self.directory)
        return path

    def _kept(self, content: bytes, directory: Path) -> str:
        """Store a list under a name made from its content, atomically and only once, and return its path."""
        kept = directory / f"{hashlib.sha256(content).hexdigest()[:16]}.list"
        if not kept.exists():
            self.permissions.make_folder(directory)
            partial = kept.with_suffix(f".{os.getpid()}.tmp")
            self.permissions.write(partial, content)
            partial.replace(kept)
        return os.path.realpath(kept)


def printable(path: str) -> str:
    """Return a path that can be printed anywhere, with `?` for bytes that are not text."""
    return path.encode("utf-8", "replace").decode()
