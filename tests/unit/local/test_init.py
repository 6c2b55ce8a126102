"""`bulkhead init` writes what is missing in a directory, and changes nothing that is there."""

from __future__ import annotations

import io
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from dotenv import dotenv_values

from runner.config.settings import Settings
from runner.errors import ConfigError, SchemaNotFound, SourceNotFound
from runner.local.gitignore import Rule, add_line, needs_line, rule_for
from runner.local.init import (
    Action,
    Contents,
    SchemaSummary,
    Todo,
    checked_source,
    env_text,
    named,
    next_commands,
    usable_schemas,
    write,
)
from runner.local.resources import Resources
from tests.support.sandbox import CUSTOMERS, LICENSE_KEY, running_sandbox

CONTENTS = Contents(
    schema=SchemaSummary(schema_id="s-1", name="A\nname"), api_url="https://app.dromo.io/api/v1", key="k-1"
)


def files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def test_an_empty_directory_gets_a_config_and_a_private_env(tmp_path: Path) -> None:
    outcomes = write(tmp_path, CONTENTS)
    assert {(one.name, one.action) for one in outcomes} == {
        (".env", Action.WRITTEN),
        ("bulkhead.toml", Action.WRITTEN),
    }
    assert files(tmp_path)[".env"] == "DROMO_LICENSE_KEY=k-1\n"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert tomllib.loads(files(tmp_path)["bulkhead.toml"]) == {"schema_id": "s-1"}
    assert not [line for one in outcomes for line in one.lines if "k-1" in line]


def test_another_address_of_the_api_is_kept_for_the_next_commands(tmp_path: Path) -> None:
    url = 'http://127.0.0.1:1/a"b\\ü'
    write(tmp_path, Contents(schema=CONTENTS.schema, api_url=url, key="k"))
    assert tomllib.loads(files(tmp_path)["bulkhead.toml"])["api_url"] == url


@pytest.mark.parametrize("name", [".env", "bulkhead.toml"])
def test_a_file_that_exists_stays_and_the_outcome_says_what_it_would_have_had(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# mine\n")
    [kept] = [one for one in write(tmp_path, CONTENTS) if one.action is Action.KEPT]
    assert (kept.name, files(tmp_path)[name]) == (name, "# mine\n")
    assert kept.lines[-1] in {"DROMO_LICENSE_KEY=****", 'schema_id = "s-1"  # A\\nname'}


@pytest.mark.parametrize("name", [".env", "bulkhead.toml"])
def test_a_broken_link_is_not_written_through(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / name).symlink_to(elsewhere)
    assert [one.name for one in write(tmp_path, CONTENTS) if one.action is Action.KEPT] == [name]
    assert not elsewhere.exists()


def test_an_env_that_others_can_read_is_reported_with_the_command_that_closes_it(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / ".env").chmod(0o644)
    notes = [one.note for one in write(tmp_path, CONTENTS) if one.name == ".env"]
    assert notes == [f"others can read it; run: chmod 0600 {tmp_path}/.env"]


def test_a_directory_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ConfigError, match=r"\.env in the working directory cannot be written: No such file"):
        write(gone, CONTENTS)


@pytest.mark.parametrize("key", ["plain-KEY_1.2", "a#b", "a'b", 'a"b', "a\\b", "a\\'b", "$HOME", "${X}", "a=b", "`x`"])
def test_a_key_is_read_back_as_it_was_given(key: str) -> None:
    assert dotenv_values(stream=io.StringIO(env_text(key)), interpolate=False) == {"DROMO_LICENSE_KEY": key}


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    below = tmp_path / "imports"
    below.mkdir()
    return below


def git_ignores(directory: Path) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=directory, check=False).returncode == 0


def test_outside_of_git_no_ignore_file_is_made(tmp_path: Path) -> None:
    write(tmp_path, CONTENTS)
    assert not (tmp_path / ".gitignore").exists()


def test_an_ignore_file_outside_of_git_gets_the_line_once(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"build/\r\n*.log")
    write(tmp_path, CONTENTS)
    write(tmp_path, CONTENTS)
    assert (tmp_path / ".gitignore").read_bytes() == b"build/\r\n*.log\r\n.env\r\n"


