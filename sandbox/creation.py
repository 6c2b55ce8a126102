"""The body of a create: what is valid, and which schema the import runs with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from sandbox.problems import ApiProblem, invalid, not_found, parse_json
from sandbox.schema_validation import check_definition, without_nulls

INITIAL_DATA_MAX_BYTES = 15 * 1024 * 1024
_DEFINITION = ("fields", "settings", "hooks")
_USER_KEYS = {"id", "name", "email", "companyId", "companyName"}


@dataclass(frozen=True, kw_only=True)
class CreateRequest:
    """A valid create: exactly one of `original_filename` and `rows` is set; `rows_json` is the rows' compact text."""

    schema_id: str | None
    schema: Mapping[str, Any]
    original_filename: str | None
    rows: list[Any] | None
    rows_json: bytes
    user: Mapping[str, Any] | None


def parse_create(body: object, *, schemas: Mapping[str, Mapping[str, Any]]) -> CreateRequest:
    """Check `body` (a decoded JSON value, or its bytes) against the saved `schemas`.

    Raises ApiProblem: 400 for an invalid body, 404 for an unknown schema.
    """
    given = _given(parse_json(body) if isinstance(body, bytes) else body)
    check_definition({part: given[part] for part in _DEFINITION if part in given})
    _exactly_one(given, "schema_id", "fields")
    _exactly_one(given, "original_filename", "initial_data")
    rows = _rows(given["initial_data"]) if "initial_data" in given else None
    rows_json = b"" if rows is None else _rows_json(rows)
    filename = _filename(given["original_filename"]) if rows is None else None
    user = _user(given.get("import_metadata"))
    schema_id = given.get("schema_id")
    return CreateRequest(
        schema_id=schema_id,
        schema=_bound_schema(given, schemas=schemas),
        original_filename=filename,
        rows=rows,
        rows_json=rows_json,
        user=user,
    )


def checked_object(value: object, *, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(name, "Expected an object.")
    return value


def _given(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        _reject(f"Invalid data. Expected a dictionary, but got {type(body).__name__}.")
    return {key: value for key, value in body.items() if value is not None}


def _exactly_one(given: Mapping[str, Any], first: str, second: str) -> None:
    if (first in given) == (second in given):
        _reject(f"Provide exactly one of `{first}` and `{second}`.")


def _rows(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise invalid("initial_data", "Expected a list of rows.")
    if not (all(isinstance(row, dict) for row in value) or all(isinstance(row, list) for row in value)):
        raise invalid("initial_data", "Rows must all be objects or all be arrays.")
    return value


def _rows_json(rows: list[Any]) -> bytes:
    text = orjson.dumps(rows)
    if len(text) > INITIAL_DATA_MAX_BYTES:
        raise invalid("initial_data", "The data is larger than 15 MB.")
    return text


def _filename(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise invalid("original_filename", "This field may not be blank.")
    return value


def _user(metadata: object) -> dict[str, Any] | None:
    if metadata is None:
        return None
    user = checked_object(metadata, name="import_metadata").get("user")
    if user is None:
        return None
    if not isinstance(user, dict):
        raise ApiProblem(400, {"import_metadata": {"user": ["Expected an object."]}})
    if not isinstance(user.get("id"), str):
        raise ApiProblem(400, {"import_metadata": {"user": {"id": ["This field is required."]}}})
    if unknown := sorted(set(user) - _USER_KEYS):
        raise ApiProblem(400, {"import_metadata": {"user": {unknown[0]: ["Unknown key."]}}})
    return user


def _bound_schema(given: Mapping[str, Any], *, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an import's schema: a key of settings or hooks in the body replaces the saved one; null removes it."""
    if "fields" in given:
        saved: Mapping[str, Any] = {"fields": given["fields"], "settings": {}, "hooks": {}}
    else:
        saved = _saved(given["schema_id"], schemas=schemas)
    return {
        "fields": [without_nulls(field) for field in saved["fields"]],
        "settings": without_nulls({**saved["settings"], **given.get("settings", {})}),
        "hooks": without_nulls({**saved["hooks"], **given.get("hooks", {})}),
    }


def _saved(schema_id: object, *, schemas: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    saved = schemas.get(schema_id) if isinstance(schema_id, str) else None
    if saved is None:
        raise not_found()
    return saved


def _reject(sentence: str) -> NoReturn:
    raise ApiProblem(400, {"non_field_errors": [sentence]})
