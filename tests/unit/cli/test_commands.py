"""The command line: what it loads at start-up, help pages, and how wrong usage ends."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner._version import __version__
from runner.cli.app import build

NO_NEED = ("aiohttp", "asyncio", "boto3", "botocore", "aioboto3", "rich.console", "runner.bulkhead", "sandbox")

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


def loaded_by(arguments: list[str], names: tuple[str, ...], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which writes to stderr which modules it has loaded."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, "-c", ASK_MODULES.format(arguments=arguments, names=names)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["--help"]])
def test_asking_for_help_or_version_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert loaded_by(arguments, NO_NEED, cwd=tmp_path).stderr == ""


def test_the_version_is_shown_without_the_command_line(tmp_path: Path) -> None:
    ended = loaded_by(["--version"], ("typer",), cwd=tmp_path)
    assert (ended.stdout, ended.stderr) == (f"bulkhead {__version__}\n", "")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def bulkhead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Ended]:
    """Run a command in this process, in an empty directory and without a license key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DROMO_LICENSE_KEY", "BULKHEAD_LICENSE_KEY", "BULKHEAD_DEBUG"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            build(arguments)([*arguments], prog_name="bulkhead")
        captured = capsysbinary.readouterr()
        return Ended(int(ended.value.code or 0), captured.out.decode(), captured.err.decode())

    return run


def test_the_version_is_shown_among_other_options_too(bulkhead: Callable[..., Ended]) -> None:
    assert bulkhead("--version", "--help").out == f"bulkhead {__version__}\n"


def test_help_groups_the_options(bulkhead: Callable[..., Ended]) -> None:
    text = bulkhead("run", "--help").out
    for panel in ("Source files:", "Schema:", "Pace and limits:", "Account and locations:", "Output:"):
        assert f"\n{panel}\n" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["run", "."], 2, "error: no schema is given"),
        (["run", "absent", "--schema-id", "s"], 3, "error: absent does not exist"),
        (["run", ".", "--schema-id", "s"], 2, "error: there is no license key"),
        (["run", ".", "--schema-id", "s", "--create-quota", "many"], 2, "create_quota"),
        (["run", ".", "--config", "absent.toml"], 2, "absent.toml does not exist"),
        (["status"], 2, "error: there is no ledger"),
        (["redrive", "--results", "--import-again"], 2, "error: --results and --import-again exclude each other"),
        (["redrive", "--state", "collected"], 2, "error: items in state 'collected' cannot be redriven"),
        (["manifest", "--format", "xml"], 2, "--format"),
        (["cloud", "redrive", "b1", "--dead-letters"], 2, "BATCH and --dead-letters exclude each other"),
        (["webhook-url", "--next", "--rotate"], 2, "use only one of --next and --rotate"),
        (["sandbox", "--port", "many"], 2, "many"),
    ],
)
def test_wrong_usage_ends_with_a_sentence_and_its_code(
    arguments: list[str], code: int, message: str, bulkhead: Callable[..., Ended]
) -> None:
    ended = bulkhead(*arguments)
    assert ended.code == code
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_json_keeps_stdout_to_events_even_when_nothing_can_run(bulkhead: Callable[..., Ended]) -> None:
    ended = bulkhead("run", "absent", "--schema-id", "s", "--json")
    assert ended.out.startswith('{"event":"error","at":"')
    assert ended.out.endswith('"exit_code":3}\n')


def test_looking_leaves_no_ledger_behind(bulkhead: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Name\nAda\n")
    assert bulkhead("plan", ".", "--schema-id", "s").code == 0
    assert bulkhead("explain", "a.csv", "--schema-id", "s").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_the_settings_are_shown_without_the_key(bulkhead: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DROMO_LICENSE_KEY=secret-key\n")
    ended = bulkhead("config")
    assert ended.code == 0
    assert "secret-key" not in ended.out
    assert ".env" in next(line for line in ended.out.splitlines() if line.startswith("license_key"))


@pytest.mark.parametrize("before", [(), ("--",)])
def test_a_command_is_called_also_after_the_end_of_options(
    bulkhead: Callable[..., Ended], before: tuple[str, ...]
) -> None:
    ended = bulkhead(*before, "config")
    assert ended.code == 0
    assert "api_url" in ended.out


@pytest.mark.parametrize("arguments", [("--", "nothing"), ("nothing",), ("-x", "run", "in")])
def test_an_odd_command_line_ends_with_a_usage_error(
    bulkhead: Callable[..., Ended], arguments: tuple[str, ...]
) -> None:
    assert bulkhead(*arguments).code == 2
