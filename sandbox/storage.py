"""Stored uploads and results, where they are, and what a request for them may contain."""

import contextlib
import errno
import hashlib
import io
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from sandbox.private_files import make_folder, open_new
from sandbox.problems import StorageProblem
from sandbox.settings import IfNoneMatch

LICENSE_KEY_HEADER = "x-dromo-license-key"
STORAGE_PREFIX = "/_storage/"
RESULT_NAME = "result.json"
NAME_SHOWN_LENGTH = 200
BLOB_SUFFIX = ".blob"
PART_SUFFIX = ".part"
OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored object: its content as bytes or as a file, its size, and its checksums (hex)."""

    source: bytes | Path
    size_bytes: int
    md5: str
    sha256: str

    def open(self) -> BinaryIO:
        """Return the content as a binary stream; the caller closes it."""
        return self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.source)


class BlobWriter:
    """Takes an object's bytes in order and hashes them. Nothing is stored before `commit`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part = path.with_suffix(PART_SUFFIX) if path else None
        self._stream: BinaryIO = open_new(self._part) if self._part else io.BytesIO()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._md5.update(chunk)
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)

    def commit(self) -> Blob:
        source = self._kept()
        return Blob(source, self.size_bytes, self._md5.hexdigest(), self._sha256.hexdigest())

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        if self._part:
            self._part.unlink(missing_ok=True)

    def _kept(self) -> bytes | Path:
        if self._part is None or self._path is None:
            assert isinstance(self._stream, io.BytesIO)
            return self._stream.getvalue()
        self._stream.close()
        self._part.replace(self._path)
        return self._path


class Storage:
    """Objects in memory, or as files in `directory`. Names are the sandbox's own, never a client's.

    Files of two starts in one directory differ in their `generation`.
    """

    def __init__(self, directory: Path | None = None, *, generation: int = 0) -> None:
        self._directory = directory
        self._generation = generation
        self._numbers = itertools.count()
        self._discarded: list[Path] = []
        if directory:
            make_folder(directory)

    def writer(self, name: str) -> BlobWriter:
        """Return a writer for a new object; two writers of one name do not interfere."""
        return BlobWriter(self.place(name))

    def place(self, name: str) -> Path | None:
        """Return a path for a new object of this name, which another process may write; None in memory."""
        if self._directory is None:
            return None
        path = self._directory / f"{name}.{self._generation}-{next(self._numbers)}{BLOB_SUFFIX}"
        clear_place(path)
        return path

    def put(self, name: str, data: bytes) -> Blob:
        writer = self.writer(name)
        try:
            writer.write(data)
            return writer.commit()
        except BaseException:
            writer.abort()
            raise

    def discard(self, *stored: Blob | Path | None) -> None:
        """Discard objects, or files at places; files stay until `purge`."""
        places = (each.source if isinstance(each, Blob) else each for each in stored)
        self._discarded += [place for place in places if isinstance(place, Path)]

    def sweep(self, needed: Iterable[Path]) -> None:
        """Delete all files but the `needed` ones: those that an earlier process did not finish."""
        spared = set(needed)
        for path in self._directory.iterdir() if self._directory else ():
            if path.suffix in {BLOB_SUFFIX, PART_SUFFIX} and path not in spared:
                path.unlink()

    def purge(self) -> None:
        """Delete the files of discarded objects. Call it after the journal has saved that they are gone."""
        while self._discarded:
            self._discarded.pop().unlink(missing_ok=True)


def clear_place(path: Path) -> None:
    """Delete what a writer left at a place, complete or not."""
    path.unlink(missing_ok=True)
    path.with_suffix(PART_SUFFIX).unlink(missing_ok=True)


def upload_path(import_id: str, filename: str) -> str:
    """Return the storage path of an import's upload; it contains the start of the file's name, percent-encoded."""
    name = quote(filename[:NAME_SHOWN_LENGTH], safe="")
    return f"{STORAGE_PREFIX}{import_id}/{name if name.strip('.') else 'upload'}"


def result_path(import_id: str) -> str:
    return f"{STORAGE_PREFIX}{import_id}/{RESULT_NAME}"


def import_id_of(path: str) -> str:
    """Return the import that a signed storage path belongs to."""
    return path.removeprefix(STORAGE_PREFIX).partition("/")[0]


def check_upload_headers(headers: Mapping[str, str]) -> int:
    """Return an upload's Content-Length. Raises StorageProblem for what a bucket refuses. Names are in lower case."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        raise StorageProblem(
            501, "NotImplemented", "A header you provided implies functionality that is not implemented"
        )
    length = headers.get("content-length")
    if length is None or not length.isascii() or not length.isdecimal():
        raise StorageProblem(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    check_signed_headers(headers)
    return int(length)


def is_conditional(headers: Mapping[str, str], if_none_match: IfNoneMatch) -> bool:
    """Return whether `If-None-Match: *` protects an existing object. Raises StorageProblem if it is not supported."""
    if "if-none-match" not in headers:
        return False
    if if_none_match == "not_implemented":
        raise StorageProblem(501, "NotImplemented", "If-None-Match is not implemented")
    if if_none_match == "not_signed":
        raise headers_not_signed("if-none-match")
    return True


def check_signed_headers(headers: Mapping[str, str]) -> None:
    """Raise StorageProblem for headers that a URL signed for `host` alone does not cover."""
    unsigned = sorted(name for name in headers if name.startswith("x-amz-") or name == "content-md5")
    if unsigned:
        raise headers_not_signed(*unsigned)


def headers_not_signed(*names: str) -> StorageProblem:
    sentence = "There were headers present in the request which were not signed: "
    return StorageProblem(403, "HeadersNotSigned", sentence + ", ".join(names))
