"""A disk or a share that fails for a moment: looked at again, then left to a later run, and never a rejection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from runner.errors import FileUnavailable, ItemRejected, SourceNotFound
from runner.models import Item
from runner.protocols import SourceEntry
from runner.sources import LocalFiles, open_source, source_spec
from runner.sources import local as sources
from tests.support.scripted_s3 import without_pauses

MOMENTS = [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE]
NOW = datetime(2026, 7, 1, tzinfo=UTC)

Fail = Callable[..., None]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.csv", "b.json", "sub/c.csv"):
        (tmp_path / "in" / name).write_text("[{}]")
    return tmp_path / "in"


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Let a function of `os` fail for paths that end so, that many times."""

    def failing(function: str, ending: str, number: int, *, times: int = 10_000) -> None:
        original, left = getattr(os, function), iter(range(times))

        def call(path: Any, *more: Any, **options: Any) -> Any:
            if (
                str(os.fsdecode(path) if not isinstance(path, int) else path).endswith(ending)
                and next(left, None) is not None
            ):
                raise OSError(number, os.strerror(number))
            return original(path, *more, **options)

        monkeypatch.setattr(os, function, call)

    return failing


def _open(inbox: Path, **options: Any) -> LocalFiles:
    source = open_source(source_spec(str(inbox), **options), now=NOW, threaded=False)
    assert isinstance(source, LocalFiles)
    return source


async def _list(source: LocalFiles, *, into: list[SourceEntry]) -> None:
    async for chunk in source.entries():
        into += chunk


async def _listed(source: LocalFiles) -> list[str]:
    seen: list[SourceEntry] = []
    await _list(source, into=seen)
    return [entry.source for entry in seen]


@pytest.mark.parametrize("number", MOMENTS)
@pytest.mark.parametrize(("function", "ending"), [("lstat", "a.csv"), ("open", "sub")])
async def test_a_listing_looks_again_at_what_fails_for_a_moment(
    inbox: Path, fail: Fail, number: int, function: str, ending: str
) -> None:
    fail(function, ending, number, times=3)
    assert await _listed(_open(inbox)) == ["a.csv", "b.json", "sub/c.csv"]


@pytest.mark.parametrize("number", MOMENTS)
@pytest.mark.parametrize(("function", "ending", "named"), [("lstat", "a.csv", "a.csv"), ("open", "sub", "sub/")])
async def test_a_listing_names_what_it_could_not_see_after_all_else_and_rejects_nothing(
    inbox: Path, fail: Fail, number: int, function: str, ending: str, named: str
) -> None:
    fail(function, ending, number)
    seen: list[SourceEntry] = []
    with pytest.raises(FileUnavailable, match=f"^{named}: .*{os.strerror(number)}"):
        await _list(_open(inbox), into=seen)
    assert [entry.source for entry in seen] == [
        name for name in ("a.csv", "b.json", "sub/c.csv") if not name.startswith(named)
    ]
    assert {entry.rejection for entry in seen} == {None}


async def test_a_listing_has_limited_patience_for_a_disk_that_is_gone(
    inbox: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        (inbox / f"sub/{number}.csv").write_text("x")
    pauses: list[float] = []
    monkeypatch.setattr(sources.time, "sleep", pauses.append)
    fail("lstat", "csv", errno.EIO)
    source = open_source(source_spec(str(inbox)), now=NOW, threaded=True)
    assert isinstance(source, LocalFiles)
    with pytest.raises(FileUnavailable, match=r"202 files or directories such as a\.csv: "):
        await _listed(source)
    assert len(pauses) == sources.LISTING_RETRIES


@pytest.mark.parametrize("number", MOMENTS)
async def test_a_root_that_fails_for_a_moment_is_not_called_missing(inbox: Path, fail: Fail, number: int) -> None:
    fail("open", "/in", number)
    with pytest.raises(FileUnavailable, match=r"in: .*at the moment"):
        await _listed(_open(inbox))


async def test_a_list_file_that_fails_for_a_moment_is_not_called_missing(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "list").write_text("a.csv\n")
    source = _open(inbox, files_from=str(inbox / "list"))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(FileUnavailable, match=r"list: .*Input/output error"):
        await _listed(source)


@pytest.mark.parametrize("number", MOMENTS)
@pytest.mark.parametrize("name", ["a.csv", "b.json"])
@pytest.mark.parametrize("function", ["lstat", "open"])
async def test_an_input_that_fails_for_a_moment_is_read_again(
    inbox: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch, number: int, name: str, function: str
) -> None:
    without_pauses(monkeypatch)
    fail(function, name, number, times=2)
    assert (await _open(inbox).prepare(Item(batch_id="b", source=name))).size_bytes == 4


@pytest.mark.parametrize("number", MOMENTS)
@pytest.mark.parametrize("function", ["lstat", "open"])
async def test_an_input_that_goes_on_failing_is_called_what_it_is(
    inbox: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch, number: int, function: str
) -> None:
    without_pauses(monkeypatch)
    fail(function, "a.csv", number)
    with pytest.raises(FileUnavailable, match=os.strerror(number)):
        await _open(inbox).prepare(Item(batch_id="b", source="a.csv"))


@pytest.mark.parametrize("number", MOMENTS)
async def test_a_read_that_fails_under_way_is_no_rejection(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_pauses(monkeypatch)
    prepared = await _open(inbox).prepare(Item(batch_id="b", source="a.csv"))
    assert prepared.body is not None

    class Broken(FileIO):
        def read(self, *_: object) -> bytes:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("builtins.open", lambda descriptor, *_, **__: Broken(descriptor, "rb"))
    with pytest.raises(FileUnavailable, match=os.strerror(number)):
        [chunk async for chunk in prepared.body.chunks()]


async def test_a_root_that_is_gone_and_a_file_without_permission_are_told_as_before(inbox: Path, fail: Fail) -> None:
    fail("open", "a.csv", errno.EACCES)
    with pytest.raises(ItemRejected, match="Permission denied"):
        await _open(inbox).prepare(Item(batch_id="b", source="a.csv"))
    fail("open", "/in", errno.EACCES)
    with pytest.raises(SourceNotFound):
        await _listed(_open(inbox))
