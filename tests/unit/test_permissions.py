"""Who can read what Bulkhead writes, under several umasks: the ledger and its neighbors, and results."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from runner.config.settings import Settings
from runner.errors import ConfigError
from runner.events import ignore
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.exposure import exposed
from runner.local.source_lock import SourceLock
from runner.models import Batch
from runner.permissions import PRIVATE, Permissions
from runner.quota.slots import Slot
from runner.quota.sqlite import SqliteSlots
from runner.sinks import open_sink
from runner.sources.roots import SourceRoot
from runner.sources.spec import source_spec

NOW = datetime(2026, 7, 1, tzinfo=UTC)
GROUP = Permissions(0o640)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): mode(path) for path in sorted(root.rglob("*"))}


def assert_all(root: Path, permissions: Permissions) -> set[str]:
    """Check everything below a root, and return the names of the files."""
    found = {path: mode(path) for path in root.rglob("*")}
    wanted = {path: permissions.folder if path.is_dir() else permissions.file for path in found}
    assert found == wanted
    return {path.name for path in found if path.is_file()}


async def rows() -> AsyncIterator[bytes]:
    yield b'[{"a": 1}]'


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("permissions", [PRIVATE, GROUP, Permissions(0o660)], ids=str)
class TestLedger:
    async def test_the_ledger_and_all_that_is_beside_it_is_for_its_owner(
        self, tmp_path: Path, permissions: Permissions
    ) -> None:
        place = tmp_path / "a/b/ledger.db"
        ledger = SqliteLedger.open(place, now=lambda: NOW, permissions=permissions)
        names = assert_all(tmp_path, permissions)
        assert names == {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock", "ledger.db.ballast"}
        place.unlink()
        assert ledger.keep(tmp_path / "kept/ledger-kept-1.db")
        assert "ledger-kept-1.db" in assert_all(tmp_path, permissions)
        await ledger.close()

    async def test_so_are_the_slots_of_the_quota(self, tmp_path: Path, permissions: Permissions) -> None:
        slots = SqliteSlots(tmp_path / "state/quota.db", permissions=permissions)
        await slots.swap("key", 0, seen=Slot(), new=Slot(until=1.0, token="t"))
        assert assert_all(tmp_path, permissions) == {"quota.db"}

    async def test_so_are_the_locks_of_sources(self, tmp_path: Path, permissions: Permissions) -> None:
        directory = tmp_path / "quota.db.sources/account"
        root = SourceRoot(parts=("in",))
        ledger = SqliteLedger.open(":memory:", now=lambda: NOW)
        batch = Batch(batch_id="b1", source_uri="file:///in", account="a", out="o", config="{}", started_at=NOW)
        lock = await SourceLock.take(directory, root, ledger=tmp_path / "l.db", now=NOW, permissions=permissions)
        await lock.introduce(batch, ledger, ignore, tagged=True)
        names = assert_all(tmp_path, permissions)
        lock.release()
        await ledger.close()
        assert {"registry", "last-runs.json"} < names
        assert any(name.endswith(".lock") for name in names)

    def test_so_are_lists_from_standard_input(self, tmp_path: Path, permissions: Permissions) -> None:
        (tmp_path / "in").mkdir()
        lists = tmp_path / "own/.bulkhead/lists"
        source_spec(
            str(tmp_path / "in"),
            files_from="-",
            stdin=BytesIO(b"a.csv\n"),
            keep_lists_in=lists,
            permissions=permissions,
        )
        assert_all(tmp_path / "own", permissions)
        assert len(list(lists.iterdir())) == 1


class TestResults:
    async def write(self, out: Path, **given: Permissions | None) -> dict[str, int]:
        sink = open_sink(str(out), **given)
        await sink.prepare()
        await sink.save_result("in/a.csv", rows())
        await sink.write("manifest.jsonl", rows())
        await sink.write(".bulkhead-out.json", rows())
        return modes(out)

    async def test_below_a_directory_that_is_given_the_umask_decides(self, tmp_path: Path, umask: int) -> None:
        out = tmp_path / "new/out"
        found = await self.write(out)
        assert {mode(out), mode(out.parent)} == {0o777 & ~umask}
        folders = {"results", "results/in"}
        assert {found.pop(name) for name in folders} == {0o777 & ~umask}
        assert set(found.values()) == {0o666 & ~umask}
        assert set(found) == {"results/in/a.csv.json", "manifest.jsonl", ".bulkhead-out.json"}

    async def test_a_directory_that_is_given_keeps_its_mode(self, tmp_path: Path, umask: int) -> None:
        out = tmp_path / "out"
        out.mkdir()
        out.chmod(0o755)
        await self.write(out, root=GROUP, permissions=GROUP)
        assert mode(out) == 0o755
        assert umask in (0, 0o022, 0o077)

    async def test_the_default_directory_is_for_its_owner(self, tmp_path: Path, umask: int) -> None:
        out = tmp_path / "bulkhead-out/b1"
        found = await self.write(out, root=PRIVATE)
        assert {mode(out), mode(out.parent)} == {0o700}
        assert found["manifest.jsonl"] == 0o666 & ~umask

    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("permissions", [PRIVATE, GROUP, Permissions(0o666)], ids=str)
    async def test_out_mode_replaces_the_umask(self, tmp_path: Path, permissions: Permissions) -> None:
        await self.write(tmp_path / "bulkhead-out/b1", root=permissions, permissions=permissions)
        assert_all(tmp_path, permissions)

    @pytest.mark.usefixtures("umask")
    async def test_a_temporary_file_is_never_more_open_than_the_result(self, tmp_path: Path) -> None:
        seen: list[int] = []

        async def watched() -> AsyncIterator[bytes]:
            yield b"[" + b" " * (2 << 20)
            seen.extend(found for name, found in modes(tmp_path).items() if name.endswith(".partial"))
            yield b"]"

        await open_sink(str(tmp_path / "out"), permissions=PRIVATE).save_result("a.csv", watched())
        assert seen == [0o600]


class TestExposure:
    def settings(self, tmp_path: Path, **values: object) -> Settings:
        return Settings(ledger=tmp_path / ".bulkhead/ledger.db", quota_store=tmp_path / "state/quota.db", **values)

    async def test_what_bulkhead_makes_is_not_exposed(self, tmp_path: Path) -> None:
        settings = self.settings(tmp_path)
        ledger = SqliteLedger.open(tmp_path / ".bulkhead/ledger.db", now=lambda: NOW)
        assert exposed(settings) is None
        await ledger.close()

    @pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db.lock", "ledger-kept-1.db"])
    @pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644])
    def test_a_file_that_others_can_read_or_write_is_named_with_the_command(
        self, tmp_path: Path, name: str, bits: int
    ) -> None:
        PRIVATE.make_folder(tmp_path / ".bulkhead")
        file = tmp_path / ".bulkhead" / name
        file.touch()
        file.chmod(bits)
        notice = exposed(self.settings(tmp_path))
        assert notice
        assert notice.message.endswith(f"; run: chmod 0600 {file}")
        os.system(notice.message.partition("run: ")[2])
        assert exposed(self.settings(tmp_path)) is None

    def test_directories_and_files_have_a_command_each(self, tmp_path: Path) -> None:
        home = tmp_path / "with 'blank"
        (home / ".bulkhead").mkdir(parents=True)
        (home / ".bulkhead").chmod(0o755)
        (home / ".bulkhead/ledger.db").touch(0o644)
        notice = exposed(self.settings(home))
        assert notice
        os.system(notice.message.partition("run: ")[2])
        assert (mode(home / ".bulkhead"), mode(home / ".bulkhead/ledger.db")) == (0o700, 0o600)

    def test_a_directory_that_is_not_bulkheads_own_is_left_alone(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "ledger.db").touch(0o600)
        assert exposed(Settings(ledger=tmp_path / "ledger.db", quota_store=tmp_path / "quota.db")) is None

    def test_the_setting_says_what_is_allowed(self, tmp_path: Path) -> None:
        PRIVATE.make_folder(tmp_path / ".bulkhead")
        (tmp_path / ".bulkhead/ledger.db").touch()
        (tmp_path / ".bulkhead/ledger.db").chmod(0o660)
        assert exposed(self.settings(tmp_path, ledger_mode="0660")) is None
        assert exposed(self.settings(tmp_path, ledger_mode="0640"))


@pytest.mark.parametrize(("text", "shown"), [("0600", "0600"), ("640", "0640"), ("0o660", "0660"), ("0666", "0666")])
@pytest.mark.parametrize("name", ["ledger_mode", "out_mode"])
def test_a_mode_is_octal_digits(name: str, text: str, shown: str) -> None:
    assert str(getattr(Settings(**{name: text}), name)) == shown


@pytest.mark.parametrize("text", ["0700", "0400", "0060", "1600", "rw", "", "0o88", "0777"])
@pytest.mark.parametrize("name", ["ledger_mode", "out_mode"])
def test_other_modes_are_refused(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} = .*write the mode of files as digits in quotes"):
        Settings.load({name: text}, environ={}, cwd=tmp_path)


def test_a_number_of_toml_is_refused_since_it_is_not_octal(tmp_path: Path) -> None:
    (tmp_path / "bulkhead.toml").write_text("ledger_mode = 640\n")
    with pytest.raises(ConfigError, match="digits in quotes"):
        Settings.load({}, environ={}, cwd=tmp_path)
