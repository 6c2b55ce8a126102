"""Settings: which value wins, where it came from, what is refused, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.options import FailureLimit
from runner.config.settings import Settings
from runner.config.units import Rate, duration_text, parse_duration, parse_failure_limit, parse_rate, parse_size
from runner.errors import ConfigError
from runner.ledger.location import LedgerTable
from tests.support.working_directory import load

KEY = "dromo-key-7f3a"


class TestLayers:
    def test_flag_wins_over_environment_over_dotenv_over_file_over_default(self, tmp_path: Path) -> None:
        loaded = load(
            tmp_path,
            toml="uploads = 1\nstall_s = 1\nsettle_s = 1\nquiet_period_s = 1\n",
            dotenv="BULKHEAD_UPLOADS=2\nBULKHEAD_STALL_S=2\nBULKHEAD_SETTLE_S=2\n",
            env={"BULKHEAD_UPLOADS": "3", "BULKHEAD_STALL_S": "3"},
            uploads=4,
        )
        found = loaded.settings
        values = (found.uploads, found.stall_s, found.settle_s, found.quiet_period_s, found.request_timeout_s)
        assert values == (4, 3, 2, 1, 30)
        names = ("uploads", "stall_s", "settle_s", "quiet_period_s", "request_timeout_s")
        assert [loaded.origin(name) for name in names] == [
            "flag",
            "environment BULKHEAD_STALL_S",
            ".env",
            "bulkhead.toml",
            "default",
        ]

    def test_a_flag_that_was_not_given_and_an_empty_variable_count_as_absent(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, env={"BULKHEAD_UPLOADS": ""}, uploads=None)
        assert loaded.origin("uploads") == "default"

    def test_the_process_environment_is_read_where_none_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BULKHEAD_UPLOADS", "7")
        monkeypatch.chdir(tmp_path)
        assert Settings.load({}).settings.uploads == 7

    def test_settings_made_directly_read_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BULKHEAD_UPLOADS", "7")
        assert Settings(stall_s=5).uploads == Settings.model_fields["uploads"].default

    @pytest.mark.parametrize("variable", ["DROMO_LICENSE_KEY", "BULKHEAD_LICENSE_KEY"])
    def test_the_license_key_has_two_names(self, tmp_path: Path, variable: str) -> None:
        loaded = load(tmp_path, env={variable: KEY})
        assert loaded.settings.license_key
        assert loaded.settings.license_key.get_secret_value() == KEY
        assert loaded.origin("license_key") == f"environment {variable}"

    def test_the_vendors_name_of_the_key_wins(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, env={"BULKHEAD_LICENSE_KEY": "other", "DROMO_LICENSE_KEY": KEY})
        assert loaded.settings.license_key
        assert loaded.settings.license_key.get_secret_value() == KEY
        assert loaded.origin("license_key") == "environment DROMO_LICENSE_KEY"

    @pytest.mark.parametrize("name", [".env", "bulkhead.toml"])
    def test_a_file_that_is_not_utf_8_is_named(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match=rf"{name} cannot be read: it is not UTF-8"):
            load(tmp_path)

    def test_dotenv_takes_values_literally(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, dotenv="OTHER=x\nDROMO_LICENSE_KEY='a$OTHER-${OTHER}'\n")
        assert loaded.settings.license_key
        assert loaded.settings.license_key.get_secret_value() == "a$OTHER-${OTHER}"

    def test_keys_of_the_file_may_be_written_as_the_flags_are(self, tmp_path: Path) -> None:
        assert load(tmp_path, toml='create-quota = "5/10s"\n').settings.create_quota == Rate(5, 10)

    def test_relative_paths_start_where_they_were_written(self, tmp_path: Path) -> None:
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf/b.toml").write_text('ledger = "state/l.db"\nfields_file = "../f.json"\n')
        loaded = load(tmp_path, config="conf/b.toml", out="results")
        assert loaded.settings.ledger == tmp_path / "conf/state/l.db"
        assert loaded.settings.fields_file == tmp_path / "f.json"
        assert loaded.settings.out == str(tmp_path / "results")
        assert load(tmp_path).settings.ledger == tmp_path / ".bulkhead/ledger.db"

    def test_results_can_be_in_s3_from_wherever_that_is_said(self, tmp_path: Path) -> None:
        assert load(tmp_path, out="s3://results/a b/").settings.out == "s3://results/a b"
        assert load(tmp_path, env={"BULKHEAD_OUT": "s3://results"}).settings.out == "s3://results"
        with pytest.raises(ConfigError, match=r"out = s3:///a \(flag\): s3:///a does not name a bucket"):
            load(tmp_path, out="s3:///a")

    @pytest.mark.parametrize(
        ("written", "path"), [("sqlite:////x/l.db", "/x/l.db"), ("sqlite:///x/l.db", "x/l.db"), ("/x/l.db", "/x/l.db")]
    )
    def test_a_ledger_is_a_path_or_a_sqlite_url(self, tmp_path: Path, written: str, path: str) -> None:
        assert load(tmp_path, ledger=written).settings.ledger == tmp_path / path

    def test_a_ledger_may_be_a_table(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, ledger="dynamodb://bulk-head_1.x")
        assert loaded.settings.ledger == LedgerTable("bulk-head_1.x")
        assert loaded.settings.ledger_is_there
        assert ("ledger", "dynamodb://bulk-head_1.x", "flag") in loaded.masked()

    def test_another_configuration_file_may_be_named_by_flag_or_variable(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text("uploads = 5\n")
        (tmp_path / "b.toml").write_text("uploads = 6\n")
        env = {"BULKHEAD_CONFIG": "a.toml"}
        assert load(tmp_path, env=env).settings.uploads == 5
        loaded = load(tmp_path, env=env, config="b.toml")
        assert (loaded.settings.uploads, loaded.config_file) == (6, tmp_path / "b.toml")
        with pytest.raises(ConfigError, match=r"gone\.toml does not exist"):
            load(tmp_path, config="gone.toml")

    def test_globs_in_a_variable_are_split_at_commas_outside_braces(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, env={"BULKHEAD_INCLUDE": "*.{csv,tsv}, x/**"}, exclude=["a,b"])
        assert (loaded.settings.include, loaded.settings.exclude) == (("*.{csv,tsv}", "x/**"), ("a,b",))

    def test_values_are_read_as_people_write_them(self, tmp_path: Path) -> None:
        found = load(
            tmp_path,
            toml='max_duration = "2h30m"\nmax_failures = "5%"\nmin_age = 90\nbwlimit = "10M"\nfilename_tag = false\n'
            'order_by = "size"\npoll_quota = "12/minute"\n',
        ).settings
        assert (found.max_duration, found.max_failures, found.min_age) == (9000, FailureLimit(percent=5), 90)
        assert (found.bwlimit, found.filename_tag, found.order_by) == (10 << 20, False, "size")
        assert found.poll_quota == Rate(12, 60)


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("uploads", "many", "write a whole number"),
            ("uploads", "0", "at least 1"),
            ("create_quota", "20", "such as 20/60s"),
            ("max_duration", "soon", "such as 90s, 15m or 2h30m"),
            ("max_duration", "0", "greater than 0"),
            ("max_failures", "0", "whole number from 1"),
            ("max_failures", "101%", "at most 100%"),
            ("bwlimit", "fast", "such as 500K"),
            ("order_by", "color", "'name', 'size' or 'mtime'"),
            ("filename_tag", "perhaps", "write true or false"),
            ("ledger", "postgres://x", "sqlite:///PATH"),
            ("ledger", "dynamodb://", "dynamodb://TABLE"),
            ("ledger", "dynamodb://a/b", "dynamodb://TABLE"),
            ("api_url", "app.dromo.io", "write a url"),
            ("api_url", "https://x.io/?a=1", "no user, password, query"),
        ],
    )
    def test_a_wrong_value_is_named_with_its_origin_and_what_is_allowed(
        self, tmp_path: Path, name: str, value: str, reason: str
    ) -> None:
        variable = f"BULKHEAD_{name.upper()}"
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, env={variable: value})
        assert str(caught.value).startswith(f"{name} = {value} (environment {variable}): ")
        assert reason in str(caught.value)

    def test_a_wrong_value_in_the_file_names_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^uploads = x \(bulkhead\.toml\): "):
            load(tmp_path, toml='uploads = "x"\n')

    def test_an_unknown_key_of_the_file_is_named_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="the key upload is not known") as caught:
            load(tmp_path, toml="upload = 3\n")
        assert caught.value.hint == "did you mean uploads?"
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, toml="xyzzy = 3\n")
        assert "create_quota" in (caught.value.hint or "")

    def test_an_unknown_variable_is_worth_a_warning(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, env={"BULKHEAD_UPLOAD": "3", "BULKHEAD_DEBUG": "1", "OTHER": "x"})
        assert loaded.warnings == ("the variable BULKHEAD_UPLOAD is not known; did you mean BULKHEAD_UPLOADS?",)

    @pytest.mark.parametrize("second", ["max-upload-answer", "max_upload-answer"])
    def test_a_key_in_two_spellings_is_refused(self, tmp_path: Path, second: str) -> None:
        with pytest.raises(ConfigError, match=f"{second} is given twice"):
            load(tmp_path, toml=f"max-upload_answer = 1\n{second} = 2\n")

    def test_a_key_that_would_travel_unencrypted_is_worth_a_warning(self, tmp_path: Path) -> None:
        [warning] = load(tmp_path, api_url="http://sandbox:8700/api/v1").warnings
        assert "unencrypted to http://sandbox:8700" in warning
        assert load(tmp_path, api_url="http://127.0.0.1:8700/api/v1").warnings == ()

    def test_a_file_that_is_no_toml_is_refused_with_the_line(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"bulkhead\.toml cannot be read: .*line 2"):
            load(tmp_path, toml="uploads = 3\nstall_s =\n")

    @pytest.mark.parametrize("spelled", ["license_key", "license-key"])
    def test_a_license_key_in_the_file_is_refused_without_showing_it(self, tmp_path: Path, spelled: str) -> None:
        with pytest.raises(ConfigError, match="does not belong") as caught:
            load(tmp_path, toml=f'{spelled} = "{KEY}"\n')
        assert KEY not in str(caught.value)
        assert "DROMO_LICENSE_KEY" in (caught.value.hint or "")


class TestSecrets:
    def test_the_key_is_masked_wherever_settings_are_shown(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, env={"DROMO_LICENSE_KEY": KEY})
        assert KEY not in repr(loaded) + str(loaded.settings) + loaded.settings.model_dump_json()
        assert ("license_key", "****", "environment DROMO_LICENSE_KEY") in loaded.masked()
        assert KEY not in str(loaded.masked())

    def test_a_password_in_the_url_is_neither_taken_nor_shown(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, api_url="https://me:hunter2@app.dromo.io/api/v1")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_every_setting_is_shown_once_with_its_origin(self, tmp_path: Path) -> None:
        rows = load(tmp_path, include=["*.csv", "x/*"], max_failures="5%", min_age="90s").masked()
        assert [name for name, _, _ in rows] == list(Settings.model_fields)
        shown = {name: value for name, value, _ in rows}
        assert (shown["include"], shown["max_failures"], shown["min_age"]) == ("*.csv, x/*", "5%", "90s")
        assert (shown["exclude"], shown["out"], shown["create_quota"]) == ("none", "not set", "20/60s")


class TestQuantities:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("20/60s", Rate(20, 60)),
            ("20/60", Rate(20, 60)),
            (" 20 / Minute ", Rate(20, 60)),
            ("20/1m", Rate(20, 60)),
            ("5/s", Rate(5, 1)),
            ("9/2h", Rate(9, 7200)),
        ],
    )
    def test_rates_are_read(self, text: str, rate: Rate) -> None:
        assert parse_rate(text) == rate
        assert parse_rate(str(rate)) == rate

    @pytest.mark.parametrize("text", ["", "20", "/60s", "0/60s", "-1/60s", "20/0s", "20/fortnight", "2.5/60s"])
    def test_other_texts_are_no_rates(self, text: str) -> None:
        with pytest.raises(ValueError, match="such as 20/60s"):
            parse_rate(text)

    @given(seconds=st.integers(0, 10**8) | st.integers(0, 1000).map(lambda n: n / 4))
    def test_a_duration_is_read_as_it_is_written(self, seconds: float) -> None:
        assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, rel=1e-5)

    @pytest.mark.parametrize(
        ("text", "seconds"), [("2h30m", 9000), ("90", 90), ("1.5m", 90), ("250ms", 0.25), ("1d", 86400)]
    )
    def test_durations_are_read(self, text: str, seconds: float) -> None:
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize("text", ["", "s", "1x", "-5s", "1h 5", "nan", "inf", "1e3", "99999d", "٣s"])
    def test_other_texts_are_no_durations(self, text: str) -> None:
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)

    @pytest.mark.parametrize(
        ("text", "size_bytes"),
        [("1000", 1000), ("1.5K", 1536), ("2MB", 2_000_000), ("2MiB", 2 << 20), ("1g", 1 << 30), ("5M/s", 5 << 20)],
    )
    def test_sizes_are_read(self, text: str, size_bytes: int) -> None:
        assert parse_size(text) == size_bytes

    @pytest.mark.parametrize("text", ["", "K", "10X", "-1", "1 2"])
    def test_other_texts_are_no_sizes(self, text: str) -> None:
        with pytest.raises(ValueError, match="size"):
            parse_size(text)

    def test_failure_limits_are_a_number_or_a_share(self) -> None:
        assert parse_failure_limit("10") == FailureLimit(count=10)
        assert parse_failure_limit("2.5%") == FailureLimit(percent=2.5)


def test_the_documentation_names_every_setting_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs/configuration.md").read_text("utf-8")
    table = text.partition("## Settings")[2].partition("## Routes")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name.strip(" `") for row in rows for name in row.split(",")) == sorted(Settings.model_fields)


@pytest.mark.parametrize(
    ("values", "per_s"),
    [({}, 5000), ({"bwlimit": "10M"}, 5000), ({"bwlimit": 24_000}, 1000), ({"bwlimit": 24_000, "uploads": 2}, 2000)],
)
def test_the_slowest_transfer_leaves_room_for_a_low_bandwidth(values: dict[str, Any], per_s: float) -> None:
    assert Settings(**values).slowest_per_s == per_s


def test_sizes_of_answers_are_settings(tmp_path: Path) -> None:
    found = load(tmp_path, toml='max_result = "2G"\nmax_upload_answer = 1000\n').settings
    assert (found.max_result, found.max_upload_answer) == (2 * 1024**3, 1000)
    assert (Settings().max_result, Settings().max_upload_answer) == (10 * 1024**3, 64 * 1024)
