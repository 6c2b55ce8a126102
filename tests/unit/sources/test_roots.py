"""Which sources may have a file in common: equal roots, and roots below one another that no filter keeps apart."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.sources import source_spec
from runner.sources.roots import SourceRoot, root_of

NOW = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("data/inbox/new/a.csv", "data/inbox/b.csv", "data/inbox-2/c.csv", "data/.kept/d.csv", "data/e.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("name\nAda\n")
    return tmp_path / "data"


def root(target: Path | str, **options: Any) -> SourceRoot:
    return root_of(source_spec(str(target), **options), now=NOW)


def listed(data: Path, *lines: str | Path, **options: Any) -> SourceRoot:
    path = data.parent / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return root(data, files_from=str(path), **options)


def overlap(one: SourceRoot, other: SourceRoot) -> bool:
    """Return whether both overlap, the same in both directions and after a round trip through JSON."""
    found = one.overlaps(other)
    assert other.overlaps(one) is found
    assert SourceRoot.from_json(json.loads(json.dumps(one.to_json()))).overlaps(other) is found
    return found


def test_equal_roots_and_roots_below_one_another_overlap(data: Path) -> None:
    assert overlap(root(data), root(data))
    assert overlap(root(data), root(data / "inbox" / "new"))
    assert overlap(root(data), root(data / "inbox" / "b.csv"))
    assert overlap(root(data / "e.csv"), root(data / "e.csv"))


def test_neighbors_do_not_overlap(data: Path) -> None:
    assert not overlap(root(data / "inbox"), root(data / "inbox-2"))
    assert not overlap(root(data / "inbox" / "new"), root(data / "inbox" / "b.csv"))
    assert not overlap(root(data / "e.csv"), root(data / "inbox"))


@pytest.mark.parametrize("pattern", ["inbox/**", "inbox/", "{inbox,other}/**", "in*/**", "**/inbox/**"])
def test_an_exclude_of_a_whole_directory_keeps_roots_apart(data: Path, pattern: str) -> None:
    outer = root(data, exclude=[pattern])
    assert not overlap(outer, root(data / "inbox"))
    assert not overlap(outer, root(data / "inbox" / "new"))
    assert not overlap(outer, root(data / "inbox" / "b.csv"))
    assert overlap(outer, root(data))


@pytest.mark.parametrize("pattern", ["inbox/*", "inbox/new/**", "*.tsv", "new/**"])
def test_an_exclude_of_less_than_the_directory_does_not_keep_roots_apart(data: Path, pattern: str) -> None:
    assert overlap(root(data, exclude=[pattern]), root(data / "inbox"))


def test_the_exclude_of_the_inner_run_does_not_keep_roots_apart(data: Path) -> None:
    assert overlap(root(data), root(data / "inbox", exclude=["inbox/**"]))


def test_what_a_run_never_lists_keeps_roots_apart(data: Path) -> None:
    assert not overlap(root(data), root(data / ".kept"))
    assert overlap(root(data, include=[".kept/**"]), root(data / ".kept"))
    assert not overlap(root(data, leave_out=[data / "inbox"]), root(data / "inbox" / "new"))
    assert not overlap(root(data, include=["*.tsv"]), root(data / "e.csv"))


def test_another_spelling_of_a_path_is_the_same_root(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data.parent / "link").symlink_to(data)
    monkeypatch.chdir(data / "inbox")
    for spelling in (data.parent / "link", "..", f"{data}/../data/", data / "inbox" / ".."):
        assert overlap(root(spelling), root(data))
        assert overlap(root(spelling), root(data / "inbox"))


def test_a_directory_that_is_reached_by_another_path_is_the_same_root(data: Path) -> None:
    """As with a bind mount, or where the file system ignores case: the inodes are the same, the names are not."""
    inner = root(data / "inbox" / "new")
    inodes = dict(zip(inner.parts, inner.inodes, strict=True))
    mounted = SourceRoot(
        parts=("", "mnt", "INBOX", "new"),
        inodes=(None, None, inodes["inbox"], inodes["new"]),
    )
    assert overlap(root(data / "inbox"), mounted)
    assert not overlap(root(data / "inbox", exclude=["new/**"]), mounted)
    assert not overlap(root(data / "inbox-2"), mounted)


def test_the_root_of_a_list_is_the_deepest_directory_that_its_files_have_in_common(data: Path) -> None:
    assert str(listed(data, "inbox/new/a.csv", "inbox/b.csv")) == str(data / "inbox")
    assert str(listed(data, "inbox/new/a.csv")) == str(data / "inbox" / "new")
    assert str(listed(data, "inbox/b.csv", data.parent / "elsewhere" / "x.csv")) == str(data.parent)
    assert str(listed(data, "inbox/b.csv", "e.csv", exclude=["e.csv"])) == str(data / "inbox")
    assert not overlap(listed(data, "inbox/b.csv"), root(data / "inbox-2"))
    assert overlap(listed(data, "inbox/b.csv"), root(data))
    assert not overlap(root(data, exclude=["inbox/**"]), listed(data, "inbox/b.csv"))


def test_a_link_on_the_way_to_a_listed_file_is_followed(data: Path) -> None:
    (data.parent / "link").symlink_to(data / "inbox")
    assert overlap(listed(data, data.parent / "link" / "b.csv"), root(data / "inbox"))


def test_an_exclude_of_a_list_keeps_roots_apart_if_the_paths_are_its_own(data: Path) -> None:
    mine = listed(data, "inbox/b.csv", "inbox-2/c.csv", "e.csv", exclude=["inbox/**"])
    assert not overlap(mine, root(data / "inbox"))
    assert overlap(mine, root(data / "inbox-2"))


def test_a_list_that_is_gone_or_names_nothing_has_the_directory_that_it_starts_from(data: Path) -> None:
    assert str(listed(data)) == str(data)
    path = data.parent / "gone.txt"
    path.write_text("e.csv\n")
    spec = source_spec(str(data), files_from=str(path))
    path.unlink()
    assert str(root_of(spec, now=NOW)) == str(data)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("s3://bucket", "s3://bucket/in", True),
        ("s3://bucket/in", "s3://bucket/in/", True),
        ("s3://bucket/in", "s3://bucket/in/new/", True),
        ("s3://bucket/in", "s3://bucket/inbox", False),
        ("s3://bucket/in/", "s3://other/in/", False),
        ("s3://bucket/in/a.csv", "s3://bucket/in", True),
        ("s3://bucket/in", "s3://bucket/IN", False),
    ],
)
def test_prefixes_overlap_name_by_name(one: str, other: str, expected: bool) -> None:
    assert overlap(root(one), root(other)) is expected


def test_an_exclude_keeps_prefixes_apart(data: Path) -> None:
    assert not overlap(root("s3://bucket/in", exclude=["new/**"]), root("s3://bucket/in/new/"))
    assert overlap(root("s3://bucket/in", exclude=["new/**"]), root("s3://bucket/in/old"))
    assert not overlap(root("s3://bucket"), root(data))


def test_names_that_are_no_text_survive(data: Path) -> None:
    strange = data / os.fsdecode(b"caf\xe9")
    strange.mkdir()
    assert overlap(root(strange), root(data))
    assert "?" in str(root(strange))
