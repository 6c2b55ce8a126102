"""The sandbox's directories: locked while it runs, and removed after it was killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.data_dir import LOCK_NAME, locked_data_dir, remove_abandoned, temporary_data_dir

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, pathlib
from sandbox.data_dir import temporary_data_dir
with temporary_data_dir(parent=pathlib.Path(sys.argv[1])) as home:
    print(home, flush=True)
    sys.stdin.read()
"""


def holder(parent):
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(parent)], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
    )
    return process, Path(process.stdout.readline().strip())


def test_a_temporary_home_goes_with_its_block(tmp_path):
    with temporary_data_dir(parent=tmp_path) as home:
        (home / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_killed_process_is_removed_and_that_of_a_running_one_stays(tmp_path):
    dead, dead_home = holder(tmp_path)
    living, living_home = holder(tmp_path)
    try:
        (dead_home / "large").write_bytes(b"x" * 1000)
        dead.send_signal(signal.SIGKILL)
        dead.wait(10)
        assert dead_home.is_dir()
        with temporary_data_dir(parent=tmp_path) as home:
            assert not dead_home.exists()
            assert living_home.is_dir()
            assert home.is_dir()
    finally:
        for process in (dead, living):
            process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_home_is_never_touched(tmp_path):
    (tmp_path / "sandbox-of-somebody").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / LOCK_NAME).touch()
    elsewhere = tmp_path / "other" / "kept"
    elsewhere.mkdir()
    (elsewhere / LOCK_NAME).touch()
    (tmp_path / "sandbox-link").symlink_to(elsewhere)
    (tmp_path / "sandbox-file").touch()
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "sandbox-of-somebody",
        "other",
        "sandbox-link",
        "sandbox-file",
    }
    assert (elsewhere / LOCK_NAME).exists()


def test_a_kept_home_is_for_one_process_and_stays(tmp_path):
    directory = tmp_path / "new" / "place"
    with locked_data_dir(directory):
        with pytest.raises(OSError, match="another sandbox uses"), locked_data_dir(directory):
            pytest.fail("shared")
        (directory / "file").touch()
    with locked_data_dir(directory):
        assert (directory / "file").exists()


def test_a_home_is_readable_by_its_owner_alone(tmp_path):
    with temporary_data_dir(parent=tmp_path) as home:
        assert home.stat().st_mode & 0o077 == 0
