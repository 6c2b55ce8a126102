"""Routes: which one an item gets, what it makes of a create, and what is wrong with a table of them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from runner.config.routes import Route, Routes
from runner.config.settings import Settings
from runner.errors import ConfigError

FIELDS = [{"key": "name", "label": "Name", "type": "string"}, {"key": "qty", "label": "Qty"}]


def load(text: str, base_dir: Path) -> Routes:
    return Routes.load(tomllib.loads(text)["routes"], base_dir)


def write_json(path: Path, value: object) -> Path:
    path.write_bytes(orjson.dumps(value))
    return path


class TestChoosing:
    routes = Routes(
        [
            Route(name="orders", match="orders/**/*.csv", schema_id="s-1"),
            Route(name="csv", match="*.csv", schema_id="s-2"),
        ]
    )

    def test_the_first_route_that_matches_counts(self) -> None:
        chosen = [self.routes.for_source(key) for key in ("orders/x/a.csv", "a.csv", "a.xlsx")]
        assert [route.name if route else None for route in chosen] == ["orders", "csv", None]

    def test_explaining_names_every_route_and_whether_it_matches(self) -> None:
        assert [(route.name, matched) for route, matched in self.routes.explain("x/a.csv")] == [
            ("orders", False),
            ("csv", True),
        ]


class TestCreating:
    def test_a_request_carries_what_the_route_says_and_the_data(self) -> None:
        route = Route(name="r", fields=tuple(FIELDS), settings={"title": "t"}, hooks={"rowHooks": []}, user={"id": "u"})
        request = route.request(original_filename="a.csv")
        assert (request.fields, request.settings, request.hooks, request.user, request.original_filename) == (
            tuple(FIELDS),
            {"title": "t"},
            {"rowHooks": []},
            {"id": "u"},
            "a.csv",
        )
        assert route.request(initial_data=b"[{}]").initial_data == b"[{}]"

    def test_the_binding_is_of_the_create_alone(self) -> None:
        route = Route(name="a", match="*.csv", schema_id="s", settings={"a": 1, "b": 2})
        assert len(route.binding) == 16
        assert route.binding == Route(name="b", match="**", schema_id="s", settings={"b": 2, "a": 1}).binding

    @pytest.mark.parametrize(
        "change",
        [
            {"schema_id": "other"},
            {"settings": {"title": "t"}},
            {"hooks": {"rowHooks": ["x"]}},
            {"user": {"id": "u"}},
            {"schema_id": None, "fields": tuple(FIELDS)},
        ],
    )
    def test_any_change_of_the_create_changes_the_binding(self, change: dict[str, Any]) -> None:
        plain: dict[str, Any] = {"name": "r", "schema_id": "s"}
        assert Route(**plain).binding != Route(**{**plain, **change}).binding


class TestLoading:
    def test_a_table_may_hold_everything_inline_or_in_files(self, tmp_path: Path) -> None:
        (tmp_path / "schemas").mkdir()
        write_json(tmp_path / "schemas/orders.json", FIELDS)
        write_json(tmp_path / "hooks.json", {"rowHooks": ["r => r"]})
        routes = load(
            """
            [[routes]]
            name = "orders"
            match = "orders/*.csv"
            fields = "schemas/orders.json"
            settings = { invalidDataBehavior = "BLOCK_SUBMIT" }
            hooks = "hooks.json"
            development_mode = true
            [routes.user]
            id = "u-1"
            companyName = "Acme"

            [[routes]]
            match = "**"
            schema_id = "s-1"
            """,
            tmp_path,
        )
        orders, rest = routes.routes
        assert orders.fields == tuple(FIELDS)
        assert orders.settings == {"invalidDataBehavior": "BLOCK_SUBMIT", "developmentMode": True}
        assert (orders.hooks, orders.user) == ({"rowHooks": ["r => r"]}, {"id": "u-1", "companyName": "Acme"})
        assert (rest.name, rest.schema_id, rest.fields, rest.settings) == ("route 2", "s-1", None, None)

    def test_a_fields_file_may_bring_settings_and_hooks_which_the_table_overrides(self, tmp_path: Path) -> None:
        write_json(tmp_path / "s.json", {"fields": FIELDS, "settings": {"title": "a"}, "hooks": {"rowHooks": []}})
        own, other = load(
            '[[routes]]\nmatch = "a"\nfields = "s.json"\n'
            '[[routes]]\nmatch = "b"\nfields = "s.json"\nsettings = { title = "b" }\n',
            tmp_path,
        ).routes
        assert (own.settings, own.hooks) == ({"title": "a"}, {"rowHooks": []})
        assert (other.settings, other.hooks) == ({"title": "b"}, {"rowHooks": []})

    def test_a_snapshot_needs_no_file_and_is_the_same_routes(self, tmp_path: Path) -> None:
        path = write_json(tmp_path / "s.json", FIELDS)
        routes = load('[[routes]]\nmatch = "*.csv"\nfields = "s.json"\ndevelopment_mode = false\n', tmp_path)
        path.unlink()
        again = Routes.from_json(orjson.loads(orjson.dumps(routes.to_json())))
        assert again.routes == routes.routes
        assert [route.binding for route in again.routes] == [route.binding for route in routes.routes]

    def test_a_damaged_snapshot_is_a_config_error(self) -> None:
        with pytest.raises(ConfigError, match="record of its routes"):
            Routes.from_json([{"nme": "x"}])

    @pytest.mark.parametrize(
        ("line", "reason", "hint"),
        [
            ("", "exactly one of schema_id and fields; neither is given", None),
            ('schema_id = "s"\nfields = "f.json"', "exactly one of schema_id and fields; both are given", None),
            ('shema_id = "s"', "the key shema_id is not known", "did you mean schema_id?"),
            ('on_finish = ["x"]', "the key on_finish is not known", "write it above the first line with [ ]"),
            ('schema_id = ""', "schema_id must be a text", None),
            ("schema_id = 7", "schema_id must be a text", None),
            ('fields = "gone.json"', "fields: gone.json cannot be read: No such file", "looked for"),
            ('fields = "a\\fields.json"', r"fields: a\x0cields.json cannot be read", "a backslash is an escape"),
            ('fields = "bad.json"', "fields: bad.json is not valid JSON: line 2, column", None),
            ('fields = "empty.json"', "fields: empty.json must be an array with at least one field", None),
            ('fields = "other.json"', "fields: other.json is neither an array of fields nor an object with", None),
            ('fields = "twice.json"', "fields: twice.json: field 2 repeats the key a", None),
            ('fields = "keyless.json"', "fields: keyless.json: the key of field 1 must be a text", None),
            ('schema_id = "s"\nsettings = 3', "settings must be an object", None),
            ('schema_id = "s"\nhooks = "empty.json"', "hooks: empty.json does not hold a JSON object", None),
            ('schema_id = "s"\nuser = { name = "x" }', "user needs an id", None),
            (
                'schema_id = "s"\nuser = { id = "x", mail = "y" }',
                "user: the key mail is not known",
                "did you mean email?",
            ),
            ('schema_id = "s"\ndevelopment_mode = 1', "development_mode must be true or false", None),
            (
                'schema_id = "s"\ndevelopment_mode = true\nsettings = { developmentMode = false }',
                "development_mode contradicts developmentMode",
                None,
            ),
        ],
    )
    def test_a_mistake_is_named_with_its_place(self, tmp_path: Path, line: str, reason: str, hint: str | None) -> None:
        (tmp_path / "bad.json").write_text('[{"key": "a"},\n oops]')
        write_json(tmp_path / "empty.json", [])
        write_json(tmp_path / "other.json", {"columns": []})
        write_json(tmp_path / "twice.json", [{"key": "a"}, {"key": "a"}])
        write_json(tmp_path / "keyless.json", [{"label": "a"}])
        with pytest.raises(ConfigError) as caught:
            load(f'[[routes]]\nmatch = "a"\nschema_id = "s"\n[[routes]]\nmatch = "b"\n{line}\n', tmp_path)
        assert str(caught.value).startswith("bulkhead.toml, route 2: ")
        assert reason in str(caught.value)
        assert hint is None or hint in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("table", "reason"),
        [
            ([], "one or more"),
            ({"match": "*"}, "one or more"),
            (["x"], "must be a table"),
            ([{"schema_id": "s"}], "match is missing"),
            ([{"match": "[a", "schema_id": "s"}], "match: the pattern"),
        ],
    )
    def test_a_table_that_is_none_is_refused(self, tmp_path: Path, table: object, reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            Routes.load(table, tmp_path)


class TestOneForAll:
    def test_one_schema_takes_every_file(self, tmp_path: Path) -> None:
        settings = write_json(tmp_path / "settings.json", {"title": "t"})
        routes = Routes.single(schema_id="s", settings_path=settings, user={"id": "u"}, development_mode=True)
        route = routes.for_source("any/file.xyz")
        assert route
        assert (route.schema_id, route.settings, route.user) == (
            "s",
            {"title": "t", "developmentMode": True},
            {"id": "u"},
        )

    def test_both_ways_to_name_a_schema_are_refused(self, tmp_path: Path) -> None:
        fields = write_json(tmp_path / "f.json", FIELDS)
        with pytest.raises(ConfigError, match="exactly one"):
            Routes.single(schema_id="s", fields_path=fields)


class TestFromSettings:
    TABLE = '[[routes]]\nmatch = "*.csv"\nfields = "fields.json"\n'

    def routes(self, tmp_path: Path, toml: str = "", **flags: object) -> Routes:
        (tmp_path / "bulkhead.toml").write_text(toml)
        write_json(tmp_path / "fields.json", FIELDS)
        return Routes.of(Settings.load(flags, environ={}, cwd=tmp_path))

    def test_the_table_is_read_relative_to_its_file(self, tmp_path: Path) -> None:
        assert self.routes(tmp_path, self.TABLE).routes[0].fields == tuple(FIELDS)

    def test_a_flag_that_names_a_schema_replaces_the_table(self, tmp_path: Path) -> None:
        [route] = self.routes(tmp_path, self.TABLE, schema_id="s").routes
        assert (route.name, route.schema_id) == ("all", "s")

    def test_a_flag_that_names_a_schema_replaces_fields_in_the_file(self, tmp_path: Path) -> None:
        [route] = self.routes(tmp_path, 'fields_file = "fields.json"\n', schema_id="s").routes
        assert (route.schema_id, route.fields) == ("s", None)

    @pytest.mark.parametrize(
        ("toml", "flags", "reason"),
        [
            ("", {}, "no schema is given"),
            ('schema_id = "s"\n' + TABLE, {}, "both"),
            (TABLE, {"development_mode": True}, "development_mode goes with one schema"),
            (TABLE, {"hooks_file": "h.json"}, "hooks_file goes with one schema"),
        ],
    )
    def test_contradictions_are_refused(self, tmp_path: Path, toml: str, flags: dict[str, object], reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            self.routes(tmp_path, toml, **flags)


class TestEncodings:
    def test_a_route_without_one_is_bound_as_ever_and_another_one_is_another_binding(self) -> None:
        plain = Route(name="r", schema_id="s")
        bindings = {
            plain.binding,
            *(Route(name="r", schema_id="s", encoding=one).binding for one in ("cp1250", "cp932")),
        }
        assert len(bindings) == 3
        assert plain.to_json() == {"name": "r", "match": "**", "schema_id": "s"}

    def test_a_snapshot_keeps_it_and_no_create_shows_it(self) -> None:
        route = Route(name="r", schema_id="s", encoding="cp1250")
        assert Routes.from_json(Routes([route]).to_json()).routes == (route,)
        assert route.request(original_filename="a.csv") == replace(route, encoding=None).request(
            original_filename="a.csv"
        )

    def test_any_name_of_an_encoding_means_the_same(self, tmp_path: Path) -> None:
        text = '[[routes]]\nmatch = "**"\nschema_id = "s"\nencoding = "{}"\n'
        found = {load(text.format(name), tmp_path).routes[0].encoding for name in ("windows-1250", "CP1250", "cp1250")}
        assert found == {"cp1250"}

    @pytest.mark.parametrize(
        ("name", "near"),
        [("cp1520", "cp125"), ("windows1252x", "windows-1252"), ("utf8-mac", "utf"), ("punycode", "")],
    )
    def test_an_unknown_name_is_refused_with_the_nearest_one(self, tmp_path: Path, name: str, near: str) -> None:
        with pytest.raises(ConfigError, match=f"route 1: encoding: no encoding is called '{name}'; .*{near}"):
            load(f'[[routes]]\nmatch = "**"\nschema_id = "s"\nencoding = "{name}"\n', tmp_path)

    def test_the_option_is_for_all_routes_and_the_setting_for_those_without_one(self, tmp_path: Path) -> None:
        (tmp_path / "bulkhead.toml").write_text(
            'encoding = "cp1251"\n[[routes]]\nmatch = "a/**"\nschema_id = "s"\nencoding = "cp1250"\n'
            '[[routes]]\nmatch = "**"\nschema_id = "s"\n'
        )

        def found(**flags: str) -> list[str | None]:
            loaded = Settings.load({"config": tmp_path / "bulkhead.toml", **flags}, environ={}, cwd=tmp_path)
            return [route.encoding for route in Routes.of(loaded).routes]

        assert found() == ["cp1250", "cp1251"]
        assert found(encoding="latin-1") == ["iso8859-1", "iso8859-1"]


class TestPacks:
    TEXT = '[[routes]]\nmatch = "**"\nschema_id = "s"\npack = {}\n'

    @pytest.mark.parametrize(("value", "most"), [('"auto"', 1000), ('"off"', 0), ("40", 40), ('"40"', 40)])
    def test_a_route_says_how_many_of_its_files_travel_together(self, tmp_path: Path, value: str, most: int) -> None:
        (route,) = load(self.TEXT.format(value), tmp_path).routes
        assert route.pack == most
        assert Routes.from_json(Routes([route]).to_json()).routes == (route,)

    def test_files_are_not_sent_again_because_their_route_packs_them(self) -> None:
        plain = Route(name="r", schema_id="s")
        assert replace(plain, pack=40).binding == plain.binding
        assert "pack" not in plain.to_json()

    @pytest.mark.parametrize("value", ["1", "1001", "-3", "true", '""', '"many"', "[2]", "10000000000000", "2.5"])
    def test_what_is_no_number_of_files_is_refused(self, tmp_path: Path, value: str) -> None:
        with pytest.raises(ConfigError, match="route 1: pack: give auto, off, or a number of files from 2 to 1,000"):
            load(self.TEXT.format(value), tmp_path)
