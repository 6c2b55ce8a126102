"""LocalSink: results and manifests on this machine, written atomically, durably, and never outside the root."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import stat
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runner.concurrency import in_thread
from runner.errors import BulkheadError, ConfigError, FileUnavailable, SinkFailed, StorageFull
from runner.folders import open_below, open_folder, open_root, open_way
from runner.protocols import Occupant, SavedResult
from runner.sinks.result_array import Chunks, ResultArray
from runner.sinks.result_path import RESULTS, is_document, result_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from runner.permissions import Permissions
    from runner.protocols import Place

WRITE_BYTES = 1 << 20
"""Chunks are gathered to about this size before a thread writes them."""

LOCK_WAIT_S = 60.0
LOCK_PAUSE_S = 0.05
"""How long a result waits for others that choose their places: they take milliseconds (choice)."""

_DOCUMENT_BYTES = 16 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
_OF_THE_MOMENT = frozenset({errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT})
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

T = TypeVar("T")


class LocalSink:
    """A directory as sink; implements `Sink`.

    A file is written under a hidden temporary name (`.<hash>.partial`, in the same folder), synced, and renamed. On
    an error or a cancellation the temporary file is removed; the next attempt replaces a file that a killed process
    left. No symbolic link below `root` is followed. `result_path` names the files; if the file
    system ignores case and two names are the same, the second result gets the distinct form of its path instead of
    overwriting the first, so use the path in `SavedResult`.

    `threaded=False` does all work in the caller's thread, for deterministic runs. Methods raise StorageFull if
    there is no space, FileUnavailable for trouble that may pass soon, and SinkFailed if a file cannot be written for
    another reason.
    """

    def __init__(
        self,
        root: Path,
        *,
        threaded: bool = True,
        root_permissions: Permissions | None = None,
        permissions: Permissions | None = None,
    ) -> None:
        """`root_permissions` are those of a root that does not exist yet, `permissions` of everything below it.

        Without them, the umask decides.
        """
        self._root = root
        self._modes = _Modes(root=root_permissions, below=permissions)
        self._threaded = threaded
        self._naming = _Naming()
        self._placing = asyncio.Lock()
        """Results whose usual path is taken take turns here; the lock of the folder is for those of other processes."""

    async def prepare(self) -> None:
        """Create the root, and check that results can be written below it. Raises ConfigError, StorageFull."""
        try:
            await self._run(self._probe)
        except (SinkFailed, FileUnavailable) as error:
            if taken := await self._run(partial(_not_a_directory, self._root)):
                raise ConfigError(f"{taken} is not a directory", hint="--out names another place") from error
            raise ConfigError(str(error), hint=error.hint) from error

    def _probe(self) -> None:
        has_results = os.path.lexists(self._root / RESULTS)
        draft = _Draft(self._root, f"{RESULTS}/probe" if has_results else "probe", modes=self._modes)
        try:
            draft.write(b"\n")
        finally:
            draft.close()

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        """Store the bytes exactly as received. Raises ResultInvalid unless they are one complete JSON array."""
        import_id = place.import_id if place else ""
        draft = _ResultDraft(self._root, source, modes=self._modes, naming=self._naming, import_id=import_id)
        await self._store(draft, chunks, place)
        return draft.saved

    async def has(self, path: str) -> bool:
        """Return whether something is at a path, a link included. Raises SinkFailed, FileUnavailable."""
        return await self._run(partial(_has, self._root / path))

    async def read(self, name: str) -> bytes | None:
        """Return a document of at most 16 MiB, without following a link. Raises SinkFailed, FileUnavailable."""
        return await self._run(partial(_read, self._root, name))

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store one document and return its path. Raises ConfigError for another name than `is_document` takes."""
        if not is_document(name):
            raise ConfigError(f"{name!r} is not a plain file name")
        await self._store(_Draft(self._root, name, modes=self._modes), chunks)
        return str(self._root / name)

    async def _store(self, draft: _Draft, chunks: AsyncIterator[bytes], place: Place | None = None) -> None:
        gathered, is_quick = Chunks(WRITE_BYTES), True
        try:
            async for chunk in chunks:
                if data := gathered.add(chunk):
                    is_quick = False
                    await self._run(partial(draft.write, data))
            if isinstance(draft, _ResultDraft) and place is not None:
                is_free = await self._run(partial(draft.complete_and_look, gathered.rest()), is_quick=is_quick)
                if not (is_free and await self._put_at_once(draft, place)):
                    await self._put(draft, place)
            else:
                await self._run(partial(draft.commit, gathered.rest()))
        finally:
            draft.close()

    async def _put_at_once(self, draft: _ResultDraft, place: Place) -> bool:
        """Give a complete result its usual path, which was free; return False if it is taken or not chosen."""
        usual = draft.path

        async def look(path: str) -> Occupant | None:
            return None if path == usual else await self._run(partial(draft.occupant, path.rpartition("/")[2]))

        chosen = await place.choose(usual, look, saved=draft.saved)
        return chosen == usual and await self._run(draft.keep_if_free, is_quick=True)

    async def _put(self, draft: _ResultDraft, place: Place) -> None:
        """Give a complete result the path that its place chooses, while nobody else chooses or renames."""

        known: dict[str, Occupant | None] = {}

        async def look(path: str) -> Occupant | None:
            name = path.rpartition("/")[2]
            return known[name] if name in known else await self._run(partial(draft.occupant, name))

        async with self._placing:
            try:
                found = await self._run(draft.enter)
                if found is None:
                    await self._lock(draft)
                    found = await self._run(draft.find_usual)
                known = found
                draft.path = await place.choose(draft.path, look, saved=draft.saved)
                await self._run(draft.keep)
            finally:
                self._naming.is_choosing = False

    async def _lock(self, draft: _ResultDraft) -> None:
        """Wait for the lock of the root. Raises FileUnavailable."""
        for _ in range(round(LOCK_WAIT_S / LOCK_PAUSE_S)):
            if await self._run(draft.is_locked_now):
                return
            await asyncio.sleep(LOCK_PAUSE_S)
        raise FileUnavailable(f"another run has been writing below {self._root} for {LOCK_WAIT_S:.0f} seconds")

    async def _run(self, work: Callable[[], T], *, is_quick: bool = False) -> T:
        """Do blocking work; a cancellation calls it off, or waits for its end if it has begun.

        So nothing writes after the draft is closed.
        """
        if not self._threaded:
            return work()
        claim = threading.Lock()
        running = in_thread(partial(_claimed, work, claim), is_quick=is_quick)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if claim.acquire(blocking=False):
                running.cancel()
                raise
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({running})
            running.exception()
            raise


