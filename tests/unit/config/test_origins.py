"""The working directory redirects nothing: no key, no AWS credentials, no data, and no file from outside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest

from runner.config.origins import FILES, IGNORED, REDIRECTS
from runner.config.routes import Routes
from runner.config.settings import LoadedSettings, Settings
from runner.errors import ConfigError
from sandbox.options import OPTIONS
from tests.support import working_directory

KEY = {"DROMO_LICENSE_KEY": "canary-key"}
EVIL = "https://evil.example/api/v1"
FIELDS = '[{"key": "a", "label": "A"}]'

Kind = Literal["secret", "redirects", "file", "schema", "local", "own account", "links", "ignored", "plain"]
TABLE: dict[str, Kind] = {
    "license_key": "secret",
    "api_url": "redirects",
    "proxy": "redirects",
    "ca_file": "redirects",
    "aws_endpoint_url": "redirects",
    "out": "redirects",
    "fields_file": "file",
    "settings_file": "file",
    "hooks_file": "file",
    "routes": "schema",
    "ledger": "local",
    "ledger_mode": "local",
    "out_mode": "local",
    "quota_store": "local",
    "stack": "own account",
    "aws_region": "own account",
    "schema_id": "own account",
    "development_mode": "plain",
    "accept_new_key": "plain",
    "json_is_new": "plain",
    "include": "plain",
    "encoding": "plain",
    "exclude": "plain",
    "min_age": "plain",
    "order_by": "plain",
    "filename_tag": "plain",
    "create_quota": "plain",
    "poll_quota": "plain",
    "list_quota": "plain",
    "shared_quota_guard_s": "plain",
    "uploads": "plain",
    "bwlimit": "plain",
    "max_duration": "plain",
    "give_up_after": "plain",
    "max_failures": "plain",
    "max_rows_lost": "plain",
    "fail_on_lost_rows": "plain",
    "track_by": "plain",
    "safety_list_s": "plain",
    "quiet_period_s": "plain",
    "settle_s": "plain",
    "stuck_after": "plain",
    "stall_s": "plain",
    "request_timeout_s": "plain",
    "max_result": "plain",
    "max_upload_answer": "plain",
    "storage_hosts": "plain",
    "review_hosts": "links",
    "notify_urls": "ignored",
    "notify_on": "plain",
    "on_finish": "ignored",
}
"""What each setting can do if the working directory gives it.

- secret: it is one, and may be in .env; redirects: says where secrets or data go, or who may see them, so the working
  directory alone does not decide; file: names a file, which must be in the working directory; schema: contains names of
  such files
