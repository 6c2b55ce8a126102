"""The account's saved schemas."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.creation import checked_fields, checked_object, checked_settings
from sandbox.problems import invalid, not_found


class SavedSchemas:
    """Saved schemas by id; every method returns the API's answer and raises ApiProblem 400 or 404."""

    def __init__(self, preloaded: Iterable[Mapping[str, Any]], *, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.by_id: dict[str, dict[str, Any]] = {}
        for schema in preloaded:
            schema_id = str(schema["id"])
            self.by_id[schema_id] = checked_schema(schema, schema_id=schema_id)

    def all(self) -> list[dict[str, Any]]:
        return list(self.by_id.values())

    def get(self, schema_id: str) -> dict[str, Any]:
        if schema_id not in self.by_id:
            raise not_found()
        return self.by_id[schema_id]

    def create(self, body: object) -> dict[str, Any]:
        schema = checked_schema(body, schema_id=self._new_id())
        self.by_id[schema["id"]] = schema
        return schema

    def replace(self, schema_id: str, body: object) -> dict[str, Any]:
        """Imports that exist keep the schema they were created with."""
        self.get(schema_id)
        self.by_id[schema_id] = checked_schema(body, schema_id=schema_id)
        return self.by_id[schema_id]

    def delete(self, schema_id: str) -> None:
        self.get(schema_id)
        del self.by_id[schema_id]


def checked_schema(body: object, *, schema_id: str) -> dict[str, Any]:
    """The schema in `body` with every key present. Raises ApiProblem 400."""
    given = checked_object(body, name="non_field_errors")
    if not isinstance(given.get("name"), str) or not given["name"]:
        raise invalid("name", "This field is required.")
    return {
        "id": schema_id,
        "name": given["name"],
        "fields": checked_fields(given.get("fields")),
        "settings": checked_settings(given.get("settings") or {}),
        "hooks": checked_object(given.get("hooks") or {}, name="hooks"),
    }