def _claimed(work: Callable[[], T], claim: threading.Lock) -> T:
    """Do the work, unless a cancellation has got the claim first."""
    if not claim.acquire(blocking=False):
        raise asyncio.CancelledError
    return work()


class _Naming:
    """Who gives names now: `lock` is held for a rename, and `is_choosing` while a result looks for a path."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_choosing = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Modes:
    """The permissions of a root that is created, and of what is below it; None leaves them to the umask."""

    root: Permissions | None
    below: Permissions | None

    def make_root(self, root: Path) -> None:
        if root.exists():
            return
        missing = [place for place in (root, *root.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir(0o777 if self.root is None else self.root.folder, exist_ok=True)
            if self.root is not None:
                place.chmod(self.root.folder)
            _sync_folder(place.parent)

    def made_folder(self, name: str, *, within: int) -> int:
        """Open a folder, and create it if it is missing; a symbolic link in its place is an error."""
        try:
            return open_folder(name, within=within)
        except FileNotFoundError:
            pass
        try:
            os.mkdir(name, 0o777 if self.below is None else self.below.folder, dir_fd=within)
        except FileExistsError:
            return open_folder(name, within=within)
        os.fsync(within)
        folder = open_folder(name, within=within)
        if self.below is not None:
            self.below.give(folder)
        return folder

    def new_file(self, name: str, *, within: int) -> int:
        descriptor = os.open(name, _NEW_FILE, 0o666 if self.below is None else self.below.file, dir_fd=within)
        if self.below is not None:
            self.below.give(descriptor)
        return descriptor


class _Draft:
    """A file that does not have its final name yet; its methods block, and are called one at a time."""

    def __init__(self, root: Path, path: str, *, modes: _Modes, of: str = "") -> None:
        """`of` tells apart drafts of one path that are written at the same time."""
        self.path = path
        self._root = root
        self._modes = modes
        self._temporary = f".{hashlib.sha256(f'{path}{of}'.encode()).hexdigest()[:16]}.partial"
        self._open = ExitStack()
        self._folder = -1
        self._file = -1

    def write(self, data: bytes) -> None:
        with self._translated():
            if self._file < 0:
                self._create()
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]

    def commit(self, data: bytes) -> None:
        """Write the last bytes and give the file its final name."""
        self.complete(data)
        self.keep()

    def complete(self, data: bytes) -> None:
        """Write the last bytes, durably."""
        self.write(data)
        with self._translated():
            os.fsync(self._file)

    def keep(self) -> None:
        """Give the complete file its final name."""
        with self._translated():
            self._check()
            self._rename()
            os.fsync(self._folder)

    def _check(self) -> None:
        if not self._is_own():
            raise FileUnavailable(f"{self._root / self.path} is being written by another run")
        if not self._is_in_place():
            raise _replaced(self._root / self.path)

    def close(self) -> None:
        """Remove the temporary file, unless it was renamed."""
        self._open.close()

    def _rename(self) -> None:
        final = self.path.rpartition("/")[2]
        os.replace(self._temporary, final, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _create(self) -> None:
        self._modes.make_root(self._root)
        folder = open_root(self._root)
        for part in self.path.split("/")[:-1]:
            try:
                deeper = self._modes.made_folder(part, within=folder)
            finally:
                os.close(folder)
            folder = deeper
        self._folder = folder
        self._open.callback(os.close, folder)
        self._file = self._create_temporary()
        self._open.callback(os.close, self._file)
        self._open.callback(self._remove)

    def _create_temporary(self) -> int:
        try:
            return self._modes.new_file(self._temporary, within=self._folder)
        except FileExistsError:
            os.unlink(self._temporary, dir_fd=self._folder)
            return self._modes.new_file(self._temporary, within=self._folder)

    def _remove(self) -> None:
        with suppress(OSError):
            if self._is_own():
                os.unlink(self._temporary, dir_fd=self._folder)

    def _is_own(self) -> bool:
        """Return whether the temporary name still belongs to the file that was opened here."""
        found = _lstat(self._temporary, within=self._folder)
        return found is not None and os.path.samestat(found, os.fstat(self._file))

    def _is_in_place(self) -> bool:
        """Return whether the path still leads to the folder that the temporary file is in."""
        try:
            folder = open_way(self._root, self.path.split("/")[:-1])
        except OSError:
            return False
        try:
            return os.path.samestat(os.fstat(folder), os.fstat(self._folder))
        finally:
            os.close(folder)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _translation(error, self._root / self.path, below=self._root) from error


def _translation(error: OSError, place: Path, *, below: Path | None = None, doing: str = "write") -> BulkheadError:
    if error.errno in _FULL:
        return StorageFull(f"no space is left to write {place}", hint="free some space and resume")
    sentence = f"cannot {doing} {place}: {os.strerror(error.errno or 0)}"
    if error.errno in _OF_THE_MOMENT:
        return FileUnavailable(sentence)
    if error.errno in _LINK:
        return SinkFailed(sentence, hint=_way_out(place, below or place))
    return SinkFailed(sentence, hint="make the output directory writable again, and resume")


def _way_out(place: Path, below: Path) -> str:
    """Return what to do about the first part of a path below a directory that is no directory itself."""
    way = [part for part in reversed(place.parents) if below in part.parents]
    with suppress(OSError):
        taken = next((part for part in way if not stat.S_ISDIR(part.lstat().st_mode)), None)
        if taken is not None and not taken.is_symlink():
            return f"{taken} is no directory, and results need a directory of this name; move it away, and resume"
    return "symbolic links below the output directory are not followed; replace the link by a directory, and resume"


def _not_a_directory(root: Path) -> Path | None:
    """Return the part of the path to the root that is there and is no directory; None if there is none."""
    there = next((place for place in (root, *root.parents) if os.path.lexists(place)), None)
    return there if there is not None and not there.is_dir() else None


def _replaced(place: Path) -> SinkFailed:
    sentence = f"cannot write {place}: a directory on its path was replaced while it was written"
    return SinkFailed(sentence, hint="leave the directories for results in their places, and resume")


class _ResultDraft(_Draft):
    """A draft whose bytes must be one JSON array."""

    def __init__(self, root: Path, source: str, *, modes: _Modes, naming: _Naming, import_id: str) -> None:
        super().__init__(root, result_path(source), modes=modes, of=import_id)
        self.array = ResultArray()
        self.digest = hashlib.sha256()
        self._source = source
        self._naming = naming
        self._locked = -1
        self._is_placed = False

    @property
    def saved(self) -> SavedResult:
        return SavedResult(path=self.path, row_count=self.array.row_count, sha256=self.digest.hexdigest())

    def write(self, data: bytes) -> None:
        self.array.feed(data)
        self.digest.update(data)
        super().write(data)

    def complete(self, data: bytes) -> None:
        self.write(data)
        self.array.finish()
        super().complete(b"")

    def complete_and_look(self, data: bytes) -> bool:
        """Write the last bytes, durably; return whether the usual path of the result is free."""
        self.complete(data)
        with self._translated():
            return self._is_free()

    def keep_if_free(self) -> bool:
        """Give the complete result its usual path; return False if it is taken, or somebody chooses a path now."""
        with self._translated():
            self._check()
            with self._naming.lock:
                if self._naming.is_choosing or not self._is_renamed_as_only_one():
                    return False
            os.fsync(self._folder)
        return True

    def _is_renamed_as_only_one(self) -> bool:
        folder = open_root(self._root)
        try:
            is_ours = _is_locked_now(folder) and self._is_free()
            if is_ours:
                super()._rename()
            return is_ours
        finally:
            os.close(folder)

    def _is_free(self) -> bool:
        return _lstat(self.path.rpartition("/")[2], within=self._folder) is None

    def enter(self) -> dict[str, Occupant | None] | None:
        """Keep results that are put at once from their paths, and return what has the usual name of this one.

        None if another process has the lock of the root; closing the draft releases it.
        """
        with self._naming.lock:
            self._naming.is_choosing = True
        try:
            self._locked = open_root(self._root)
        except OSError as error:
            raise _translation(error, self._root) from error
        self._open.callback(os.close, self._locked)
        return self.find_usual() if self.is_locked_now() else None

    def is_locked_now(self) -> bool:
        """Try to lock the root, which `enter` has opened."""
        return _is_locked_now(self._locked)

    def find_usual(self) -> dict[str, Occupant | None]:
        """Settle the usual path of the result, and return what has its name.

        `keep` uses the path that is set after that.
        """
        with self._translated():
            if self._is_taken():
                self.path = result_path(self._source, distinct=True)
        self._is_placed = True
        name = self.path.rpartition("/")[2]
        return {name: self.occupant(name)}

    def occupant(self, name: str) -> Occupant | None:
        """Return what has a name in the folder of this result."""
        with self._translated():
            return _occupant(name, within=self._folder)

    def _rename(self) -> None:
        with self._naming.lock:
            if not self._is_placed and self._is_taken():
                self.path = result_path(self._source, distinct=True)
            super()._rename()

    def _is_taken(self) -> bool:
        """Return whether the final name opens a file with another name, as on file systems that ignore case."""
        if self._is_free():
            return False
        parts = self.path.split("/")
        return not all(self._lists(part, parts[:depth]) for depth, part in enumerate(parts))

    def _lists(self, name: str, folders: list[str]) -> bool:
        """Return whether a folder below the root lists a name as it is written here."""
        folder = open_below(self._root, folders)
        try:
            with os.scandir(folder) as entries:
                return any(entry.name == name for entry in entries)
        finally:
            os.close(folder)


def _occupant(name: str, *, within: int) -> Occupant | None:
    try:
        descriptor = os.open(name, _OLD_FILE, dir_fd=within)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NO_FILE:
            return Occupant()
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Occupant()
        with open(descriptor, "rb", closefd=False) as file:
            return Occupant(sha256=hashlib.file_digest(file, "sha256").hexdigest())
    finally:
        os.close(descriptor)


def _has(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _translation(error, place, doing="look for") from error
    return True


def _read(root: Path, name: str) -> bytes | None:
    *folders, last = name.split("/")
    try:
        folder = open_way(root, folders)
        try:
            descriptor = os.open(last, _OLD_FILE, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(_DOCUMENT_BYTES)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _translation(error, root / name, below=root, doing="read") from error


def _is_locked_now(folder: int) -> bool:
    """Try to lock an open folder; a file system without locks has them all free."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sync_folder(place: Path) -> None:
    folder = open_root(place)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lstat(name: str, *, within: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return None
