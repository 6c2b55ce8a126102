"""A directory below the root that a link replaces, at any moment: it is not followed, and the item says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.errors import ItemRejected
from runner.models import Item
from runner.protocols import Prepared, SourceEntry
from runner.sources import LocalFiles, links_passed_over, open_one, open_source, source_spec

NOW = datetime(2026, 7, 1, tzinfo=UTC)
DESCRIPTORS = Path("/proc/self/fd")
SECRET = b"secret,secret\n1,2\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for name in ("in/a/one.csv", "in/a/b/two.csv", "in/a/b/three.json", "in/z.csv"):
        _put(tmp_path / name, b'[{"a": 1}]')
    for name in ("out/one.csv", "out/b/two.csv", "out/b/three.json", "out/secret.csv"):
        _put(tmp_path / name, SECRET)
    return tmp_path / "in"


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _replace(directory: Path, *, by: Path) -> None:
    directory.rename(directory.with_name(f".{directory.name}-before"))
    directory.symlink_to(by)


def _open(inbox: Path, **options: object) -> LocalFiles:
    source = open_source(source_spec(str(inbox), **options), now=NOW, threaded=False)  # type: ignore[arg-type]
    assert isinstance(source, LocalFiles)
    return source


def _open_descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


async def _prepared(source: LocalFiles, key: str) -> Prepared:
    return await source.prepare(Item(batch_id="b", source=key))


async def _refusal(source: LocalFiles, key: str) -> ItemRejected:
    with pytest.raises(ItemRejected) as caught:
        await _prepared(source, key)
    return caught.value


async def _sent(prepared: Prepared) -> bytes:
    assert prepared.body is not None
    return b"".join([chunk async for chunk in prepared.body.chunks()])


@pytest.mark.parametrize("key", ["a/one.csv", "a/b/two.csv", "a/b/three.json"])
async def test_a_directory_that_a_link_replaces_while_its_file_waits_is_not_followed(inbox: Path, key: str) -> None:
    source = _open(inbox)
    _replace(inbox / "a", by=inbox.parent / "out")
    refusal = await _refusal(source, key)
    assert (refusal.code, str(refusal)) == ("linked_directory", "the directory a is a link now; it was not followed")


async def test_a_directory_in_the_middle_of_the_path_is_not_followed_either(inbox: Path) -> None:
    source = _open(inbox)
    _replace(inbox / "a/b", by=inbox.parent / "out/b")
    assert str(await _refusal(source, "a/b/two.csv")) == "the directory a/b is a link now; it was not followed"
    assert (await _prepared(source, "a/one.csv")).size_bytes == 10


async def test_a_link_to_another_directory_inside_is_not_followed_either(inbox: Path) -> None:
    source = _open(inbox)
    _replace(inbox / "a/b", by=inbox / "a")
    assert (await _refusal(source, "a/b/two.csv")).code == "linked_directory"


async def test_a_directory_replaced_between_reading_and_sending_is_not_followed(inbox: Path) -> None:
    prepared = await _prepared(_open(inbox), "a/one.csv")
    _replace(inbox / "a", by=inbox / ".a-before")
    with pytest.raises(ItemRejected, match="the directory a is a link now"):
        await _sent(prepared)


async def test_a_link_to_a_file_inside_is_read_at_its_real_path_and_only_there(inbox: Path) -> None:
    (inbox / "link.csv").symlink_to("a/b/two.csv")
    source = _open(inbox)
    prepared = await _prepared(source, "link.csv")
    assert await _sent(prepared) == b'[{"a": 1}]'
    _replace(inbox / "a/b", by=inbox / "a/.b-before")
    with pytest.raises(ItemRejected, match="the directory a/b is a link now"):
        await _sent(prepared)


async def test_a_link_to_a_file_inside_that_turns_outside_once_it_is_resolved_is_not_followed(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "link.csv").symlink_to("a/one.csv")
    source = _open(inbox)
    realpath = os.path.realpath

    def slowly(path: str) -> str:
        resolved = realpath(path)
        _replace(inbox / "a", by=inbox.parent / "out")
        return resolved

    monkeypatch.setattr(os.path, "realpath", slowly)
    assert (await _refusal(source, "link.csv")).code == "linked_directory"


async def test_a_file_link_behind_a_linked_directory_is_not_followed(inbox: Path) -> None:
    (inbox / "a/link.csv").symlink_to(inbox / "z.csv")
    source = _open(inbox)
    assert (await _prepared(source, "a/link.csv")).size_bytes == 10
    _replace(inbox / "a", by=inbox / ".a-before")
    assert (await _refusal(source, "a/link.csv")).code == "linked_directory"


async def test_the_root_itself_may_be_a_link(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to(inbox)
    source = _open(tmp_path / "root")
    assert [entry.source for entry in source.walk()] == ["a/b/three.json", "a/b/two.csv", "a/one.csv", "z.csv"]
    assert await _sent(await _prepared(source, "a/one.csv")) == b'[{"a": 1}]'


async def test_a_file_that_a_list_names_behind_a_link_is_read_as_it_is_named(inbox: Path, tmp_path: Path) -> None:
    (inbox / "other").symlink_to(tmp_path / "out")
    (tmp_path / "list").write_text("other/secret.csv\n")
    source = _open(inbox, files_from=str(tmp_path / "list"))
    assert await _sent(await _prepared(source, "other/secret.csv")) == SECRET


def _listed(source: LocalFiles, *, after: str, then: Callable[[], None]) -> list[SourceEntry]:
    found = []
    for entry in source.walk():
        found.append(entry)
        if entry.source == after:
            then()
    return found


def test_a_directory_replaced_before_it_is_listed_is_passed_over_and_named(inbox: Path) -> None:
    _put(inbox / "a.csv", b"x")
    source = _open(inbox)
    found = _listed(source, after="a.csv", then=lambda: _replace(inbox / "a", by=inbox.parent / "out"))
    assert [entry.source for entry in found] == ["a.csv", "z.csv"]
    assert links_passed_over(source) == "1 linked directory was not followed: a"


def test_a_directory_replaced_while_it_is_listed_shows_nothing_of_where_the_link_leads(inbox: Path) -> None:
    _put(inbox / "a/aaa.csv", b"x")
    source = _open(inbox)
    found = _listed(source, after="a/aaa.csv", then=lambda: _replace(inbox / "a", by=inbox.parent / "out"))
    assert {entry.source: entry.size_bytes for entry in found} == {
        "a/aaa.csv": 1, "a/b/three.json": 10, "a/b/two.csv": 10, "a/one.csv": 10, "z.csv": 10,
    }  # fmt: skip


async def test_one_file_behind_a_linked_directory_is_refused_as_the_batch_refuses_it(inbox: Path) -> None:
    source = open_one(source_spec(str(inbox)), str(inbox / "a/one.csv"), now=NOW, threaded=False)
    assert isinstance(source, LocalFiles)
    _replace(inbox / "a", by=inbox.parent / "out")
    [entry] = source.walk()
    assert entry.rejection is not None
    assert entry.rejection.code == "linked_directory"


def test_files_on_the_way_down_and_on_the_way_back_are_listed_in_a_deep_tree(tmp_path: Path) -> None:
    names = [f"{'d/' * depth}{name}.csv" for depth in range(80) for name in ("a", "z")]
    for name in names:
        _put(tmp_path / name, b"x")
    assert [entry.source for entry in _open(tmp_path).walk()] == sorted(names)


async def test_no_directory_stays_open(inbox: Path) -> None:
    before = _open_descriptors()
    source = _open(inbox)
    assert len(list(source.walk())) == 4
    left = source.walk()
    next(left)
    left.close()  # type: ignore[attr-defined]
    await _sent(await _prepared(source, "a/b/two.csv"))
    _replace(inbox / "a", by=inbox.parent / "out")
    await _refusal(source, "a/b/two.csv")
    assert _open_descriptors() == before
