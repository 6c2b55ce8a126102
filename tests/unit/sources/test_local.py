"""Local sources: what is listed, what is refused, and what preparing finds."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError, ItemRejected, SourceNotFound
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from runner.sources import LocalFiles, links_passed_over, open_one, open_source, results_passed_over, source_spec

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def put(root: Path, *names: str, content: bytes = b"a,b\n1,2\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def open_at(root: Path, **options: object) -> LocalFiles:
    return open_source(source_spec(str(root), **options), now=NOW)  # type: ignore[arg-type]


async def listed(source: LocalFiles) -> list[SourceEntry]:
    return [entry async for chunk in source.entries() for entry in chunk]


async def keys(source: LocalFiles) -> list[str]:
    return [entry.source for entry in await listed(source)]


async def codes(source: LocalFiles) -> dict[str, str]:
    return {entry.source: entry.rejection.code for entry in await listed(source) if entry.rejection}


def item(source: str) -> Item:
    return Item(batch_id="b", source=source)


async def prepared(source: LocalFiles, key: str) -> Prepared:
    return await source.prepare(item(key))


async def code_of(source: LocalFiles, key: str) -> str:
    with pytest.raises(ItemRejected) as caught:
        await source.prepare(item(key))
    return caught.value.code


class TestListing:
    async def test_keys_are_relative_paths_in_binary_order(self, tmp_path: Path) -> None:
        put(tmp_path, "b.csv", "a/x.csv", "a.csv", "a-b.csv", "a/b/c.csv", "é.csv", "Z.csv", "a0.csv")
        found = await keys(open_at(tmp_path))
        assert found == sorted(found, key=os.fsencode)
        assert found == ["Z.csv", "a-b.csv", "a.csv", "a/b/c.csv", "a/x.csv", "a0.csv", "b.csv", "é.csv"]

    async def test_an_entry_says_what_listing_knows(self, tmp_path: Path) -> None:
        put(tmp_path, "x y/a.json", content=b"[{}]")
        os.utime(tmp_path / "x y/a.json", ns=(0, 1_700_000_000_123_456_789))
        [entry] = await listed(open_at(tmp_path))
        assert entry == SourceEntry(
            source="x y/a.json",
            uri=f"file://{tmp_path}/x%20y/a.json",
            size_bytes=4,
            version=f"4-{1_700_000_000_123_456_789:x}",
            modified_ns=1_700_000_000_123_456_789,
            kind=ItemKind.JSON,
        )

    async def test_entries_come_in_chunks_of_a_thousand(self, tmp_path: Path) -> None:
        put(tmp_path, *(f"{n}.csv" for n in range(2001)))
        assert [len(chunk) async for chunk in open_at(tmp_path).entries()] == [1000, 1000, 1]

    async def test_a_chunk_is_listed_in_the_callers_thread_where_that_is_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.csv")

        def refuse(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr(asyncio, "to_thread", refuse)
        source = open_source(source_spec(str(tmp_path)), now=NOW, threaded=False)
        assert await keys(source) == ["a.csv"]
        body = (await prepared(source, "a.csv")).body
        assert body
        assert [chunk async for chunk in body.chunks()] == [b"a,b\n1,2\n"]

    async def test_hidden_files_litter_and_our_own_files_are_not_listed(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", ".b.csv", "~$c.xlsx", "Thumbs.db", ".git/d.csv", "bulkhead-out/x/results/a.csv.json")
        put(tmp_path, "bulkhead.toml", "sub/.DS_Store")
        assert await keys(open_at(tmp_path)) == ["a.csv"]

    async def test_include_and_exclude_choose_and_exclude_wins(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "b.tsv", "old/c.csv", "new/d.csv", "new/draft.csv")
        chosen = open_at(tmp_path, include=["*.csv"], exclude=["old/**", "draft.*"])
        assert await keys(chosen) == ["a.csv", "new/d.csv"]

    async def test_excluded_paths_are_never_listed(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "results/b.json", "c.csv")
        assert await keys(open_at(tmp_path, leave_out=[tmp_path / "results", tmp_path / "c.csv"])) == ["a.csv"]

    async def test_files_that_may_still_be_written_are_left_for_the_next_run_and_counted(self, tmp_path: Path) -> None:
        put(tmp_path, "old.csv", "young.csv", "future.csv")
        for name, age_s in (("old.csv", 61), ("young.csv", 59), ("future.csv", -3600)):
            at = (NOW - timedelta(seconds=age_s)).timestamp()
            os.utime(tmp_path / name, (at, at))
        source = open_at(tmp_path, min_age_s=60)
        assert await keys(source) == ["old.csv"]
        assert source.too_young == 2
        assert await keys(source) == ["old.csv"]
        assert source.too_young == 2

    async def test_files_that_cannot_be_imported_are_listed_with_the_reason(self, tmp_path: Path) -> None:
        put(tmp_path, "empty.csv", "empty.json", content=b"")
        put(tmp_path, "notes.pdf", "README")
        with (tmp_path / "huge.xlsx").open("wb") as sparse:
            sparse.truncate((1 << 30) + 1)
        with (tmp_path / "huge.json").open("wb") as sparse:
            sparse.truncate(15_000_001)
        assert await codes(open_at(tmp_path)) == {
            "README": "unsupported_type",
            "empty.csv": "empty",
            "empty.json": "empty",
            "huge.json": "json_too_large",
            "huge.xlsx": "too_large",
            "notes.pdf": "unsupported_type",
        }

    async def test_results_of_earlier_runs_are_not_listed(self, tmp_path: Path) -> None:
        written = (".bulkhead-out.json", "report.html", "manifest.jsonl", "results/a.csv.json", "results/b/c.csv.json")
        put(tmp_path, *(f"{folder}{name}" for folder in ("", "o1/", "o1/deeper/", "out/") for name in written))
        put(tmp_path, "a.csv", "o1/own.csv", "o2/results/own.csv", "z/failed.txt", "out/new.csv")
        source = open_at(tmp_path, leave_out=[tmp_path / "out"])
        for _ in range(2):
            assert await keys(source) == ["a.csv", "o1/own.csv", "o2/results/own.csv", "z/failed.txt"]
            said = results_passed_over(source)
            assert "not imported: the source itself, o1, o1/deeper; to import" in (said or "")
        assert await keys(open_at(tmp_path / "o1" / "results")) == ["a.csv.json", "b/c.csv.json"]

    async def test_pipes_and_sockets_are_refused_without_being_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.csv")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket.csv"))
            source = open_at(tmp_path)
            assert await codes(source) == {"pipe.csv": "not_a_file", "socket.csv": "not_a_file"}
            assert await code_of(source, "pipe.csv") == "not_a_file"

    async def test_links_are_followed_to_files_inside_only(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "in", tmp_path / "in-secret"
        put(root, "real.csv", "sub/x.csv")
        put(outside, "secret.csv")
        (root / "link.csv").symlink_to("real.csv")
        (root / "leak.csv").symlink_to(outside / "secret.csv")
        (root / "dangling.csv").symlink_to("nowhere.csv")
        (root / "loop.csv").symlink_to("loop.csv")
        (root / "again").symlink_to(".")
        (root / "other").symlink_to(outside)
        source = open_at(root)
        assert await keys(source) == ["dangling.csv", "leak.csv", "link.csv", "loop.csv", "real.csv", "sub/x.csv"]
        assert source.linked_directories == 2
        assert links_passed_over(source) == "2 linked directories were not followed: again, other"
        assert await codes(source) == {
            "dangling.csv": "not_found",
            "leak.csv": "link_outside",
            "loop.csv": "unreadable",
        }
        assert (await prepared(source, "link.csv")).size_bytes == 8
        assert await code_of(source, "leak.csv") == "link_outside"

    async def test_a_directory_that_cannot_be_read_is_an_entry_and_the_rest_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.csv", "locked/b.csv", "z.csv")
        opened = os.open

        def guarded(path: str | bytes, *more: int, **options: int) -> int:
            if path == b"locked":
                raise PermissionError(13, "Permission denied")
            return opened(path, *more, **options)

        monkeypatch.setattr(os, "open", guarded)
        source = open_at(tmp_path)
        assert await keys(source) == ["a.csv", "locked/", "z.csv"]
        assert await codes(source) == {"locked/": "unreadable"}

    def test_a_file_deleted_while_its_directory_is_listed_is_no_entry(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "b.csv", "c.csv", "d/e.csv")
        walk = open_at(tmp_path).walk()
        assert next(walk).source == "a.csv"
        (tmp_path / "b.csv").unlink()
        (tmp_path / "d/e.csv").unlink()
        (tmp_path / "d").rmdir()
        assert [entry.source for entry in walk] == ["c.csv"]

    async def test_a_directory_that_has_gone_is_not_found(self, tmp_path: Path) -> None:
        root = tmp_path / "inbox"
        root.mkdir()
        source = open_at(root)
        root.rmdir()
        with pytest.raises(SourceNotFound, match="inbox"):
            await listed(source)

    async def test_an_empty_directory_lists_nothing(self, tmp_path: Path) -> None:
        source = open_at(tmp_path)
        assert await listed(source) == []
        assert source.uri == f"file://{tmp_path}"

    async def test_a_tree_deeper_than_the_recursion_limit_is_listed(self, tmp_path: Path) -> None:
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("a.csv", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        found = await keys(open_at(tmp_path))
        remove = await asyncio.create_subprocess_exec("rm", "-r", str(tmp_path / "d"))  # pytest cannot clear it
        assert await remove.wait() == 0
        assert found == ["d/" * 1200 + "a.csv"]


HOSTILE = st.binary(min_size=1, max_size=30).filter(lambda raw: not {0, 0x2F} & set(raw) and raw[0] not in b".~")


class TestHostileNames:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(names=st.sets(HOSTILE.map(lambda raw: raw + b".csv"), min_size=1, max_size=6))
    def test_any_name_is_listed_addressed_and_read(self, tmp_path: Path, names: set[bytes]) -> None:
        root = Path(
            os.fsdecode(
                os.fsencode(tmp_path) + b"/" + hashlib.sha256(repr(sorted(names)).encode()).digest()[:4].hex().encode()
            )
        )
        root.mkdir(exist_ok=True)
        for name in names:
            (root / os.fsdecode(name)).write_bytes(name)

        async def check() -> None:
            source = open_at(root)
            entries = await listed(source)
            assert [os.fsencode(entry.source) for entry in entries] == sorted(names)
            for entry in entries:
                assert entry.uri.isascii()
                assert unquote_to_bytes(entry.uri) == b"file://" + os.fsencode(root / entry.source)
                found = await prepared(source, entry.source)
                assert found.uri == entry.uri
                assert found.fingerprint == f"sha256:{hashlib.sha256(os.fsencode(entry.source)).hexdigest()}"

        asyncio.run(check())

    async def test_a_directory_whose_name_is_no_text_is_walked(self, tmp_path: Path) -> None:
        below = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
        put(below, "a.csv")
        [entry] = await listed(open_at(tmp_path))
        assert os.fsencode(entry.source) == b"caf\xe9/a.csv"
        assert entry.uri.endswith("/caf%E9/a.csv")
        assert open_at(below).uri.endswith("/caf%E9")


class TestListedFiles:
    async def test_a_single_file_is_a_source_under_its_base_name(self, tmp_path: Path) -> None:
        put(tmp_path, "x/.a.csv")
        source = open_at(tmp_path / "x/.a.csv")
        assert await keys(source) == [".a.csv"]
        assert source.uri == f"file://{tmp_path}/x/.a.csv"
        assert (await prepared(source, ".a.csv")).uri == source.uri

    def from_list(self, root: Path, content: bytes, **options: object) -> LocalFiles:
        names = root.parent / f"{root.name}.list"
        names.write_bytes(content)
        return open_at(root, files_from=str(names), **options)

    async def test_a_list_takes_each_path_once_and_passes_over_blanks_and_comments(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "a.csv", "x/b.csv", ".c.csv", "#d.csv")
        lines = (
            b"\xef\xbb\xbfx/b.csv\r\n\n# a comment\n./a.csv\na.csv\n"
            + os.fsencode(root)
            + b"/a.csv\n.c.csv\n./#d.csv\n"
            b"/" + os.fsencode(root) + b"//a.csv"
        )
        assert await keys(self.from_list(root, lines)) == ["#d.csv", ".c.csv", "a.csv", "x/b.csv"]

    async def test_a_list_between_nuls_takes_names_as_they_are(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "a\nb.csv", "#c.csv", " d.csv")
        assert await keys(self.from_list(root, b"a\nb.csv\0#c.csv\0\0 d.csv")) == [" d.csv", "#c.csv", "a\nb.csv"]

    async def test_a_file_outside_keeps_its_absolute_path(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "a.csv")
        put(tmp_path, "out.csv")
        source = self.from_list(root, b"a.csv\n../out.csv\n")
        assert await keys(source) == [f"{tmp_path}/out.csv", "a.csv"]
        assert (await prepared(source, f"{tmp_path}/out.csv")).uri == f"file://{tmp_path}/out.csv"

    async def test_what_a_list_names_and_is_not_a_file_is_an_entry_with_the_reason(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "sub/a.csv")
        source = self.from_list(root, b"gone.csv\nsub\nsub/a.csv/b.csv\n" + b"n" * 300 + b".csv\n")
        assert await codes(source) == {
            "gone.csv": "not_found",
            "n" * 300 + ".csv": "unreadable",
            "sub": "not_a_file",
            "sub/a.csv/b.csv": "not_found",
        }

    async def test_a_link_that_is_named_is_followed(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(tmp_path, "real.csv")
        root.mkdir()
        (root / "link.csv").symlink_to(tmp_path / "real.csv")
        source = self.from_list(root, b"link.csv\n")
        assert await codes(source) == {}
        assert (await prepared(source, "link.csv")).size_bytes == 8

    async def test_the_filters_apply_to_a_list_too(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "a.csv", "b.tsv")
        assert await keys(self.from_list(root, b"a.csv\nb.tsv\n", exclude=["*.tsv"])) == ["a.csv"]

    async def test_a_list_in_utf16_is_refused(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        root.mkdir()
        with pytest.raises(ConfigError, match="UTF-16"):
            await listed(self.from_list(root, "a.csv\n".encode("utf-16")))

    async def test_a_list_that_has_gone_is_not_found(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        root.mkdir()
        source = self.from_list(root, b"a.csv")
        (tmp_path / "in.list").unlink()
        with pytest.raises(SourceNotFound, match=r"in\.list"):
            await listed(source)

    async def test_directory_and_list_give_a_file_the_same_identity(self, tmp_path: Path) -> None:
        root = tmp_path / "in"
        put(root, "x/a.csv")
        assert await listed(open_at(root)) == await listed(self.from_list(root, b"x/a.csv"))


class TestOneFile:
    def one(self, root: Path, path: Path | str, **options: object) -> LocalFiles:
        return open_one(source_spec(str(root), **options), str(path), now=NOW)  # type: ignore[arg-type]

    async def test_it_is_the_entry_that_the_whole_listing_has(self, tmp_path: Path) -> None:
        put(tmp_path, "x/a.csv", "x/b.csv")
        whole = await listed(open_at(tmp_path))
        assert await listed(self.one(tmp_path, tmp_path / "x/a.csv")) == whole[:1]
        assert await listed(self.one(tmp_path, "x/a.csv")) == whole[:1]

    @pytest.mark.parametrize("name", [".hidden/a.csv", "old/a.csv", "x/.a.csv"])
    async def test_what_the_filters_leave_out_is_no_entry(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, name)
        assert await listed(self.one(tmp_path, tmp_path / name, exclude=["old/"])) == []

    async def test_a_file_that_is_not_there_or_not_inside_is_not_found(self, tmp_path: Path) -> None:
        put(tmp_path, "in/a.csv", "b.csv")
        with pytest.raises(SourceNotFound, match="does not exist"):
            self.one(tmp_path / "in", "gone.csv")
        with pytest.raises(SourceNotFound, match="is not in"):
            self.one(tmp_path / "in", tmp_path / "b.csv")

    async def test_a_single_file_explains_itself(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv")
        assert await keys(self.one(tmp_path / "a.csv", tmp_path / "a.csv")) == ["a.csv"]


class TestPreparing:
    async def test_a_file_is_read_once_for_its_fingerprint(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", content=b"a\n1\n")
        [entry] = await listed(open_at(tmp_path))
        found = await prepared(open_at(tmp_path), "a.csv")
        assert found.fingerprint == f"sha256:{hashlib.sha256(b'a' + bytes([10]) + b'1' + bytes([10])).hexdigest()}"
        assert (found.size_bytes, found.version, found.uri, found.rows) == (4, entry.version, entry.uri, None)

    async def test_json_is_prepared_as_rows(self, tmp_path: Path) -> None:
        put(tmp_path, "a.ndjson", content=b'{"a": 1}\n{"a": 2}\n')
        found = await prepared(open_at(tmp_path), "a.ndjson")
        assert (found.rows, found.body, found.size_bytes) == (b'[{"a": 1},{"a": 2}]', None, 18)

    @pytest.mark.parametrize(
        ("name", "content", "code"),
        [("a.csv", b"", "empty"), ("a.json", b"{}", "invalid_json"), ("a.pdf", b"x", "unsupported_type")],
    )
    async def test_a_file_is_refused_by_what_it_is_now(
        self, tmp_path: Path, name: str, content: bytes, code: str
    ) -> None:
        put(tmp_path, name, content=content)
        assert await code_of(open_at(tmp_path), name) == code

    async def test_a_file_that_has_gone_or_become_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "dir.csv").mkdir()
        source = open_at(tmp_path)
        assert await code_of(source, "gone.csv") == "not_found"
        assert await code_of(source, "dir.csv") == "not_a_file"
        assert await code_of(source, "nul\0.csv") == "not_found"

    async def test_a_file_that_cannot_be_opened_is_unreadable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.csv")

        def refuse(*_: object, **__: object) -> int:
            raise PermissionError(13, "Permission denied")

        source = open_at(tmp_path)
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(ItemRejected, match="Permission denied") as caught:
            await source.prepare(item("a.csv"))
        assert caught.value.code == "unreadable"

    async def test_a_file_swapped_for_a_pipe_after_the_check_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.csv")
        regular = (tmp_path / "a.csv").lstat()
        source = open_at(tmp_path)
        (tmp_path / "a.csv").unlink()
        os.mkfifo(tmp_path / "a.csv")
        monkeypatch.setattr(os, "lstat", lambda *_, **__: regular)
        assert await code_of(source, "a.csv") == "not_a_file"

    async def test_a_file_that_changes_while_it_is_read_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.csv")
        path = tmp_path / "a.csv"
        fstat, calls = os.fstat, []

        def growing(descriptor: int) -> os.stat_result:
            calls.append(descriptor)
            if len(calls) == 2:
                path.write_bytes(path.read_bytes() + b"more")
            return fstat(descriptor)

        source = open_source(source_spec(str(tmp_path)), now=NOW, threaded=False)
        monkeypatch.setattr(os, "fstat", lambda fd: growing(fd) if stat.S_ISREG(fstat(fd).st_mode) else fstat(fd))
        assert await code_of(source, "a.csv") == "changed_while_read"
