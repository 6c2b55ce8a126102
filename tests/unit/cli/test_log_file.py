"""The log file of a run: what it has, who can read it, and what happens if it cannot be written."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.cli.log_file import LogFile, LogFileHandler, logging_progress, opened
from runner.cli.progress_state import ProgressState
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.errors import ConfigError
from runner.events import Notice

AT = datetime(2026, 7, 23, 17, 0, tzinfo=UTC)
STAMP = AT.astimezone().isoformat(timespec="seconds")


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def open_log(tmp_path: Path, troubles: list[str]):
    loaded = Settings.load({"ledger": tmp_path / "ledger.db"}, environ={}, cwd=tmp_path)
    return lambda path: opened(path, loaded, now=lambda: AT, on_trouble=troubles.append)


def test_lines_are_appended_with_a_timestamp_to_a_file_of_the_owner_alone(open_log, tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    before = os.umask(0)
    try:
        for text in ("one\ntwo", "three"):
            with open_log(path) as log:
                log.write(text)
    finally:
        os.umask(before)
    assert path.read_text() == f"{STAMP} one\n{STAMP} two\n{STAMP} three\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_and_no_control_character_reaches_the_file(open_log, tmp_path: Path) -> None:
    with open_log(tmp_path / "run.log") as log:
        log.write("https://s3.example/k?X-Amz-Signature=0123456789abcdef0123 \x1b[2J http://jo:secret@proxy.example")
    text = (tmp_path / "run.log").read_text()
    assert "0123456789" not in text
    assert "secret" not in text
    assert "\x1b" not in text


def test_the_error_that_ends_a_run_is_in_the_file_with_its_hint(open_log, tmp_path: Path) -> None:
    with pytest.raises(ConfigError), open_log(tmp_path / "run.log"):
        raise ConfigError("no schema is given", hint="use --schema-id")
    assert (tmp_path / "run.log").read_text() == f"{STAMP} error: no schema is given\n{STAMP} hint: use --schema-id\n"


def test_an_unexpected_error_is_in_the_file_without_its_text(open_log, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_log(tmp_path / "run.log"):
        raise RuntimeError("row content")
    text = (tmp_path / "run.log").read_text()
    assert "unexpected error (RuntimeError)" in text
    assert "row content" not in text


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "bulkhead.toml", ".env"])
def test_a_file_that_bulkhead_needs_is_no_log(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("")
    (tmp_path / "link.log").hardlink_to(tmp_path / name)
    loaded = Settings.load({"ledger": tmp_path / "ledger.db"}, environ={}, cwd=tmp_path)
    for path in (tmp_path / name, tmp_path / "link.log"):
        with pytest.raises(ConfigError, match="something else"), opened(path, loaded, now=lambda: AT, on_trouble=str):
            """Not reached."""
    assert (tmp_path / name).read_text() == ""


def test_what_is_no_file_is_refused(open_log, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "missing/run.log", "pipe", "n" * 300, "a\0b"):
        with pytest.raises(ConfigError, match="--log-file"), open_log(tmp_path / name):
            """Not reached."""


def test_a_full_disk_is_told_once_and_does_not_end_the_run(open_log, troubles: list[str]) -> None:
    with open_log(Path("/dev/full")) as log:
        log.write("one")
        log.write("two")
    assert troubles == [
        "the log file cannot be written any more: No space left on device; the run continues without it"
    ]


def test_the_home_directory_is_found_also_in_a_variable(
    open_log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_log(Path("~/run.log")) as log:
        log.write("one")
    assert (tmp_path / "run.log").exists()
    with pytest.raises(ConfigError, match="nobody-here"), open_log(Path("~nobody-here/run.log")):
        """Not reached."""


def test_no_path_is_no_log(open_log) -> None:
    with open_log(None) as log:
        assert log is None


@pytest.mark.virtual_time
async def test_notices_once_and_lines_about_the_progress_are_in_the_file(open_log, tmp_path: Path) -> None:
    state = ProgressState(quota=Rate(20, 60.0), ticks=asyncio.get_running_loop().time, now=lambda: AT)
    with open_log(tmp_path / "run.log") as log:
        async with logging_progress(log, state, every_s=10) as take:
            for _ in range(3):
                take(Notice(code="x", message="the vendor cannot be reached"))
            await asyncio.sleep(25)
        async with logging_progress(log, state, every_s=0) as take:
            await asyncio.sleep(60)
    text = (tmp_path / "run.log").read_text()
    assert text.count("cannot be reached") == 1
    assert text.count("0 of 0 items") == 2


def test_log_records_are_in_the_file_with_their_level(open_log, tmp_path: Path) -> None:
    with open_log(tmp_path / "run.log") as log:
        assert isinstance(log, LogFile)
        record = logging.LogRecord("runner", logging.INFO, __file__, 1, "import created", None, None)
        record.item = "a.csv"
        LogFileHandler(log).emit(record)
    assert (tmp_path / "run.log").read_text() == f"{STAMP} info: import created item=a.csv\n"
