"""`bulkhead init` asks on a terminal, needs options without one, and keeps the license key to `.env`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runner.cli import init_command
from runner.cli.app import build
from sandbox.settings import SandboxSettings
from tests.support.certificates import Authority
from tests.support.sandbox import CUSTOMERS, LICENSE_KEY, RunningSandbox, running_sandbox

ACCOUNTS = CUSTOMERS | {"id": "accounts", "name": "accounts"}


@dataclass(frozen=True)
class Ended:
    """How `init` ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inbox").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("DROMO_LICENSE_KEY", "BULKHEAD_LICENSE_KEY", "BULKHEAD_API_URL", "BULKHEAD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "_is_terminal", lambda: True)


async def init(sandbox: RunningSandbox, *arguments: str, typed: str = "", key: str | None = None) -> Ended:
    """Run it with an address of the API, and what a person or a pipe writes to stdin."""
    words = ["init", *arguments, "--api-url", sandbox.base_url]
    environment = {"DROMO_LICENSE_KEY": key} if key else {}
    ended = await asyncio.to_thread(CliRunner().invoke, build(words), words, input=typed, env=environment)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def left(home: Path) -> dict[str, str]:
    """Return the files that a command left in the working directory itself."""
    return {path.name: path.read_text() for path in home.iterdir() if path.is_file()}


async def test_without_a_terminal_options_and_the_environment_are_enough(home: Path) -> None:
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "customers", key=LICENSE_KEY)
    assert ended.code == 0, ended.text
    assert left(home) == {
        ".env": f"DROMO_LICENSE_KEY={LICENSE_KEY}\n",
        "bulkhead.toml": "# Every setting: bulkhead config\n"
        "# [notify] and on_finish need: --config bulkhead.toml\n"
        f'api_url = "{sandbox.base_url}"\nschema_id = "customers"  # Customers\n',
    }
    assert "all checks passed" in ended.out
    assert [line.split("#")[0].strip() for line in ended.out.splitlines()[-3:]] == [
        "bulkhead plan inbox",
        "bulkhead check inbox",
        "bulkhead run inbox",
    ]
    assert LICENSE_KEY not in ended.text


async def test_the_key_of_stdin_wins_over_that_of_the_environment(home: Path) -> None:
    async with running_sandbox() as sandbox:
        piped = f"\ufeff{LICENSE_KEY}\r\n"
        ended = await init(sandbox, "inbox", "--schema-id", "customers", "--key-stdin", typed=piped, key="other-key")
    assert left(home)[".env"] == f"DROMO_LICENSE_KEY={LICENSE_KEY}\n", ended.text


async def test_without_a_terminal_each_missing_thing_is_named_with_its_option(home: Path) -> None:
    async with running_sandbox() as sandbox:
        ended = await init(sandbox)
        no_schema = await init(sandbox, "inbox", key=LICENSE_KEY)
        no_key = await init(sandbox, "inbox", "--schema-id", "customers", "--key-stdin", typed="\n")
    assert (ended.code, no_schema.code, no_key.code) == (2, 2, 2)
    for named in ("DIRECTORY", "DROMO_LICENSE_KEY", "--key-stdin", "--schema-id"):
        assert named in ended.err
    assert "hint: choose --schema-id customers (Customers)" in no_schema.err
    assert "stdin is empty" in no_key.err
    assert left(home) == {}


@pytest.mark.usefixtures("on_a_terminal")
async def test_a_terminal_is_asked_for_directory_key_and_schema(home: Path) -> None:
    async with running_sandbox(schemas=[CUSTOMERS, ACCOUNTS]) as sandbox:
        ended = await init(sandbox, typed=f"nowhere\ninbox\n{LICENSE_KEY}\n3\nx\n2\n")
    assert ended.code == 0, ended.text
    assert "there is no directory nowhere; mkdir -p nowhere" in ended.err
    assert "  1  accounts  (accounts)\n  2  Customers  (customers)" in ended.err
    assert ended.err.count("write a number from 1 to 2, or an id") == 2
    assert 'schema_id = "customers"' in left(home)["bulkhead.toml"]
    assert LICENSE_KEY not in ended.text


@pytest.mark.usefixtures("on_a_terminal")
async def test_an_end_of_the_answers_leaves_nothing(home: Path) -> None:
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, typed="inbox\n")
    assert ended.code == 130
    assert "unexpected" not in ended.err
    assert left(home) == {}


