"""Sending a local file: exactly the bytes that were prepared, or not to the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ItemRejected, SourceChanged
from runner.sources.file_body import HASHED_BYTES, FileBody
from runner.sources.file_open import Stamp
from runner.sources.file_path import FilePath
from runner.sources.local import RUN_LENGTH, SortedNames

MIB = 1 << 20


def put(root: Path, name: str, *, content: bytes = b"a,b\n1,2\n") -> None:
    (root / name).write_bytes(content)


async def sent_before_refusal(body: FileBody, *, then: Callable[[], None] = lambda: None) -> int:
    """Return how many bytes were sent before SourceChanged; `then` happens after the first chunk."""
    sent = 0
    try:
        async for chunk in body.chunks():
            if sent == 0:
                then()
            sent += len(chunk)
    except SourceChanged:
        return sent
    raise AssertionError("the change was not noticed")


def open_files() -> set[Path]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(link.readlink())
    return found


class TestSending:
    def body(self, path: Path, *, threaded: bool = True, **changes: object) -> FileBody:
        content, stamp = path.read_bytes(), Stamp.of(path.stat())
        said: dict[str, object] = {"stamp": stamp, "sha256": hashlib.sha256(content).hexdigest()}
        return FileBody(FilePath(str(path)), threaded=threaded, **{**said, **changes})  # type: ignore[arg-type]

    @pytest.mark.parametrize("threaded", [True, False])
    @pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 3 * MIB])
    async def test_it_sends_exactly_the_bytes_of_the_file(self, tmp_path: Path, size: int, threaded: bool) -> None:
        content = os.urandom(size)
        put(tmp_path, "a.csv", content=content)
        body = self.body(tmp_path / "a.csv", threaded=threaded)
        chunks = [chunk async for chunk in body.chunks()]
        assert b"".join(chunks) == content
        assert body.size_bytes == size
        assert max(map(len, chunks)) <= MIB

    async def test_a_large_file_whose_time_was_set_back_after_a_write_never_sends_its_last_chunk(
        self, tmp_path: Path
    ) -> None:
        put(tmp_path, "a.csv", content=b"x" * (HASHED_BYTES + MIB))
        path = tmp_path / "a.csv"
        body, info = self.body(path), path.stat()

        def write_and_hide() -> None:
            with path.open("r+b") as file:
                file.write(b"y")
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

        assert await sent_before_refusal(body, then=write_and_hide) == HASHED_BYTES

    async def test_it_can_be_sent_again(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv")
        body = self.body(tmp_path / "a.csv")
        assert [chunk async for chunk in body.chunks()] == [chunk async for chunk in body.chunks()]

    @pytest.mark.parametrize("threaded", [True, False])
    async def test_a_file_with_the_same_size_and_time_but_other_bytes_never_sends_its_last_chunk(
        self, tmp_path: Path, threaded: bool
    ) -> None:
        put(tmp_path, "a.csv", content=b"x" * (3 * MIB))
        body = self.body(tmp_path / "a.csv", sha256=hashlib.sha256(b"other").hexdigest(), threaded=threaded)
        assert await sent_before_refusal(body) == 2 * MIB

    @pytest.mark.parametrize("change", ["grow", "shrink", "touch", "replace"])
    async def test_a_change_after_the_first_chunk_never_sends_the_last(self, tmp_path: Path, change: str) -> None:
        path = tmp_path / "a.csv"
        put(tmp_path, "a.csv", content=b"x" * (9 * MIB))
        os.utime(path, (1, 1))
        body = self.body(path)
        assert await sent_before_refusal(body, then=lambda: self.do(change, path)) < 9 * MIB

    def do(self, change: str, path: Path) -> None:
        if change in ("grow", "shrink"):
            os.truncate(path, (10 if change == "grow" else 2) * MIB)
        elif change == "touch":
            os.utime(path, (2, 2))
        else:
            with path.open("r+b") as file:
                file.seek(8 * MIB)
                file.write(b"y")

    async def test_a_file_that_changed_before_the_first_chunk_sends_nothing(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv")
        body = self.body(tmp_path / "a.csv")
        put(tmp_path, "a.csv", content=b"longer than before")
        assert await sent_before_refusal(body) == 0

    async def test_a_file_that_has_gone_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv")
        body = self.body(tmp_path / "a.csv")
        (tmp_path / "a.csv").unlink()
        with pytest.raises(ItemRejected, match="no such file"):
            _ = [chunk async for chunk in body.chunks()]

    async def test_giving_up_in_the_middle_closes_the_file(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", content=b"x" * (8 * MIB))
        chunks = self.body(tmp_path / "a.csv").chunks()
        assert len(await anext(chunks)) == MIB
        await chunks.aclose()  # type: ignore[attr-defined]
        await asyncio.get_running_loop().shutdown_default_executor()
        assert tmp_path / "a.csv" not in open_files()


class TestSortedNames:
    @given(names=st.lists(st.binary(max_size=6).filter(lambda raw: b"\0" not in raw and raw != b""), max_size=50))
    def test_names_come_out_sorted_and_none_is_lost(self, names: list[bytes]) -> None:
        kept = SortedNames()
        for name in names:
            kept.add(name)
        assert list(kept) == sorted(names)

    def test_more_names_than_one_run_are_merged(self) -> None:
        kept = SortedNames()
        names = [hashlib.sha256(str(n).encode()).hexdigest().encode() for n in range(2 * RUN_LENGTH + 7)]
        for name in names:
            kept.add(name)
        assert list(kept) == sorted(names)
