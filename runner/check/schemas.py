"""Which schema each route's imports run with: inline fields, or a saved schema with the route's overrides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runner.config.route_remarks import RouteRemark, remarks_of_routes, remarks_of_saved
from runner.errors import ConfigError, RequestInvalid, SchemaNotFound

if TYPE_CHECKING:
    from runner.check.engine import Engine
    from runner.config.routes import Route, Routes

SavedSchemas = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Reads a saved schema by its id. Raises SchemaNotFound."""


@dataclass(frozen=True, kw_only=True)
class BoundRoute:
    """A route and the schema its imports run with.

    If `schema` is None, `missing` says that it does not exist, or `refusal` why it cannot be used: `refusal_code` is
    `create_refused` if the vendor would refuse it, `schema_unusable` if only this engine does. `remarks` are about
    names that no document of the vendor has, in the route and, for the first route that names it, in a saved schema.
    """

    route: Route
    schema: Mapping[str, Any] | None
    refusal: str = ""
    refusal_code: str = ""
    missing: SchemaNotFound | None = None
    remarks: tuple[RouteRemark, ...] = ()

    @property
    def behavior(self) -> str:
        """What the import does with invalid rows, in the vendor's words."""
        settings = (self.schema or {}).get("settings") or {}
        implied = "INCLUDE_INVALID_ROWS" if settings.get("allowInvalidSubmit") else "REMOVE_INVALID_ROWS"
        return str(settings.get("invalidDataBehavior") or implied)

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The field definitions by key."""
        return {str(field.get("key")): field for field in (self.schema or {}).get("fields") or ()}


_Known = dict[str, Mapping[str, Any] | RequestInvalid | SchemaNotFound]


async def bind_routes(routes: Routes, engine: Engine, saved: SavedSchemas) -> list[BoundRoute]:
    """Bind every route, reading each saved schema once. Raises TransientError, AuthRefused."""
    known: _Known = {}
    bound = []
    for route in routes.routes:
        remarks = remarks_of_routes([route])
        if route.schema_id is not None and route.schema_id not in known:
            known[route.schema_id], schema = await _read(route.schema_id, engine, saved)
            remarks += remarks_of_saved(route.schema_id, schema, route=route.name)
        bound.append(replace(_bound(route, engine, known), remarks=tuple(remarks)))
    return bound


def schemas_in(directory: Path) -> SavedSchemas:
    """Read saved schemas from the JSON files of a directory, as `bulkhead sandbox --schemas` does.

    Raises ConfigError if there is no such directory, or a file in it cannot be used.
    """
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}", hint="--schemas names a directory of schema files")
    by_id = dict(_schema_file(path) for path in sorted(directory.glob("*.json")))

    async def read(schema_id: str) -> Mapping[str, Any]:
        if schema_id not in by_id:
            raise SchemaNotFound(
                f"{directory} has no schema with the id {schema_id}",
                schema_id=schema_id,
                hint=f'save it there as a JSON file with "id": "{schema_id}", or leave out --schemas to ask the vendor',
            )
        return by_id[schema_id]

    return read


def no_schemas() -> SavedSchemas:
    """Return a reader that finds no schema: there is neither a directory nor a license key to ask the vendor with."""

    async def read(schema_id: str) -> Mapping[str, Any]:
        raise SchemaNotFound(
            f"the saved schema {schema_id} cannot be read without a license key",
            schema_id=schema_id,
            hint="set DROMO_LICENSE_KEY, or name a directory of schema files: bulkhead check SOURCE --schemas DIR",
        )

    return read


def _schema_file(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        schema = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(schema, dict) or "id" not in schema:
        raise ConfigError(f"{path} is not a schema: it must be an object with an id")
    return str(schema["id"]), schema


async def _read(
    schema_id: str, engine: Engine, saved: SavedSchemas
) -> tuple[Mapping[str, Any] | RequestInvalid | SchemaNotFound, Mapping[str, Any]]:
    """Return the saved schema as the engine uses it, or the reason why there is none; and as it is saved."""
    schema: Mapping[str, Any] = {}
    try:
        schema = await saved(schema_id)
        return engine.saved(schema), schema
    except (RequestInvalid, SchemaNotFound) as error:
        return error, schema


def _bound(route: Route, engine: Engine, known: _Known) -> BoundRoute:
    saved = known.get(route.schema_id or "")
    if isinstance(saved, SchemaNotFound):
        return BoundRoute(route=route, schema=None, missing=saved)
    if isinstance(saved, RequestInvalid):
        sentence = f"this engine cannot use the saved schema {route.schema_id}: {saved}"
        return BoundRoute(route=route, schema=None, refusal=sentence, refusal_code="schema_unusable")
    try:
        schema = engine.bind(route.request().document(), {route.schema_id or "": saved} if saved is not None else {})
    except RequestInvalid as error:
        return BoundRoute(route=route, schema=None, refusal=str(error), refusal_code="create_refused")
    return BoundRoute(route=route, schema=schema)