@pytest.mark.parametrize(
    ("above", "here"),
    [
        ("", ".env\n"), ("", "/.env"), ("", ".env*\n"), ("", ".e?v\n"), ("", "**/.env\n"), ("", "!.env\n.env\r\n"),
        (".env\n", ""), ("/imports/.env\n", ""), ("*/.env\n", ""), ("!.env", ".env "), ("\\.env\n", ""),
    ],
)  # fmt: skip
def test_a_line_that_makes_git_ignore_the_key_is_enough(work_tree: Path, above: str, here: str) -> None:
    (work_tree.parent / ".gitignore").write_text(above, newline="")
    (work_tree / ".gitignore").write_text(here, newline="")
    assert git_ignores(work_tree)
    assert not needs_line(work_tree, ".env")


@pytest.mark.parametrize(
    ("above", "here"),
    [
        ("", ""), ("", "# .env\n"), ("", ".env/\n"), ("", ".envrc\n.env.*\n"), ("/.env\n", ""), ("other/.env\n", ""),
        ("imports/*/.env\n", ""), ("", "a/.env\n"), ("*/*/.env\n", ""), ("", "\\#.env"), ("", "!\\.envx"),
    ],
)  # fmt: skip
def test_without_such_a_line_one_is_added_and_git_ignores_the_key(work_tree: Path, above: str, here: str) -> None:
    (work_tree.parent / ".gitignore").write_text(above, newline="")
    (work_tree / ".gitignore").write_text(here, newline="")
    assert not git_ignores(work_tree)
    assert needs_line(work_tree, ".env")
    add_line(work_tree, ".env")
    assert git_ignores(work_tree)
    assert rule_for(work_tree, ".env") is Rule.IGNORED


def test_a_person_who_wants_the_file_in_git_is_warned_and_not_overruled(work_tree: Path) -> None:
    (work_tree / ".gitignore").write_text(".env\n!.env\n")
    notes = [one.note for one in write(work_tree, CONTENTS) if one.name == ".gitignore"]
    assert notes == ["it has !.env: git does not ignore the key; do not commit .env"]
    assert (work_tree / ".gitignore").read_text() == ".env\n!.env\n"


def test_a_directory_with_both_files_and_outside_of_git_needs_nothing(tmp_path: Path) -> None:
    assert Todo.of(tmp_path) == Todo(config=True, env=True, ignore=False)
    write(tmp_path, CONTENTS)
    assert Todo.of(tmp_path).is_nothing


def test_the_next_commands_can_be_typed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my files", "-x", "a"):
        Path(name).mkdir()
    assert next_commands(checked_source("my files"))[0] == "bulkhead plan 'my files'"
    assert next_commands(checked_source("-x")) == ["bulkhead plan ./-x", "bulkhead check ./-x", "bulkhead run ./-x"]
    assert checked_source("s3://bucket/in/") == "s3://bucket/in/"
    for odd in ("nothing", "a\0b", "x" * 5000, ""):
        with pytest.raises(SourceNotFound):
            checked_source(odd)


def resources(url: str, *, key: str = LICENSE_KEY) -> Resources:
    return Resources(Settings(api_url=url, license_key=key))


async def test_the_schemas_of_the_account_are_offered_by_name(tmp_path: Path) -> None:
    schemas = [CUSTOMERS, CUSTOMERS | {"id": "o-1", "name": "accounts"}]
    async with running_sandbox(schemas=schemas) as sandbox, resources(sandbox.base_url) as opened:
        assert [one.name for one in await usable_schemas(opened, None)] == ["accounts", "Customers"]
        [one] = await usable_schemas(opened, "o-1")
        assert one == SchemaSummary(schema_id="o-1", name="accounts")
        with pytest.raises(SchemaNotFound, match="has no schema x y") as raised:
            await usable_schemas(opened, "x y")
    assert raised.value.hint == "choose --schema-id o-1 (accounts), or --schema-id customers (Customers)"


async def test_an_account_without_schemas_says_where_they_come_from() -> None:
    async with running_sandbox(schemas=[]) as sandbox, resources(sandbox.base_url) as opened:
        with pytest.raises(ConfigError, match="has no saved schemas") as raised:
            await usable_schemas(opened, None)
    assert raised.value.hint == "start the sandbox with --schemas DIR, then run `bulkhead init` again"


async def test_a_key_with_characters_that_no_key_has_is_refused_before_anything_is_sent() -> None:
    async with running_sandbox() as sandbox, resources(sandbox.base_url, key="two\nlines") as opened:
        with pytest.raises(ConfigError, match="characters that no key has"):
            await usable_schemas(opened, None)


def test_a_long_list_of_schemas_is_cut() -> None:
    schemas = [SchemaSummary(schema_id=f"s{number}", name="N") for number in range(12)]
    assert named(schemas).endswith("or --schema-id s9 (N), or one of 2 more")
