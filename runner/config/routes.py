"""Which schema, settings and hooks an item gets, and why: the first route whose glob matches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from runner import identity
from runner.config.encodings import encoding_of
from runner.config.origins import FILES, WORKING_DIRECTORY, notification_addresses
from runner.config.settings import Settings
from runner.config.units import PACKING_PAGE, parse_pack_size
from runner.errors import ConfigError, ItemRejected
from runner.formatting import shown
from runner.globs import Globs
from runner.models import CreateRequest, Item
from runner.sources.object_versions import unversioned_source

if TYPE_CHECKING:
    from runner.config.origins import Confinement
    from runner.config.settings import LoadedSettings

CONFIG_NAME = "bulkhead.toml"
NO_ROUTE = ItemRejected("no_route", "no route matches this file")
_KEYS = ("name", "match", "schema_id", "fields", "settings", "hooks", "user", "development_mode", "encoding", "pack")
_USER_KEYS = ("id", "name", "email", "companyId", "companyName")
_FILE_KEYS = ("fields", "settings", "hooks")


@dataclass(frozen=True, kw_only=True)
class Route:
    """A glob, and the create parameters of the items that match: exactly one of `schema_id` and `fields`.

    With `schema_id`, `settings` and `hooks` override those of the saved schema; with `fields` they are the
    schema's own. `user` becomes `import_metadata.user` and has at least an `id`. Text files are in `encoding`, by its
    name in Python, and are sent as UTF-8; without one, they are sent as they are. `pack` is how many of its files a
    pack has at most, 0 for none; None leaves it to the run.
    """

    name: str
    match: str = "**"
    schema_id: str | None = None
    fields: tuple[dict[str, Any], ...] | None = None
    settings: dict[str, Any] | None = None
    hooks: dict[str, Any] | None = None
    user: dict[str, Any] | None = None
    encoding: str | None = None
    pack: int | None = None

    @cached_property
    def binding(self) -> str:
        """16 hex digits that change with all of a create but the data, and with how the data is read.

        The route's name, glob, and packs do not count.
        """
        return identity.binding(self._parts())

    @cached_property
    def _globs(self) -> Globs:
        return Globs([self.match])

    def matches(self, source: str) -> bool:
        """Return whether the glob matches an item's source key."""
        return self._globs.matches(source)

    def request(
        self, item: Item | None = None, *, original_filename: str | None = None, initial_data: bytes | None = None
    ) -> CreateRequest:
        """Return the create of one item: exactly one of a file's name and the JSON text of the rows."""
        return CreateRequest(
            schema_id=self.schema_id,
            fields=self.fields,
            settings=self.settings,
            hooks=self.hooks,
            user=self.user,
            original_filename=original_filename,
            initial_data=initial_data,
            source=item.source if item else None,
            batch_id=item.batch_id if item else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that needs no other file."""
        pack = {} if self.pack is None else {"pack": self.pack}
        return {"name": self.name, "match": self.match, **self._parts(), **pack}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Route:
        """Read what `to_json` wrote. Raises ConfigError."""
        try:
            fields = tuple(raw["fields"]) if "fields" in raw else None
            return cls(**{**raw, "fields": fields})
        except TypeError as error:
            raise ConfigError("the batch's record of its routes cannot be read") from error

    def _parts(self) -> dict[str, Any]:
        parts = {
            "schema_id": self.schema_id,
            "fields": list(self.fields) if self.fields is not None else None,
            "settings": self.settings,
            "hooks": self.hooks,
            "user": self.user,
            "encoding": self.encoding,
        }
        return {key: value for key, value in parts.items() if value is not None}


class RoutesOfItems(Protocol):
    """Knows the route of each item."""

    def for_version(self, source: str, version: str, /) -> Route | None:
        """Return the route of an item by its file's name and version, None if it has none."""
        ...


class Routes:
    """Routes in the order in which they are tried."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    def for_source(self, source: str) -> Route | None:
        """Return the first route that matches, None if no route does."""
        for route in self.routes:
            if route.matches(source):
                return route
        return None

    def for_version(self, source: str, version: str) -> Route | None:
        """Return the route of an item by its file's name, without the mark of its version."""
        return self.for_source(unversioned_source(source, version))

    def explain(self, source: str) -> list[tuple[Route, bool]]:
        """Return every route and whether it matches; the first match decides."""
        return [(route, route.matches(source)) for route in self.routes]

    def to_json(self) -> list[dict[str, Any]]:
        """Return a snapshot that needs no other file: fields, settings and hooks are inline."""
        return [route.to_json() for route in self.routes]

    @classmethod
    def from_json(cls, raw: list[dict[str, Any]]) -> Routes:
        """Read what `to_json` wrote. Raises ConfigError."""
        return cls([Route.from_json(route) for route in raw])

    @classmethod
    def load(
        cls, table: object, base_dir: Path, *, file: str = CONFIG_NAME, within: Confinement | None = None
    ) -> Routes:
        """Read the `[[routes]]` of a configuration file; paths in it are relative to `base_dir`, files are `within`.

        Raises ConfigError.
        """
        if not isinstance(table, list) or not table:
            raise ConfigError(f"{file}: routes must be one or more [[routes]] tables")
        confined = dict.fromkeys(_FILE_KEYS, within) if within else {}
        return cls(
            [_route(raw, base_dir, number=n, file=file, within=confined) for n, raw in enumerate(table, start=1)]
        )

    @classmethod
    def single(
        cls,
        *,
        schema_id: str | None = None,
        fields_path: Path | None = None,
        settings_path: Path | None = None,
        hooks_path: Path | None = None,
        user: dict[str, Any] | None = None,
        development_mode: bool | None = None,
        within: Mapping[str, Confinement] = MappingProxyType({}),
    ) -> Routes:
        """Return the one route that every item takes; `within` limits files of a part. Raises ConfigError."""
        raw = {
            "name": "all",
            "match": "**",
            "schema_id": schema_id,
            "fields": str(fields_path) if fields_path else None,
            "settings": str(settings_path) if settings_path else None,
            "hooks": str(hooks_path) if hooks_path else None,
            "user": user,
            "development_mode": development_mode,
        }
        given = {key: value for key, value in raw.items() if value is not None}
        return cls([_Parser("the schema for all files", Path(), within).route(given, default_name="all")])

    @classmethod
    def of(cls, loaded: LoadedSettings) -> Routes:
        """Return the routes that the settings ask for: one schema for all, or the table. Raises ConfigError.

        The setting `encoding` is that of routes without one; given as an option, it is that of all routes.
        """
        routes, encoding = cls._given(loaded), loaded.settings.encoding
        is_option = loaded.origin("encoding") == "flag"
        return cls(
            [replace(one, encoding=encoding) if encoding and (is_option or not one.encoding) else one for one in routes]
        )

    @classmethod
    def _given(cls, loaded: LoadedSettings) -> tuple[Route, ...]:
        settings = loaded.settings
        if settings.routes is not None and settings.schema_id is None and settings.fields_file is None:
            _refuse_overrides(settings)
            file = loaded.config_file or Path(CONFIG_NAME)
            within = loaded.confinement("routes")
            return cls.load(list(settings.routes), file.parent, file=file.name, within=within).routes
        if settings.routes is not None:
            raise ConfigError(f"{CONFIG_NAME} gives both [[routes]] and one schema for all", hint="keep one of them")
        if settings.schema_id is None and settings.fields_file is None:
            raise ConfigError(
                "no schema is given",
                hint=f"give --schema-id ID, --fields FILE, or [[routes]] in {CONFIG_NAME}",
            )
        return cls.single(
            schema_id=settings.schema_id,
            fields_path=settings.fields_file,
            settings_path=settings.settings_file,
            hooks_path=settings.hooks_file,
            development_mode=settings.development_mode,
            within={key: within for name, key in FILES.items() if (within := loaded.confinement(name))},
        ).routes


def _refuse_overrides(settings: Settings) -> None:
    for name in ("settings_file", "hooks_file", "development_mode"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"{name} goes with one schema for all, not with [[routes]]", hint="set it in the routes")


def _route(raw: object, base_dir: Path, *, number: int, file: str, within: Mapping[str, Confinement]) -> Route:
    parser = _Parser(f"{file}, route {number}", base_dir, within)
    if not isinstance(raw, Mapping):
        raise parser.error("it must be a table")
    if "match" not in raw:
        raise parser.error("match is missing", hint='add a glob, such as match = "orders/**/*.csv"')
    return parser.route(raw, default_name=f"route {number}")


class _Parser:
    """Reads one route; every error begins with the route's place in the file. `within` limits files by their key."""

    def __init__(self, where: str, base_dir: Path, within: Mapping[str, Confinement]) -> None:
        self._where = where
        self._base_dir = base_dir
        self._within = within

    def error(self, reason: str, *, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self._where}: {reason}", hint=hint)

    def route(self, raw: Mapping[str, Any], *, default_name: str) -> Route:
        self._known_keys(raw, _KEYS, within="")
        if ("schema_id" in raw) == ("fields" in raw):
            both = "schema_id" in raw
            raise self.error(f"give exactly one of schema_id and fields; {'both are' if both else 'neither is'} given")
        inline = self._fields(raw["fields"]) if "fields" in raw else {}
        settings = self._object(raw.get("settings", inline.get("settings")), key="settings")
        self._refuse_notifications(settings, key="settings" if "settings" in raw else "fields")
        return Route(
            name=self._text(raw.get("name", default_name), key="name"),
            match=self._glob(raw["match"]),
            schema_id=self._text(raw["schema_id"], key="schema_id") if "schema_id" in raw else None,
            fields=inline.get("fields"),
            settings=self._with_mode(settings, raw.get("development_mode")),
            hooks=self._object(raw.get("hooks", inline.get("hooks")), key="hooks"),
            user=self._user(raw.get("user")),
            encoding=self._encoding(raw.get("encoding")),
            pack=self._pack(raw.get("pack")),
        )

    def _pack(self, value: object) -> int | None:
        try:
            return None if value is None else parse_pack_size(value)
        except ValueError as error:
            raise self.error(f"pack: {error}", hint=PACKING_PAGE) from None

    def _encoding(self, value: object) -> str | None:
        try:
            return None if value is None else encoding_of(value)
        except ValueError as error:
            raise self.error(f"encoding: {error}") from None

    def _refuse_notifications(self, settings: dict[str, Any] | None, *, key: str) -> None:
        if (within := self._within.get(key)) and (found := notification_addresses(settings)):
            raise self.error(
                f"settings: {found[0]} is a notification address, which is not read from a file that is found in "
                f"{WORKING_DIRECTORY}",
                hint=f"if it is right, {within.line}",
            )

    def _known_keys(self, raw: Mapping[str, Any], known: Sequence[str], *, within: str) -> None:
        for key in raw:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
                if not near and str(key).replace("-", "_") in Settings.model_fields:
                    hint = f"{key} is a setting for all routes: write it above the first line with [ ]"
                raise self.error(f"{within}the key {key} is not known", hint=hint)

    def _text(self, value: object, *, key: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{key} must be a text that is not empty")
        return value

    def _glob(self, value: object) -> str:
        pattern = self._text(value, key="match")
        try:
            Globs([pattern])
        except ConfigError as error:
            raise self.error(f"match: {error}", hint=error.hint) from error
        return pattern

    def _fields(self, value: object) -> dict[str, Any]:
        """Return {fields, settings?, hooks?} of an inline schema: an array of fields, or an object that has them."""
        found = self._json_file(value, key="fields") if isinstance(value, str) else self._plain(value, key="fields")
        place = f"fields: {value}" if isinstance(value, str) else "fields"
        schema = found if isinstance(found, dict) else {"fields": found}
        if "fields" not in schema:
            raise self.error(f"{place} is neither an array of fields nor an object with fields")
        self._known_keys(schema, (*_FILE_KEYS, "name", "id"), within=f"{place}: ")
        return {**schema, "fields": self._checked_fields(schema["fields"], place=place)}

    def _checked_fields(self, fields: object, *, place: str) -> tuple[dict[str, Any], ...]:
        if not isinstance(fields, list) or not fields:
            raise self.error(f"{place} must be an array with at least one field")
        seen: set[str] = set()
        for number, field in enumerate(fields, start=1):
            if not isinstance(field, dict):
                raise self.error(f"{place}: field {number} is not an object")
            key = self._text(field.get("key"), key=f"{place}: the key of field {number}")
            if key in seen:
                raise self.error(f"{place}: field {number} repeats the key {key}")
            seen.add(key)
        return tuple(fields)

    def _object(self, value: object, *, key: str) -> dict[str, Any] | None:
        if value is None:
            return None
        found = self._json_file(value, key=key) if isinstance(value, str) else self._plain(value, key=key)
        if not isinstance(found, dict) and isinstance(value, str):
            raise self.error(f"{key}: {value} does not hold a JSON object")
        if not isinstance(found, dict):
            raise self.error(f"{key} must be an object, or the path of a JSON file that holds one")
        return found

    def _json_file(self, value: str, *, key: str) -> object:
        path = self._base_dir / value
        try:
            path = self._inside(path, value, key=key)
            return orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            at = f"line {error.lineno}, column {error.colno}"
            raise self.error(f"{key}: {value} is not valid JSON: {at}: {error.msg}") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            hint = f"looked for {shown(str(path))}"
            if not value.isprintable():
                hint += "; in a TOML text, a backslash is an escape: write / or \\\\, or use single quotes"
            raise self.error(f"{key}: {shown(value)} cannot be read: {reason}", hint=hint) from error

    def _inside(self, path: Path, value: str, *, key: str) -> Path:
        """Return the path, or its end without links if it has to be in a directory. Raises ConfigError, OSError."""
        if (within := self._within.get(key)) is None:
            return path
        end = Path(os.path.realpath(path))
        if not within.allows(end):
            raise self.error(f"{key}: {value} is outside {WORKING_DIRECTORY}", hint=f"if it is right, {within.line}")
        return end

    def _plain(self, value: object, *, key: str) -> object:
        """Return a value after a round trip through JSON, so that a snapshot of it is the same."""
        try:
            return orjson.loads(orjson.dumps(value))
        except (TypeError, ValueError) as error:
            raise self.error(f"{key} holds a value that JSON cannot") from error

    def _with_mode(self, settings: dict[str, Any] | None, mode: object) -> dict[str, Any] | None:
        if mode is None:
            return settings
        if not isinstance(mode, bool):
            raise self.error("development_mode must be true or false")
        if (settings or {}).get("developmentMode", mode) != mode:
            raise self.error("development_mode contradicts developmentMode in settings")
        return {**(settings or {}), "developmentMode": mode}

    def _user(self, value: object) -> dict[str, Any] | None:
        if value is None:
            return None
        user = self._plain(value, key="user")
        if not isinstance(user, dict):
            raise self.error("user must be a table")
        self._known_keys(user, _USER_KEYS, within="user: ")
        if "id" not in user:
            raise self.error("user needs an id")
        for key, text in user.items():
            self._text(text, key=f"user.{key}")
        return user
