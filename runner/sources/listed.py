"""ListedFiles: files that the user names, a single file or the lines of a list."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from io import BufferedReader
from itertools import groupby
from pathlib import Path

from runner.errors import ConfigError, FileUnavailable, SourceNotFound
from runner.protocols import SourceEntry
from runner.sources.file_open import from_os_error
from runner.sources.file_path import FilePath
from runner.sources.local import LocalFiles, SortedNames
from runner.sources.spec import SourceSpec, file_uri

_BLOCK_BYTES = 1 << 16
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ListedFiles(LocalFiles):
    """A file, or the files of a list. A named file is meant: hidden names are included and links are followed.

    A list has one path per line; blank lines and lines that begin with `#` are skipped. A list that holds a NUL
    byte has one path between NULs instead. Keys are relative to the directory, or absolute for files outside of it;
    they are sorted, and each comes once. A path without a file becomes an entry with the rejection `not_found`.
    """

    def __init__(self, spec: SourceSpec, *, now: datetime, threaded: bool = True, only: str | None = None) -> None:
        path = os.path.realpath(spec.path)
        root, name = os.path.split(path) if spec.kind == "file" else (path, None)
        self._name = only or name
        self._list = spec.files_from
        super().__init__(spec, root=root, now=now, hidden=True, threaded=threaded)

    @property
    def uri(self) -> str:
        """Return `file://` and the file's path, or `list+file://`, the list's path and the directory it starts from."""
        if self._list is not None:
            return f"list+{file_uri(self._list)}?{file_uri(self._root)}"
        return self._uri_of(self._name or "")

    def may_follow(self, target: str) -> bool:  # noqa: ARG002 - a link that was named is meant
        """Follow every link."""
        return True

    def file_path(self, source: str) -> FilePath:
        """Return the path as it is named."""
        return FilePath(os.path.join(self._root, source))  # noqa: PTH118 - Path() is slow, and normalizes the path

    def selects(self, key: str) -> bool:
        """Return whether include and exclude take a file that is named."""
        return self._filter.takes(key, key.rpartition("/")[2])

    def walk(self) -> Iterator[SourceEntry]:
        """Yield the entries by key. Raises SourceNotFound, ConfigError."""
        for name in self._keys():
            key = os.fsdecode(name)
            if not self.selects(key):
                continue
            path = os.path.join(os.fsencode(self._root), name)  # noqa: PTH118 - a key may be absolute
            if entry := self._entry(key, partial(self._stat, path), uri=self._uri_of(key)):
                yield entry

    def directories(self) -> set[str]:
        """Return the real directories of the files that the filters take. Raises SourceNotFound, ConfigError."""
        found = set()
        for name in self._keys():
            parent = os.fsdecode(name).rpartition("/")[0]
            if self.selects(os.fsdecode(name)):
                found.add(parent or ("/" if name.startswith(b"/") else ""))
        return {os.path.realpath(os.path.join(self._root, parent)) for parent in found}  # noqa: PTH118 - as above

    def _keys(self) -> Iterator[bytes]:
        if self._name is not None or self._list is None:
            return iter([os.fsencode(self._name or "")])
        return self._listed_keys(self._list)

    def _listed_keys(self, list_path: str) -> Iterator[bytes]:
        keys = SortedNames()
        for line in list_lines(list_path):
            keys.add(self._key(line))
        return (key for key, _ in groupby(keys))

    def _key(self, line: bytes) -> bytes:
        """Return a line's path relative to the directory, or absolute if it is outside. Raises ConfigError."""
        if line.startswith(b"s3://"):
            raise ConfigError(
                f"the list file {self._list} names {line.decode('utf-8', 'replace')}, not a file on this machine",
                hint="name the prefix of the objects as the source, too: s3://BUCKET/PREFIX --files-from LIST",
            )
        root = os.path.join(os.fsencode(self._root), b"")  # noqa: PTH118
        path = b"/" + line.lstrip(b"/") if line.startswith(b"/") else root + line
        return os.path.normpath(path).removeprefix(root)


def list_lines(list_path: str) -> Iterator[bytes]:
    """Yield the names in a list. Raises ConfigError, SourceNotFound, FileUnavailable."""
    try:
        with Path(list_path).open("rb") as file:
            yield from _lines(file, list_path)
    except OSError as error:
        if isinstance(unavailable := from_os_error(error), FileUnavailable):
            raise FileUnavailable(f"{list_path}: {unavailable}", hint=unavailable.hint) from error
        raise SourceNotFound(f"the list file {list_path} cannot be read: {error.strerror}") from error


def _lines(file: BufferedReader, list_path: str) -> Iterator[bytes]:
    """Yield the paths that a list names."""
    head = file.read(_BLOCK_BYTES)
    if head.startswith(_UTF16):
        raise ConfigError(f"the list file {list_path} is UTF-16", hint="save it as UTF-8")
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    if b"\0" in head:
        yield from filter(None, _split(file, b"\0"))
        return
    for line in file:
        path = line.rstrip(b"\r\n")
        if path.strip() and not path.startswith(b"#"):
            yield path


def _split(file: BufferedReader, separator: bytes) -> Iterator[bytes]:
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(separator)
        yield from whole
    yield rest
