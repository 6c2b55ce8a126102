"""The account's saved schemas."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from sandbox.creation import checked_object
from sandbox.engine.refusals import refusals
from sandbox.journal import Journal, NoJournal
from sandbox.problems import invalid, not_found
from sandbox.schema_validation import check_definition, without_nulls


class SavedSchemas:
    """Saved schemas by id. Every method returns the API's answer and raises ApiProblem 400 or 404."""

    def __init__(
        self, preloaded: Iterable[Mapping[str, Any]], *, new_id: Callable[[], str], journal: Journal | None = None
    ) -> None:
        self._new_id = new_id
        self._journal = journal or NoJournal()
        given = (checked_schema(schema, schema_id=str(schema["id"]), is_saved=True) for schema in preloaded)
        self.by_id: dict[str, dict[str, Any]] = {schema["id"]: schema for schema in given}

    def restore(self, saved: Iterable[dict[str, Any]], *, preloaded: Mapping[str, str], journal: Journal) -> None:
        """Continue with the `saved` schemas. A schema given at this start wins only if it is new or changed since."""
        self._journal = journal
        given, self.by_id = self.by_id, {schema["id"]: schema for schema in saved}
        for schema_id, schema in given.items():
            digest = _digest(schema)
            if preloaded.get(schema_id) != digest:
                self.by_id[schema_id] = schema
                journal.schema_changed(schema, given=digest)

    def all(self) -> list[dict[str, Any]]:
        return list(self.by_id.values())

    def get(self, schema_id: str) -> dict[str, Any]:
        if schema_id not in self.by_id:
            raise not_found()
        return self.by_id[schema_id]

    def title(self, schema_id: str | None) -> str:
        """Return how people know a schema: by name and id, by id alone if it was deleted; None is an inline schema."""
        if schema_id is None:
            return "Inline schema"
        name = self.by_id.get(schema_id, {}).get("name", schema_id)
        return f"Schema {schema_id}" if name == schema_id else f"Schema {name} ({schema_id})"

    def create(self, body: object) -> dict[str, Any]:
        """Save a new schema. Its name must be new, too."""
        made = checked_schema(body, schema_id=self._new_id())
        self._refuse_used_name(made)
        return self._keep(made)

    def replace(self, schema_id: str, body: object) -> dict[str, Any]:
        """Replace a schema; existing imports keep the one that they were created with. It may keep its name."""
        earlier = self.get(schema_id)
        made = checked_schema(body, schema_id=schema_id)
        if _plain(made["name"]) != _plain(earlier["name"]):
            self._refuse_used_name(made)
        return self._keep(made)

    def delete(self, schema_id: str) -> None:
        self.get(schema_id)
        del self.by_id[schema_id]
        self._journal.schema_gone(schema_id)

    def warnings(self) -> list[str]:
        """Return a sentence for everything that is saved already and that the vendor would refuse to save."""
        by_name: dict[str, list[str]] = {}
        for schema in self.by_id.values():
            by_name.setdefault(_plain(schema["name"]), []).append(schema["id"])
        shared = [
            f'the saved schemas {", ".join(ids)} have the same name, "{name}"; the vendor refuses a name that exists'
            for name, ids in by_name.items()
            if len(ids) > 1
        ]
        return shared + [
            f"the vendor refuses the saved schema {schema_id}: {place}: {sentence}"
            for schema_id, schema in self.by_id.items()
            for place, sentence in refusals(schema)
        ]

    def _refuse_used_name(self, made: Mapping[str, Any]) -> None:
        if any(_plain(saved["name"]) == _plain(made["name"]) for saved in self.by_id.values()):
            raise invalid("name", "A schema with this name already exists.")

    def _keep(self, schema: dict[str, Any]) -> dict[str, Any]:
        self.by_id[schema["id"]] = schema
        self._journal.schema_changed(schema)
        return schema


def checked_schema(body: object, *, schema_id: str, is_saved: bool = False) -> dict[str, Any]:
    """Return the schema in `body` with every part present and without nulls. Raises ApiProblem 400.

    One that `is_saved` already may have what is refused only when a schema is saved.
    """
    given = checked_object(body, name="non_field_errors")
    if not isinstance(given.get("name"), str) or not given["name"]:
        raise invalid("name", "This field is required.")
    definition: dict[str, Any] = {
        "fields": given.get("fields"),
        "settings": {} if given.get("settings") is None else given["settings"],
        "hooks": {} if given.get("hooks") is None else given["hooks"],
    }
    check_definition(definition, is_saved=is_saved)
    return {
        "id": schema_id,
        "name": given["name"],
        "fields": [without_nulls(field) for field in definition["fields"]],
        "settings": without_nulls(definition["settings"]),
        "hooks": without_nulls(definition["hooks"]),
    }


def _plain(name: str) -> str:
    """Return a name as it is compared: as Django REST framework keeps it, without blanks around it."""
    return name.strip()


def _digest(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)).hexdigest()