@pytest.mark.usefixtures("on_a_terminal")
async def test_with_yes_a_terminal_is_not_asked(home: Path) -> None:
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "--yes", typed="inbox\n")
    assert (ended.code, "DIRECTORY" in ended.err, left(home)) == (2, True, {})


async def test_a_refused_key_or_an_unknown_schema_leaves_nothing(home: Path) -> None:
    async with running_sandbox(settings=SandboxSettings(license_key=LICENSE_KEY)) as sandbox:
        refused = await init(sandbox, "inbox", "--schema-id", "customers", key="another-secret-key")
        unknown = await init(sandbox, "inbox", "--schema-id", "none", key=LICENSE_KEY)
    assert (refused.code, unknown.code) == (7, 7)
    assert "does not accept the license key" in refused.err
    assert "has no schema none" in unknown.err
    assert "choose --schema-id customers (Customers)" in unknown.err
    assert "another-secret-key" not in refused.text
    assert left(home) == {}


async def test_what_is_there_stays_and_the_rest_is_written(home: Path) -> None:
    (home / "bulkhead.toml").write_text('schema_id = "customers"\nuploads = 3\n')
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "accounts", key=LICENSE_KEY)
    assert left(home)["bulkhead.toml"] == 'schema_id = "customers"\nuploads = 3\n'
    assert left(home)[".env"] == f"DROMO_LICENSE_KEY={LICENSE_KEY}\n"
    assert "bulkhead.toml: is there already and stays as it is\n  it would have had:" in ended.out
    assert '  schema_id = "accounts"' in ended.out


async def test_if_both_files_are_there_nothing_is_written_or_asked(home: Path) -> None:
    before = {".env": "A=1\n", "bulkhead.toml": ""}
    for name, text in before.items():
        (home / name).write_text(text)
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "accounts", key=LICENSE_KEY)
    assert (ended.code, left(home)) == (2, before)
    assert '  schema_id = "accounts"' in ended.out
    assert "nothing is written: bulkhead.toml and .env are there already" in ended.err
    assert LICENSE_KEY not in ended.text


async def test_a_planted_config_does_not_get_the_key_of_stdin(home: Path) -> None:
    (home / "bulkhead.toml").write_text('api_url = "http://evil.invalid/api/v1"\n')
    words = ["init", "inbox", "--key-stdin"]
    ended = await asyncio.to_thread(CliRunner().invoke, build(words), words, input=LICENSE_KEY)
    assert (ended.exit_code, "api_url = http://evil.invalid/api/v1" in ended.stderr) == (2, True)
    assert sorted(left(home)) == ["bulkhead.toml"]


async def test_json_has_files_findings_and_next_commands_without_the_key(home: Path) -> None:
    (home / ".gitignore").write_text("build/\n")
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "customers", "--json", key=LICENSE_KEY)
    document: dict[str, Any] = json.loads(ended.out)
    assert {one["name"]: one["action"] for one in document["files"]} == {
        ".gitignore": "extended",
        ".env": "written",
        "bulkhead.toml": "written",
    }
    assert {one["level"] for one in document["findings"]} == {"ok"}
    assert document["next"] == ["bulkhead plan inbox", "bulkhead check inbox", "bulkhead run inbox"]
    assert LICENSE_KEY not in ended.text


async def test_a_proxy_and_an_authority_are_named_for_the_next_commands(home: Path, tmp_path: Path) -> None:
    authority = str(Authority(tmp_path).path)
    given = ["--proxy", "http://jo:secret@proxy.example:3128", "--ca-file", authority]
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "customers", *given, key=LICENSE_KEY)
    assert ended.code == 0, ended.text
    export = f"export BULKHEAD_PROXY='http://****@proxy.example:3128' BULKHEAD_CA_FILE={authority}"
    assert f"Next:\n  {export}\n  bulkhead plan inbox" in ended.out
    assert "secret" not in ended.text + "".join(left(home).values())


async def test_a_config_that_a_variable_names_elsewhere_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "inbox" / "other.toml").touch()
    monkeypatch.setenv("BULKHEAD_CONFIG", "inbox/other.toml")
    async with running_sandbox() as sandbox:
        ended = await init(sandbox, "inbox", "--schema-id", "customers", key=LICENSE_KEY)
    assert (ended.code, "unset BULKHEAD_CONFIG" in ended.err, left(home)) == (2, True, {})
