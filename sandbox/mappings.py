"""What imports have taught of headers: which field each went to, by import identifier."""

from collections.abc import Mapping
from typing import Any

from sandbox.imports import Import


class Mappings:
    """Header -> field key of the SUCCESSFUL imports with `autoMapHeaders` that share an `importIdentifier`.

    The latest import to end goes before earlier ones; what a deleted one has taught stays.
    """

    def __init__(self) -> None:
        self._by_identifier: dict[str, dict[str, str]] = {}

    def learn(self, found: Import) -> None:
        """Take over the mapping of an import that has ended well; others teach nothing."""
        identifier = _identifier(found.schema)
        if identifier and found.finished and found.final_status == "SUCCESSFUL":
            fields = found.finished.outcome.metadata.get("fields") or {}
            known = self._by_identifier.setdefault(identifier, {})
            known.update({header: key for key, mapping in fields.items() for header in _headers(mapping)})

    def known(self, schema: Mapping[str, Any]) -> dict[str, str]:
        """What an import by this schema is to be matched with; nothing unless its settings ask for it."""
        return dict(self._by_identifier.get(_identifier(schema), {}))


def _identifier(schema: Mapping[str, Any]) -> str:
    """The identifier to remember headers under; empty where the settings do not ask for it."""
    settings = schema.get("settings") or {}
    is_wanted = {**settings, **(settings.get("matchingStep") or {})}.get("autoMapHeaders") is True
    return str(settings.get("importIdentifier") or "") if is_wanted else ""


def _headers(mapping: Mapping[str, Any]) -> list[str]:
    names = mapping.get("fileHeaders") or [mapping.get("fileHeader")]
    return [name.strip() for name in names if name and name.strip()]