- links: allows links of the vendor, who would have to be hostile, too; nothing is sent there
- local: a place on this machine, or who can read there
- ignored: whom to write to, or what to run; see test_notify_values
- own account: chosen among what the user's own credentials can reach
- plain: a limit, a filter, or a choice; it names no place
"""
ELSEWHERE = {
    "api_url": EVIL,
    "aws_endpoint_url": "https://evil.example",
    "out": "s3://evil/results",
    "proxy": "http://evil.example:3128",
    "ca_file": "/evil/authority.pem",
}
MINE = {"out": "s3://mine/results", "ca_file": "/mine/authority.pem"}
"""What the user says, `https://mine.example` for all others."""
SANDBOX_OPTIONS = {
    "--host": "listens there",
    "--allow-host": "answers to it",
    "--webhook-hosts": "sends webhooks there",
    "--hook-hosts": "lets hooks fetch from there",
    "--data": "writes there",
    "--schemas": "reads there",
    "--license-key": "is a secret",
    "--port": "plain",
    "--keep": "plain",
    "--workers": "plain",
    "--worker-memory": "plain",
    "--create-quota": "plain",
    "--poll-quota": "plain",
    "--speed": "plain",
    "--processing-s": "plain",
}
"""What each option of the sandbox can do; none has a variable or a key in a file, so none can be planted."""


def load(cwd: Path, *, env: dict[str, str] = KEY, **given: Any) -> LoadedSettings:
    """Load the settings with a key in the environment."""
    return working_directory.load(cwd, env=env, **given)


def refused(cwd: Path, **given: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(cwd, **given)
    return caught.value


def variable(name: str, value: str) -> dict[str, str]:
    return {f"BULKHEAD_{name.upper()}": value}


def test_every_setting_says_what_it_can_do_in_the_wrong_hands() -> None:
    assert sorted(TABLE) == sorted(Settings.model_fields)
    assert {name for name, kind in TABLE.items() if kind == "redirects"} == set(REDIRECTS) == set(ELSEWHERE)
    assert {name for name, kind in TABLE.items() if kind == "file"} == set(FILES)
    assert {name for name, kind in TABLE.items() if kind == "ignored"} == set(IGNORED)


def test_every_option_of_the_sandbox_says_what_it_can_do_in_the_wrong_hands() -> None:
    assert sorted(SANDBOX_OPTIONS) == sorted(option.flag for option in OPTIONS)


@pytest.mark.parametrize("name", sorted(REDIRECTS))
class TestRedirects:
    def test_the_working_directory_alone_is_refused_with_the_line_to_add(self, name: str, tmp_path: Path) -> None:
        value = ELSEWHERE[name]
        error = refused(tmp_path, toml=f'{name} = "{value}"\n')
        assert f"{name} = {value} (bulkhead.toml in the working directory)" in str(error)
        assert f"export BULKHEAD_{name.upper()}={value}" in str(error.hint)

    def test_dotenv_is_the_working_directory_too(self, name: str, tmp_path: Path) -> None:
        error = refused(tmp_path, dotenv=f"BULKHEAD_{name.upper()}={ELSEWHERE[name]}\n")
        assert "(.env in the working directory)" in str(error)

    def test_so_is_a_variable_in_small_letters(self, name: str, tmp_path: Path) -> None:
        refused(tmp_path, dotenv=f"bulkhead_{name}={ELSEWHERE[name]}\n")

    def test_so_is_a_file_that_dotenv_names(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "other.toml").write_text(f'{name} = "{ELSEWHERE[name]}"\n')
        refused(tmp_path, dotenv="BULKHEAD_CONFIG=other.toml\n")

    def test_dotenv_does_not_outrank_a_named_file(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "mine.toml").write_text(f'{name} = "{MINE.get(name, "https://mine.example")}"\n')
        refused(tmp_path, dotenv=f"BULKHEAD_{name.upper()}={ELSEWHERE[name]}\n", config="mine.toml")

    def test_what_a_flag_a_variable_or_a_named_file_also_says_is_taken(self, name: str, tmp_path: Path) -> None:
        value = ELSEWHERE[name]
        toml = f'{name} = "{value}"\n'
        (tmp_path / "mine.toml").write_text(toml)
        dotenv = f"BULKHEAD_{name.upper()}={value}\n"
        for given in (
            {name: value},
            {"env": {**KEY, **variable(name, value)}},
            {"config": "mine.toml"},
            {"config": "bulkhead.toml"},
            {"env": {**KEY, "BULKHEAD_CONFIG": "mine.toml"}},
        ):
            taken = getattr(load(tmp_path, toml=toml, dotenv=dotenv, **given).settings, name)
            assert str(taken) == value, given

    def test_a_flag_or_variable_with_another_value_replaces_it(self, name: str, tmp_path: Path) -> None:
        toml = f'{name} = "{ELSEWHERE[name]}"\n'
        mine = MINE.get(name, "https://mine.example")
        by_flag = load(tmp_path, toml=toml, **{name: mine}).settings
        by_variable = load(tmp_path, toml=toml, env={**KEY, **variable(name, mine)}).settings
        assert str(getattr(by_flag, name)).removesuffix(":443") == mine
        assert getattr(by_variable, name) == getattr(by_flag, name)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("name", ["api_url", "aws_endpoint_url"])
def test_an_address_on_this_machine_is_harmless(name: str, host: str, tmp_path: Path) -> None:
    address = f"http://{host}:8700/api/v1"
    assert getattr(load(tmp_path, toml=f'{name} = "{address}"\n').settings, name) == address


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "127.0.0.1.evil.example", "[::ffff:192.0.2.1]", "0.0.0.0", "app.dromo.io.evil"]
)
@pytest.mark.parametrize("name", ["api_url", "aws_endpoint_url"])
def test_an_address_that_only_looks_harmless_is_refused(name: str, host: str, tmp_path: Path) -> None:
    refused(tmp_path, toml=f'{name} = "http://{host}/api/v1"\n')


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_proxy_on_this_machine_is_refused_too(host: str, tmp_path: Path) -> None:
    refused(tmp_path, toml=f'proxy = "http://{host}:3128"\n')


def test_the_password_of_a_proxy_that_is_refused_is_not_shown_and_the_same_proxy_is_taken(tmp_path: Path) -> None:
    toml = 'proxy = "http://jo:secret@proxy.example:3128"\n'
    error = refused(tmp_path, toml=toml)
    assert "secret" not in f"{error} {error.hint}"
    same = load(tmp_path, toml=toml, proxy="jo:secret@proxy.example:3128")
    assert same.settings.proxy is not None
    assert same.settings.proxy.credentials == "jo:secret"


def test_the_default_address_is_harmless(tmp_path: Path) -> None:
    load(tmp_path, toml='api_url = "https://app.dromo.io/api/v1/"\n')
    refused(tmp_path, toml='api_url = "http://app.dromo.io/api/v1"\n')


def test_a_key_of_the_working_directory_goes_where_the_working_directory_says(tmp_path: Path) -> None:
    given = {"toml": f'api_url = "{EVIL}"\n', "dotenv": "DROMO_LICENSE_KEY=theirs\n"}
    assert load(tmp_path, **given, env={}).settings.api_url == EVIL
    assert load(tmp_path, **given, env={"DROMO_LICENSE_KEY": "theirs"}).settings.api_url == EVIL
    assert "environment DROMO_LICENSE_KEY" in str(refused(tmp_path, **given))


def test_without_a_key_any_address_can_be_read(tmp_path: Path) -> None:
    assert load(tmp_path, toml=f'api_url = "{EVIL}"\n', env={}).settings.api_url == EVIL


def test_aws_credentials_are_never_of_the_working_directory(tmp_path: Path) -> None:
    dotenv = "AWS_ACCESS_KEY_ID=theirs\nAWS_SECRET_ACCESS_KEY=theirs\nDROMO_LICENSE_KEY=theirs\n"
    refused(tmp_path, toml='aws_endpoint_url = "https://evil.example"\n', dotenv=dotenv, env={})


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_REGION"),
        *("HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PYTHONPATH", "PYTHONSTARTUP", "PATH"),
        *("LD_PRELOAD", "HOME", "XDG_STATE_HOME", "BULKHEAD_DEBUG"),
    ],
)
def test_other_variables_of_dotenv_are_not_read(name: str, tmp_path: Path) -> None:
    before = dict(os.environ)
    plain = load(tmp_path)
    planted = load(tmp_path, dotenv=f"{name}=/evil\n")
    assert (planted.settings, dict(os.environ)) == (plain.settings, before)


def test_dotenv_names_no_configuration_file_outside_the_working_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "other.toml").write_text("uploads = 3\n")
    (home / "link.toml").symlink_to("../other.toml")
    for name in ("../other.toml", str(tmp_path / "other.toml"), "link.toml"):
        error = refused(home, dotenv=f"BULKHEAD_CONFIG={name}\n")
        assert "export BULKHEAD_CONFIG=" in str(error.hint)
    assert load(home, env={"BULKHEAD_CONFIG": "../other.toml"}).settings.uploads == 3


class TestFiles:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        home = tmp_path / "home"
        (home / "schemas").mkdir(parents=True)
        (tmp_path / "secret.json").write_text(FIELDS)
        (home / "schemas/a.json").write_text(FIELDS)
        (home / "schemas/out.json").symlink_to(tmp_path / "secret.json")
        (home / "schemas/in.json").symlink_to("a.json")
        (home / "away").symlink_to(tmp_path)
        return home

    OUTSIDE = (
        "../secret.json",
        "{home}/../secret.json",
        "schemas/out.json",
        "away/secret.json",
        "schemas/../../secret.json",
    )
    INSIDE = ("schemas/a.json", "{home}/schemas/a.json", "schemas/in.json", "away/home/schemas/a.json")

    @pytest.mark.parametrize("file", OUTSIDE)
    def test_a_route_that_is_found_reads_no_file_outside_its_directory(self, home: Path, file: str) -> None:
        path = file.format(home=home)
        loaded = load(home, toml=f'[[routes]]\nmatch = "**"\nfields = "{path}"\n')
        with pytest.raises(ConfigError, match="outside the working directory") as caught:
            Routes.of(loaded)
        assert "--config bulkhead.toml" in str(caught.value.hint)
        named = load(home, config="bulkhead.toml")
        assert Routes.of(named).routes[0].fields

    @pytest.mark.parametrize("key", ["settings", "hooks"])
    def test_that_holds_for_settings_and_hooks(self, home: Path, key: str) -> None:
        loaded = load(home, toml=f'[[routes]]\nmatch = "**"\nschema_id = "x"\n{key} = "../secret.json"\n')
        with pytest.raises(ConfigError, match="outside the working directory"):
            Routes.of(loaded)

    @pytest.mark.parametrize("file", INSIDE)
    def test_files_inside_are_read(self, home: Path, file: str) -> None:
        path = file.format(home=home)
        assert Routes.of(load(home, toml=f'[[routes]]\nmatch = "**"\nfields = "{path}"\n')).routes[0].fields
        (home / "bulkhead.toml").unlink()
        assert Routes.of(load(home, dotenv=f"BULKHEAD_FIELDS_FILE={path}\n")).routes[0].fields

    @pytest.mark.parametrize("name", sorted(FILES))
    @pytest.mark.parametrize("file", OUTSIDE)
    def test_one_schema_for_all_reads_no_file_outside_either(self, home: Path, name: str, file: str) -> None:
        path = file.format(home=home)
        schema = "" if name == "fields_file" else 'schema_id = "x"\n'
        with pytest.raises(ConfigError, match="outside the working directory") as caught:
            Routes.of(load(home, toml=f'{schema}{name} = "{path}"\n'))
        assert f"export BULKHEAD_{name.upper()}={(home / path).resolve()}" in str(caught.value.hint)
        (home / "bulkhead.toml").write_text(schema)
        with pytest.raises(ConfigError, match="outside the working directory"):
            Routes.of(load(home, dotenv=f"BULKHEAD_{name.upper()}={path}\n"))

    def test_a_flag_and_a_variable_name_any_file(self, home: Path) -> None:
        assert Routes.of(load(home, fields_file="../secret.json")).routes[0].fields
        assert Routes.of(load(home, env=variable("fields_file", "../secret.json"))).routes[0].fields

    def test_a_link_that_ends_nowhere_or_in_itself_is_named(self, home: Path) -> None:
        (home / "loop.json").symlink_to("loop.json")
        (home / "gone.json").symlink_to("nothing.json")
        for name in ("loop.json", "gone.json"):
            with pytest.raises(ConfigError, match=f"{name} cannot be read"):
                Routes.of(load(home, toml=f'[[routes]]\nmatch = "**"\nfields = "{name}"\n'))

    def test_a_found_file_that_is_a_link_reads_files_of_the_working_directory_only(
        self, home: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "shared.toml").write_text('[[routes]]\nmatch = "**"\nfields = "secret.json"\n')
        (home / "bulkhead.toml").symlink_to("../shared.toml")
        with pytest.raises(ConfigError, match="outside the working directory"):
            Routes.of(load(home))
        assert Routes.of(load(home, config="bulkhead.toml")).routes[0].fields


class TestNotifications:
    ROUTES = (
        '[[routes]]\nmatch = "**"\nschema_id = "x"\nsettings = {{ {key} = "https://evil.example" }}\n',
        '[[routes]]\nmatch = "**"\nschema_id = "x"\nsettings = "settings.json"\n',
        '[[routes]]\nmatch = "**"\nfields = "fields.json"\n',
        'schema_id = "x"\nsettings_file = "settings.json"\n',
        'fields_file = "fields.json"\n',
    )

    @pytest.mark.parametrize("key", ["webhookUrl", "needsReviewWebhookUrl", "WEBHOOKURL", "webhook_url"])
    @pytest.mark.parametrize("toml", ROUTES)
    def test_a_notification_address_is_not_read_from_a_found_file(self, toml: str, key: str, tmp_path: Path) -> None:
        settings = f'{{"{key}": "https://evil.example"}}'
        (tmp_path / "settings.json").write_text(settings)
        (tmp_path / "fields.json").write_text(f'{{"fields": {FIELDS}, "settings": {settings}}}')
        loaded = load(tmp_path, toml=toml.format(key=key))
        with pytest.raises(ConfigError, match=f"{key} is a notification address"):
            Routes.of(loaded)
        assert Routes.of(load(tmp_path, config="bulkhead.toml")).routes[0].settings == {key: "https://evil.example"}

    def test_an_address_that_is_empty_notifies_nobody(self, tmp_path: Path) -> None:
        toml = '[[routes]]\nmatch = "**"\nschema_id = "x"\nsettings = { webhookUrl = "" }\n'
        assert Routes.of(load(tmp_path, toml=toml)).routes[0].settings == {"webhookUrl": ""}
