"""The command line as a process: start-up, usage errors, and what it loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner._version import __version__

NO_NEED = ("aiohttp", "boto3", "botocore", "aioboto3", "rich.console", "runner.bulkhead", "sandbox")

ASK_MODULES = """
import sys
sys.argv = ["bulkhead", *{arguments!r}]
from runner.__main__ import main
try:
    main()
except SystemExit:
    pass
loaded = [name for name in {names!r} if name in sys.modules]
sys.stderr.write(",".join(loaded))
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[3])
    environment = {"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def bulkhead(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "runner", *arguments, cwd=cwd)


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["--help"]])
def test_asking_for_help_or_version_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    ended = python("-c", ASK_MODULES.format(arguments=arguments, names=NO_NEED), cwd=tmp_path)
    assert ended.stderr == ""


def test_the_version_is_told_without_the_command_line(tmp_path: Path) -> None:
    ended = python("-c", ASK_MODULES.format(arguments=["--version"], names=["typer"]), cwd=tmp_path)
    assert (ended.stdout, ended.stderr) == (f"bulkhead {__version__}\n", "")


def test_the_version_is_told_among_other_options_too(tmp_path: Path) -> None:
    assert bulkhead("--version", "--help", cwd=tmp_path).stdout == f"bulkhead {__version__}\n"


def test_help_groups_the_options(tmp_path: Path) -> None:
    text = bulkhead("run", "--help", cwd=tmp_path).stdout
    for panel in ("Source files:", "Schema:", "Pace and limits:", "Account and locations:", "Output:"):
        assert f"\n{panel}\n" in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["run", "."], 2, "error: no schema is given"),
        (["run", "absent", "--schema-id", "s"], 3, "error: absent does not exist"),
        (["run", ".", "--schema-id", "s"], 2, "error: there is no license key"),
        (["run", ".", "--schema-id", "s", "--create-quota", "many"], 2, "create_quota"),
        (["run", ".", "--config", "absent.toml"], 2, "absent.toml does not exist"),
        (["status"], 2, "error: there is no ledger"),
        (["redrive", "--state", "collected"], 2, "error: items in state 'collected' cannot be redriven"),
        (["manifest", "--format", "xml"], 2, "--format"),
    ],
)
def test_wrong_usage_ends_with_a_sentence_and_its_code(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    ended = bulkhead(*arguments, cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_json_keeps_stdout_to_events_even_when_nothing_can_run(tmp_path: Path) -> None:
    ended = bulkhead("run", "absent", "--schema-id", "s", "--json", cwd=tmp_path)
    assert ended.stdout.startswith('{"event":"error","at":"')
    assert ended.stdout.endswith('"exit_code":3}\n')


def test_looking_leaves_no_ledger_behind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Name\nAda\n")
    assert bulkhead("plan", ".", "--schema-id", "s", cwd=tmp_path).returncode == 0
    assert bulkhead("explain", "a.csv", "--schema-id", "s", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_the_settings_are_shown_without_the_key(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DROMO_LICENSE_KEY=secret-key\n")
    ended = bulkhead("config", cwd=tmp_path)
    assert ended.returncode == 0
    assert "secret-key" not in ended.stdout
    assert ".env" in next(line for line in ended.stdout.splitlines() if line.startswith("license_key"))
