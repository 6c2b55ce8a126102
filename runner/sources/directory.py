"""A directory as a source: a recursive listing in the order of the keys that keeps only names in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial

from runner.errors import FileUnavailable, ItemRejected, SourceNotFound
from runner.folders import Descent, is_link
from runner.protocols import SourceEntry
from runner.sources.earlier_results import OWNER_FILE, is_of_run
from runner.sources.file_open import from_os_error
from runner.sources.file_path import FilePath
from runner.sources.local import LINK_SAMPLE_COUNT, LocalFiles, SortedNames
from runner.sources.spec import SourceSpec, file_uri, quoted

_ENCODING = sys.getfilesystemencoding()
_UNDECODABLE = sys.getfilesystemencodeerrors()


class DirectorySource(LocalFiles):
    """All files below a directory.

    Keys are POSIX paths relative to it, in binary order of UTF-8. Links to files are followed if they end inside
    the directory, links to directories never. A directory that cannot be read is an entry of its own, its key ending
    in `/`, with the rejection `unreadable`.
    """

    def __init__(self, spec: SourceSpec, *, now: datetime, threaded: bool = True, only: str | None = None) -> None:
        self._only = only
        root = os.path.realpath(spec.path)
        super().__init__(spec, root=root, now=now, hidden=False, threaded=threaded)
        self._inside = os.path.join(root, "")  # noqa: PTH118 - ends in exactly one separator
        self._left_out = frozenset(os.path.relpath(path, root) for path in spec.leave_out)

    @property
    def uri(self) -> str:
        """Return `file://` and the real path of the directory."""
        return file_uri(self._root)

    def may_follow(self, target: str) -> bool:
        """Return whether a real path is inside the directory."""
        return target.startswith(self._inside)

    def file_path(self, source: str) -> FilePath:
        """Return the path below the root."""
        return FilePath(source.removeprefix(self._inside), root=self._root)

    def walk(self) -> Iterator[SourceEntry]:
        """Yield the entries, depth first. Raises SourceNotFound."""
        if self._only is not None:
            yield from self._one(self._only)
            return
        with closing(Descent(self._root)) as way:
            stack = [(b"", self._root_names(way))]
            while stack:
                prefix, names = stack[-1]
                below = yield from self._files(prefix, names, partial(self._listed, way))
                if below is None:
                    stack.pop()
                    if stack:
                        way.leave()
                    continue
                try:
                    stack.append((below, self.patiently(partial(self._entered, way, below))))
                except OSError as error:
                    yield from self._unreadable(below, error)

    def _entered(self, way: Descent, below: bytes) -> Iterator[bytes]:
        """Go down into a directory, and return its selected names."""
        way.enter(_name_of(below))
        try:
            return self._names(way, below)
        except OSError:
            way.leave()
            raise

    def _listed(self, way: Descent, name: bytes, path: bytes) -> os.stat_result:
        return self._followed(path, os.lstat(name, dir_fd=way.folder()))

    def selects(self, key: str) -> bool:
        """Return whether the listing includes a file, if there is one with this key."""
        *parts, name = key.split("/")
        entered = all(self._enters("/".join(parts[: n + 1]), part) for n, part in enumerate(parts))
        return entered and self._takes(key, name)

    def _one(self, key: str) -> Iterator[SourceEntry]:
        """Yield the entry of one key, if the listing would include it."""

        def look(_: bytes, path: bytes) -> os.stat_result:
            return self._followed(path, self.file_path(key).lstat())

        if self.selects(key):
            directories, _, name = key.rpartition("/")
            prefix = os.fsencode(directories + "/") if directories else b""
            yield from self._files(prefix, iter([os.fsencode(name)]), look)

    def _root_names(self, way: Descent) -> Iterator[bytes]:
        try:
            return self.patiently(lambda: self._names(way, b""))
        except OSError as error:
            shown = self._root.encode("utf-8", "replace").decode()
            if isinstance(unavailable := from_os_error(error), FileUnavailable):
                raise FileUnavailable(f"{shown}: {unavailable}", hint=unavailable.hint) from error
            raise SourceNotFound(f"the directory {shown} cannot be listed: {error.strerror}") from error

    def _names(self, way: Descent, prefix: bytes) -> Iterator[bytes]:
        """Return the selected names of one directory in the order of their keys; a directory's name ends in `/`."""
        found = SortedNames()
        has_results = False
        parent = os.fsdecode(prefix)
        with os.scandir(way.folder()) as listing:
            for entry in listing:
                name = entry.name
                has_results = has_results or name == OWNER_FILE
                if entry.is_dir(follow_symlinks=False):
                    if self._enters(parent + name, name):
                        found.add(name.encode(_ENCODING, _UNDECODABLE) + b"/")
                elif self._takes(parent + name, name):
                    found.add(name.encode(_ENCODING, _UNDECODABLE))
        if not has_results:
            return iter(found)
        self.earlier_results.add(parent)
        return (name for name in found if not is_of_run(os.fsdecode(name)))

    def _takes(self, path: str, name: str) -> bool:
        return self._filter.takes(path, name) and path not in self._left_out

    def _enters(self, path: str, name: str) -> bool:
        return self._filter.enters(path, name) and path not in self._left_out

    def _files(
        self, prefix: bytes, names: Iterator[bytes], look: Callable[[bytes, bytes], os.stat_result]
    ) -> Generator[SourceEntry, None, bytes | None]:
        """Yield a directory's files up to its next subdirectory, whose prefix is returned; None at the end.

        `look` gets a file's name and its path, and returns its stat.
        """
        parent, uri = os.fsdecode(prefix), f"{self._root_uri}/{quoted(prefix)}"
        directory = os.fsencode(self._inside) + prefix
        for name in names:
            if name.endswith(b"/"):
                return prefix + name
            key = parent + name.decode(_ENCODING, _UNDECODABLE)
            entry = self._entry(key, partial(look, name, directory + name), uri=uri + quoted(name))
            if entry is not None and not (
                entry.rejection and self._is_no_input(entry.rejection, key, directory + name)
            ):
                yield entry
        return None

    def _is_no_input(self, rejection: ItemRejected, key: str, path: bytes) -> bool:
        """Return whether a refused path is a link to a directory, or was deleted since its directory was read."""
        if rejection.code == "not_a_file" and os.path.isdir(path):  # noqa: PTH112 - paths are bytes here
            self._pass_over(key)
            return True
        return rejection.code == "not_found" and not os.path.lexists(path)

    def _pass_over(self, key: str) -> None:
        self.linked_directories += 1
        if len(self.link_samples) < LINK_SAMPLE_COUNT:
            self.link_samples.append(key)

    def _unreadable(self, prefix: bytes, error: OSError) -> Iterator[SourceEntry]:
        """Yield an entry for a directory that cannot be listed; nothing if it was deleted or replaced by a link."""
        if is_link(os.fsencode(self._inside) + prefix[:-1]):
            self._pass_over(os.fsdecode(prefix[:-1]))
            return
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return
        uri = f"{self._root_uri}/{quoted(prefix)}"
        if entry := self.refused_or_put_off(os.fsdecode(prefix), from_os_error(error), uri=uri):
            yield entry


def _name_of(prefix: bytes) -> bytes:
    return prefix[:-1].rpartition(b"/")[2]
