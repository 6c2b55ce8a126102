"""Notifications are set up in many ways, come only from files that somebody named, and never show a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.config.notify_values import Occasion, masked_url
from runner.config.settings import LoadedSettings, Settings
from runner.errors import ConfigError
from tests.support.working_directory import load

SLACK = "slack://TokenA/TokenB/canary-token-c"
MAIL = "mailto://me:canary-password@example.com?to=a@example.com,b@example.com"


def urls(loaded: LoadedSettings) -> list[str]:
    return [url.get_secret_value() for url in loaded.settings.notify_urls]


def named(tmp_path: Path, toml: str, **given: Any) -> LoadedSettings:
    (tmp_path / "named.toml").write_text(toml)
    return load(tmp_path, config="named.toml", **given)


def refused(tmp_path: Path, toml: str = "", **given: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        named(tmp_path, toml, **given)
    return caught.value


def test_nobody_is_notified_by_default_and_of_everything_once_there_is_a_url() -> None:
    settings = Settings()
    assert (settings.notify_urls, settings.on_finish) == ((), ())
    assert settings.notify_on == tuple(Occasion)


def test_a_named_file_has_a_table(tmp_path: Path) -> None:
    toml = f'on_finish = ["load", "--all"]\n[notify]\nurls = ["{SLACK}", "{MAIL}"]\non = ["paused", "unreachable"]\n'
    loaded = named(tmp_path, toml)
    assert urls(loaded) == [SLACK, MAIL]
    assert loaded.settings.notify_on == (Occasion.PAUSED, Occasion.UNREACHABLE)
    assert loaded.settings.on_finish == ("load", "--all")
    assert loaded.origin("notify_urls") == "bulkhead.toml"


def test_variables_separate_urls_by_commas_or_spaces_before_the_next_service(tmp_path: Path) -> None:
    for between in (",", " ", ", ", "\n"):
        env = {"BULKHEAD_NOTIFY_URLS": f"{MAIL}{between}{SLACK}", "BULKHEAD_NOTIFY_ON": "finished, paused"}
        loaded = load(tmp_path, env=env)
        assert urls(loaded) == [MAIL, SLACK]
        assert loaded.settings.notify_on == (Occasion.FINISHED, Occasion.PAUSED)


def test_a_command_in_a_variable_or_option_is_quoted_as_in_a_shell(tmp_path: Path) -> None:
    assert load(tmp_path, env={"BULKHEAD_ON_FINISH": "load 'two words' x"}).settings.on_finish == (
        "load",
        "two words",
        "x",
    )
    assert load(tmp_path, on_finish="load").settings.on_finish == ("load",)


def test_a_program_with_a_path_is_found_from_the_directory_of_its_file(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "named.toml").write_text('on_finish = ["./load.sh", "./data"]\n')
    assert load(tmp_path, config="inside/named.toml").settings.on_finish == (str(inside / "load.sh"), "./data")
    assert load(tmp_path, on_finish="bin/load").settings.on_finish == (str(tmp_path / "bin/load"),)


def test_a_flag_replaces_the_urls_of_a_file(tmp_path: Path) -> None:
    assert urls(named(tmp_path, f'[notify]\nurls = ["{SLACK}"]\n', notify_urls=[MAIL])) == [MAIL]


class TestFoundFiles:
    """What `runner.config.origins` says: a file that somebody else may have put there notifies and runs nothing."""

    TOML = f'on_finish = ["rm", "-rf", "x"]\nuploads = 3\n[notify]\nurls = ["{SLACK}"]\non = ["paused"]\n'

    def test_a_found_file_notifies_nobody_and_runs_nothing(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, toml=self.TOML)
        assert (loaded.settings.notify_urls, loaded.settings.on_finish) == ((), ())
        assert loaded.settings.uploads == 3
        assert loaded.ignored == {"notify_urls": "bulkhead.toml", "on_finish": "bulkhead.toml"}
        places = {name: place for name, _, place in loaded.masked()}
        assert places["on_finish"] == "default; bulkhead.toml in the working directory is not used"

    @pytest.mark.parametrize("given", [{"config": "bulkhead.toml"}, {"env": {"BULKHEAD_CONFIG": "bulkhead.toml"}}])
    def test_a_named_file_does(self, tmp_path: Path, given: dict[str, Any]) -> None:
        loaded = load(tmp_path, toml=self.TOML, **given)
        assert urls(loaded) == [SLACK]
        assert loaded.settings.on_finish == ("rm", "-rf", "x")
        assert not loaded.ignored

    def test_so_does_not_dotenv_nor_a_file_that_it_names(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, dotenv=f"BULKHEAD_NOTIFY_URLS={SLACK}\nBULKHEAD_ON_FINISH=rm x\n")
        assert (loaded.settings.notify_urls, loaded.settings.on_finish) == ((), ())
        assert loaded.ignored == {"notify_urls": ".env", "on_finish": ".env"}
        (tmp_path / "other.toml").write_text(self.TOML)
        assert not load(tmp_path, dotenv="BULKHEAD_CONFIG=other.toml\n").settings.on_finish

    def test_what_is_given_elsewhere_is_not_missed(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, toml=self.TOML, notify_urls=[MAIL], on_finish="load")
        assert (urls(loaded), loaded.settings.on_finish) == ([MAIL], ("load",))
        assert not loaded.ignored

    def test_dotenv_does_not_outrank_a_named_file(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, toml=self.TOML, dotenv="BULKHEAD_ON_FINISH=evil\n", config="bulkhead.toml")
        assert loaded.settings.on_finish == ("rm", "-rf", "x")


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ('notify = "slack://x"\n', "notify is a table", "[notify]"),
        ('[notify]\nurl = ["x"]\n', "notify.url is not known", "urls, on"),
        ('[notify]\non_finish = ["x"]\n', "on_finish is not in [notify]", "above the first line with [ ]"),
        ('[notify]\nurls = "TokenA/canary-token"\n', "notify_urls = **** (bulkhead.toml)", None),
        ("[notify]\nurls = [1]\n", "notify_urls = **** (bulkhead.toml)", None),
        ('[notify]\non = ["done"]\n', "finished, paused, needs_review, unreachable", None),
        ('notify_on = "paused"\n[notify]\non = ["paused"]\n', "notify_on is given twice", "keep on in [notify]"),
        ("on_finish = [1]\n", "a list of words", None),
        ('on_finish = "load \'x"\n', "a quote is not closed", None),
        ('on_finish = [""]\n', "the first word names a program", None),
    ],
)
def test_a_wrong_value_is_named_without_its_secret(tmp_path: Path, toml: str, message: str, hint: str | None) -> None:
    error = refused(tmp_path, toml)
    assert message in str(error)
    assert hint is None or hint in str(error.hint)
    assert "canary" not in f"{error}{error.hint}"


def test_urls_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    loaded = load(tmp_path, notify_urls=[SLACK, MAIL])
    shown = {name: value for name, value, _ in loaded.masked()}
    assert shown["notify_urls"] == "slack://****, mailto://****"
    assert shown["notify_on"] == "finished, paused, needs_review, unreachable"
    for text in (str(shown), repr(loaded), repr(loaded.settings), str(loaded.settings.model_dump())):
        assert "canary" not in text
        assert "TokenA" not in text


def test_a_token_in_a_command_is_masked(tmp_path: Path) -> None:
    loaded = load(tmp_path, on_finish="curl -H 'Authorization: Bearer abc123canary' x")
    assert "abc123canary" not in str(loaded.masked())


def test_a_text_that_is_no_url_is_masked_as_a_whole() -> None:
    assert masked_url("canary") == masked_url("://canary") == "****"
