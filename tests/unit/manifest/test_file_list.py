"""failed.txt and review.txt: what `--files-from` reads back is what failed, whatever the names."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner import identity
from runner.errors import ConfigError, SourceNotFound
from runner.manifest.file_list import SourcePlace
from runner.models import Item
from runner.protocols import SourceEntry
from runner.sources import open_source, source_spec
from runner.sources.object_versions import versioned_source
from runner.sources.roots import root_of
from runner.sources.s3 import S3Source
from runner.sources.s3_listed import S3Listed
from runner.sources.spec import FAILED_TXT, REVIEW_TXT, SourceSpec
from tests.support.report import S, batch_of, documents, item

NOW = datetime.now(UTC)
ENDPOINT = "e"

LISTABLE = (
    "plain.csv",
    "#comment.csv",
    "#",
    " leading.csv",
    "trailing.csv ",
    "trailing.csv\t",
    "-dash.csv",
    "--files-from",
    "s3:",
    "deep/#/ x/é日本.csv",
    "deep/é.csv",
    "tab\there.csv",
    "quo\"te's.csv",
    "back\\slash\\n.csv",
    "line\u2028separator\x0b\x0c\x85.csv",
    "\ufeffmark.csv",
    "\x01\x1b.csv",
    "*?[a].csv",
    "%20.csv",
    ".hidden.csv",
)
UNLISTABLE = ("new\nline.csv", "return\r.csv", "return\rinside.csv", "bytes\udcff.csv")


class ListedBucket:
    """An S3 client that lists the objects of one bucket."""

    def __init__(self, *keys: str) -> None:
        self.keys = sorted(keys, key=str.encode)
        self.calls = 0

    async def list_objects_v2(self, **asked: Any) -> dict[str, Any]:
        self.calls += 1
        found = [key for key in self.keys if key.startswith(asked["Prefix"])]
        contents = [
            {"Key": key, "ETag": f'"{len(key)}"', "Size": 5, "LastModified": NOW} for key in found[: asked["MaxKeys"]]
        ]
        return {"Contents": contents, "IsTruncated": len(found) > len(contents)}


async def listed(source: Any) -> list[SourceEntry]:
    return [entry async for entries in source.entries() for entry in entries]


def named(text: bytes, folder: Path, name: str = FAILED_TXT) -> str:
    path = folder / name
    path.write_bytes(text)
    return str(path)


def ended(entry: SourceEntry, state: S = S.FAILED) -> Item:
    return item(
        entry.source,
        state,
        version=entry.version,
        error_code="import_failed",
        file_key=identity.file_key(entry.uri, endpoint=ENDPOINT),
    )


@pytest.mark.parametrize(("name", "state"), [(FAILED_TXT, S.FAILED), (REVIEW_TXT, S.NEEDS_REVIEW)])
async def test_a_list_of_files_names_them_all_again(tmp_path: Path, name: str, state: S) -> None:
    inbox = tmp_path / "in#box "
    for one in LISTABLE + UNLISTABLE:
        path = inbox / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    spec = source_spec(str(inbox), include=["**", "**/.*"])
    before = await listed(open_source(spec, now=NOW))
    assert {entry.source for entry in before} == {*LISTABLE, *UNLISTABLE}
    made = await documents(*(ended(entry, state) for entry in before), batch=batch_of(spec))
    again = source_spec(str(inbox), files_from=named(made[name], tmp_path, name))
    entries = {entry.source: entry for entry in await listed(open_source(again, now=NOW))}
    assert sorted(entries) == sorted(LISTABLE)
    assert {entry.uri for entry in before if entry.source in LISTABLE} == {entry.uri for entry in entries.values()}
    elsewhere = source_spec(str(tmp_path), files_from=str(tmp_path / name))
    assert {entry.uri for entry in await listed(open_source(elsewhere, now=NOW))} == {
        entry.uri for entry in entries.values()
    }


async def test_a_list_of_a_list_and_of_a_single_file_names_their_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.csv", "b.csv"):
        (tmp_path / name).write_text("a\n1\n")
    names = named(f"a.csv\n{tmp_path}/b.csv\n".encode(), tmp_path, "names")
    for spec in (source_spec(str(tmp_path / "in"), files_from=names), source_spec(str(tmp_path / "in" / "a.csv"))):
        entries = await listed(open_source(spec, now=NOW))
        made = await documents(*map(ended, entries), batch=batch_of(spec))
        expected = [tmp_path / "b.csv", tmp_path / "in" / "a.csv"] if spec.kind == "list" else [tmp_path / "in/a.csv"]
        assert made[FAILED_TXT].decode().splitlines() == [str(path) for path in expected]


@pytest.mark.parametrize("prefix", ["s3://inbox/in#/2026/", "s3://inbox/in#/2026", "s3://inbox"])
async def test_a_list_of_objects_names_them_all_again(tmp_path: Path, prefix: str) -> None:
    more = ("/slash.csv", "a//b.csv", "a/../b.csv", "2026", "in#")
    spec = source_spec(prefix, include=["**", "**/.*"])
    folder = f"{prefix.removeprefix('s3://inbox').strip('/')}/".lstrip("/")
    bucket = ListedBucket(*(f"{folder}{key}" for key in LISTABLE + UNLISTABLE[:3] + more), "other.csv")
    source = S3Source(spec, client=bucket, now=NOW)  # type: ignore[arg-type]
    before = [entry for entry in await listed(source) if entry.source != "other.csv"]
    made = await documents(*map(ended, before), batch=batch_of(spec, account=f"{ENDPOINT}-k"))
    again = source_spec(prefix, files_from=named(made[FAILED_TXT], tmp_path))
    assert (again.kind, SourceSpec.from_json(again.to_json())) == ("s3_list", again)
    entries = await listed(open_source(again, now=NOW, s3=bucket))  # type: ignore[arg-type]
    expected = {entry.source: (entry.uri, entry.version) for entry in before if entry.source not in UNLISTABLE}
    assert {*LISTABLE, "a//b.csv", "2026"} <= set(expected)
    assert {entry.source: (entry.uri, entry.version) for entry in entries} == expected


async def test_a_list_of_one_object_that_was_the_source_names_it(tmp_path: Path) -> None:
    bucket = ListedBucket("in/2026", "in/2026/2026")
    spec = source_spec("s3://inbox/in/2026")
    (entry,) = await listed(S3Source(spec, client=bucket, now=NOW))  # type: ignore[arg-type]
    made = await documents(ended(entry), batch=batch_of(spec, account=f"{ENDPOINT}-k"))
    assert made[FAILED_TXT] == b"s3://inbox/in/2026\n"


def test_a_later_version_of_an_object_has_the_name_of_the_object() -> None:
    later = item(versioned_source("a.csv", "etag-5"), S.FAILED, version="etag-5")
    place = SourcePlace(batch_of(source_spec("s3://inbox/in/")))
    assert place.name_of(later) == "s3://inbox/in/a.csv"


async def test_objects_of_a_list_are_sorted_come_once_and_may_be_missing(tmp_path: Path) -> None:
    bucket = ListedBucket("in/b.csv", "in/.c.csv", "in/gone.csv2")
    text = (
        b"# of the night\n\ns3://inbox/in/b.csv\ns3://inbox/in/.c.csv\ns3://inbox/in/gone.csv\ns3://inbox/in/b.csv\r\n"
    )
    spec = source_spec("s3://inbox/in/", files_from=named(text, tmp_path), exclude=["x.csv"])
    source = S3Listed(spec, client=bucket, now=NOW)
    entries = await listed(source)
    assert [(entry.source, entry.rejection and entry.rejection.code) for entry in entries] == [
        (".c.csv", None),
        ("b.csv", None),
        ("gone.csv", "not_found"),
    ]
    assert bucket.calls == 3
    assert source.uri == f"list+file://{tmp_path}/failed.txt?s3://inbox/in"
    assert await source.root_uri() == "s3://inbox/in"
    assert await source.selection(["b.csv", "x.csv"]) == {"b.csv": True, "x.csv": False}


@pytest.mark.parametrize(
    "line",
    [
        b"/data/a.csv",
        b"a.csv",
        b"s3://other/in/a.csv",
        b"s3://inbox/in",
        b"s3://inbox/inside.csv",
        b"s3://inbox/in/\xff",
    ],
)
async def test_a_list_that_names_something_else_is_refused(tmp_path: Path, line: bytes) -> None:
    spec = source_spec("s3://inbox/in/", files_from=named(line + b"\n", tmp_path))
    with pytest.raises(ConfigError, match="no object below s3://inbox/in/") as refused:
        await listed(S3Listed(spec, client=ListedBucket("in/a.csv"), now=NOW))
    assert "s3:// URL per line" in str(refused.value.hint)


def test_a_list_in_s3_is_refused_with_the_command_that_reads_it() -> None:
    with pytest.raises(ConfigError, match="on this machine") as refused:
        source_spec("s3://inbox/in/", files_from="s3://results/failed.txt")
    assert "aws s3 cp s3://results/failed.txt - |" in str(refused.value.hint)
    with pytest.raises(SourceNotFound, match="list file"):
        source_spec("s3://inbox/in/", files_from="gone.txt")


def test_a_list_of_objects_locks_its_prefix_with_hidden_names(tmp_path: Path) -> None:
    of_list = root_of(source_spec("s3://inbox/in/", files_from=named(b"", tmp_path)), now=NOW)
    hidden = root_of(source_spec("s3://inbox/in/.hidden/"), now=NOW)
    assert of_list.overlaps(root_of(source_spec("s3://inbox/in/"), now=NOW))
    assert of_list.overlaps(hidden)
    assert not root_of(source_spec("s3://inbox/in/"), now=NOW).overlaps(hidden)


@pytest.mark.parametrize("target", [None, "s3://inbox/in/"])
def test_a_list_that_runs_write_is_kept_because_the_next_run_writes_it_again(
    tmp_path: Path, target: str | None
) -> None:
    names, lists = named(b"s3://inbox/in/a.csv\n", tmp_path), tmp_path / "lists"
    spec = source_spec(target or str(tmp_path), files_from=names, keep_lists_in=lists)
    (tmp_path / FAILED_TXT).write_bytes(b"")
    assert spec.files_from
    assert Path(spec.files_from).parent == lists
    assert Path(spec.files_from).read_bytes() == b"s3://inbox/in/a.csv\n"
    other = named(b"a.csv\n", tmp_path, "mine.txt")
    assert source_spec(str(tmp_path), files_from=other, keep_lists_in=lists).files_from == other
    from_stdin = source_spec(str(tmp_path), files_from="-", stdin=io.BytesIO(b"x"), keep_lists_in=lists)
    assert len(list(lists.iterdir())) == 2
    assert from_stdin.files_from != spec.files_from
