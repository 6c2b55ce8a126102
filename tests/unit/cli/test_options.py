"""Options are declared once, as typed fields, and fill the settings that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli import arguments
from runner.cli.app import COMMANDS, build
from runner.cli.arguments import PlanArguments, RunArguments, StatusArguments
from runner.cli.options import Arguments, Option, fields_of
from runner.config.settings import LoadedSettings, Settings
from runner.errors import ConfigError

CLASSES = [kind for name, kind in vars(arguments).items() if name.endswith("Arguments") and kind is not Arguments]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_option_fills_a_setting_that_exists(kind: type[Arguments]) -> None:
    filled = {field.declared.setting for field in fields_of(kind) if isinstance(field.declared, Option)}
    assert filled - {None} <= set(Settings.model_fields)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_help_of_an_option_shows_the_default_of_its_setting(kind: type[Arguments]) -> None:
    declared = {field.declared for field in fields_of(kind) if isinstance(field.declared, Option)}
    for option in declared:
        shown = default_of(option.setting) if option.setting else None
        assert shown is None or option.default == shown, option.flag


def default_of(name: str) -> str | None:
    """Return the default of a setting as `bulkhead config` shows it, None if it has none or is a switch."""
    default = Settings.model_fields[name].default
    if default is None or default == () or isinstance(default, bool):
        return None
    return next(value for field, value, _ in LoadedSettings(settings=Settings(), origins={}).masked() if field == name)


def test_a_field_has_its_default_where_the_command_line_gives_none() -> None:
    args = RunArguments(source="in")
    assert (args.source, args.uploads, args.json, args.check) == ("in", None, False, None)


def test_only_options_that_fill_a_setting_are_flags() -> None:
    flags = PlanArguments(source="in", again=True, out="results").flags
    assert flags["out"] == "results"
    assert "again" not in flags
    assert "source" not in flags


def test_an_option_that_negates_sets_its_setting_to_false_only_if_given() -> None:
    assert RunArguments(no_filename_tag=True).flags["filename_tag"] is False
    assert RunArguments().flags["filename_tag"] is None


def test_the_options_that_a_later_command_needs_are_repeated_with_quotes() -> None:
    args = StatusArguments(ledger="my ledger.db", config=Path("b.toml"), json=True)
    assert args.repeated() == " --config b.toml --ledger 'my ledger.db'"


def test_the_password_of_a_proxy_is_in_no_command_to_copy() -> None:
    args = RunArguments(proxy="http://jo:secret@proxy.example:3128")
    assert args.repeated() == " --proxy 'http://****@proxy.example:3128'"
    words = ["run", "in", "--proxy", "jo:secret@proxy.example", "--proxy=http://jo:secret@proxy.example", "--out=o=1"]
    assert args.shown(words) == [
        *("run", "in", "--proxy", "****@proxy.example", "--proxy=http://****@proxy.example", "--out=o=1"),
    ]


def test_settings_given_by_the_caller_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = StatusArguments(ledger="args.db")
    assert args.load(ledger=tmp_path / "mine.db").settings.ledger == tmp_path / "mine.db"


def test_a_state_that_cannot_be_redriven_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'collected' cannot be redriven"):
        arguments.RedriveArguments(state=["collected"]).states()


def test_the_list_of_commands_has_the_help_of_each() -> None:
    complete = {command.name: command.callback.__doc__ for command in build().registered_commands}
    listed = {command.name: command.callback.__doc__ for command in build(["--help"]).registered_commands}
    assert listed == complete
    assert set(complete) == {name for name in COMMANDS if " " not in name}


@pytest.mark.parametrize(
    ("stats", "seconds"), [(None, 10.0), ("0", 0.0), ("0s", 0.0), ("0.1s", 0.1), ("2m", 120.0), ("30", 30.0)]
)
def test_stats_is_the_time_between_lines_about_the_progress(stats: str | None, seconds: float) -> None:
    assert RunArguments(stats=stats).every_s() == seconds
    assert arguments.CheckArguments(stats=stats).every_s() == seconds


@pytest.mark.parametrize("stats", ["-1", "often", "", "1ms", "0.05s", "99999d"])
def test_a_time_between_lines_that_is_none_is_refused_by_name(stats: str) -> None:
    with pytest.raises(ConfigError, match=f"^--stats {stats}: "):
        RunArguments(stats=stats).every_s()
