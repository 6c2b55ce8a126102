"""The fields, settings and user that an import goes by, which step hooks may change on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from sandbox.engine.errors import HookError
from sandbox.engine.problems import schema_problems
from sandbox.engine.schema import Field, Settings, read_fields, read_settings
from sandbox.hooks import AddedField, Orders


@dataclass
class Plan:
    """What an import goes by; step hooks may change it, with effect on what is still to come.

    `about` is what its metadata say of it from the start.
    """

    fields: list[Field]
    settings: Settings
    given_settings: Mapping[str, Any]
    user: dict[str, Any] | None
    about: dict[str, Any]

    @classmethod
    def of(cls, schema: Mapping[str, Any], *, about: dict[str, Any], user: Mapping[str, Any] | None) -> Self:
        given = schema.get("settings") or {}
        return cls(read_fields(schema), read_settings(given), given, dict(user) if user else None, about)

    def take(self, orders: Orders) -> None:
        """Change the fields, the user, the header row and the development mode as asked. Raises HookError."""
        for added in orders.added_fields:
            if problems := schema_problems({"fields": [added.field]}):
                raise HookError(f"A hook added a field that cannot be used: {problems[0][0]}: {problems[0][1]}")
            self._add(added)
        self.fields = [each for each in self.fields if each.key not in orders.removed_fields]
        if orders.user is not None:
            self.user = dict(orders.user)
        if orders.development_mode is not None:
            self.given_settings = {**self.given_settings, "developmentMode": orders.development_mode}
            self.settings = replace(self.settings, max_rows=read_settings(self.given_settings).max_rows)
        if orders.header_row_given:
            self.settings = replace(self.settings, header_row=orders.header_row)

    def _add(self, added: AddedField) -> None:
        """In front of or behind the field that was named, else at the end; a known key's field is replaced."""
        made = read_fields({"fields": [added.field]})[0]
        keys = [each.key for each in self.fields]
        if made.key in keys:
            self.fields[keys.index(made.key)] = made
        elif added.before in keys:
            self.fields.insert(keys.index(added.before), made)
        elif added.after in keys:
            self.fields.insert(keys.index(added.after) + 1, made)
        else:
            self.fields.append(made)
