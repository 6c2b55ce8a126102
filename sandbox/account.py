"""The imports of an account, which of them wait, and the headers that they have mapped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from sandbox.imports import Import
from sandbox.quotas import Rate, SlidingLog

DEFINITIONS_MAX_COUNT = 1000


class Mappings:
    """Header -> field key of the SUCCESSFUL imports with `autoMapHeaders` that share an `importIdentifier`.

    The import that ended last wins over earlier ones. Mappings of deleted imports stay.
    """

    def __init__(self) -> None:
        self._by_identifier: dict[str, dict[str, str]] = {}

    def learn(self, found: Import) -> None:
        """Remember the mapping of a SUCCESSFUL import; ignore others."""
        identifier = _identifier(found.schema)
        if identifier and found.finished and found.final_status == "SUCCESSFUL":
            fields = found.finished.outcome.metadata.get("fields") or {}
            known = self._by_identifier.setdefault(identifier, {})
            known.update({header: key for key, mapping in fields.items() for header in _headers(mapping)})

    def known(self, schema: Mapping[str, Any]) -> dict[str, str]:
        """Return header -> field key for an import by this schema; empty unless its settings ask for it."""
        return dict(self._by_identifier.get(_identifier(schema), {}))


@dataclass
class Account:
    """What a reset discards.

    `waiting` are the imports that wait for their run, and `unannounced` those whose end no webhook has reported.
    `uploaded` are the ids whose upload URL holds an object. `definitions` are recent schemas by their JSON text, and
    `mappings` are those of ended imports.
    """

    imports: dict[str, Import] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)
    waiting: dict[str, Import] = field(default_factory=dict)
    unannounced: dict[str, Import] = field(default_factory=dict)
    poll_logs: dict[str, SlidingLog] = field(default_factory=dict)
    definitions: dict[bytes, Mapping[str, Any]] = field(default_factory=dict)
    mappings: Mappings = field(default_factory=Mappings)

    def shared(self, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an equal definition that other imports hold already: thousands of imports share a few."""
        if len(self.definitions) >= DEFINITIONS_MAX_COUNT:
            self.definitions.clear()
        return self.definitions.setdefault(orjson.dumps(definition), definition)

    def poll_log(self, import_id: str, rate: Rate) -> SlidingLog:
        """Return the log of an import's polls, made at the first one."""
        if import_id not in self.poll_logs:
            self.poll_logs[import_id] = SlidingLog(rate)
        return self.poll_logs[import_id]

    def next_due_at(self) -> float | None:
        """Return when the next run or announcement is due; None if nothing waits."""
        starts = (found.arrived_at for found in self.waiting.values())
        ends = (found.ended_at for found in self.unannounced.values())
        return min((at for at in chain(starts, ends) if at is not None), default=None)

    def readmit(self, saved: Sequence[Import]) -> None:
        """Take saved imports back; one whose run did not end waits for another run."""
        for found in saved:
            self._readmit(found)
        for found in sorted(saved, key=lambda found: found.ended_at or 0.0):
            self.mappings.learn(found)

    def _readmit(self, found: Import) -> None:
        self.imports[found.id] = found
        if found.upload is None:
            return
        self.uploaded.add(found.id)
        if found.finished is None:
            self.waiting[found.id] = found
        elif found.announced != found.final_status:
            self.unannounced[found.id] = found

    def ended(self, found: Import, *, announces: bool = True) -> None:
        """Record that an import ended or left its review; `announces` if webhooks report it."""
        self.mappings.learn(found)
        if announces:
            self.unannounced[found.id] = found

    def forget(self, import_id: str) -> None:
        for known in (self.imports, self.waiting, self.unannounced, self.poll_logs):
            known.pop(import_id, None)


def _identifier(schema: Mapping[str, Any]) -> str:
    """Return the identifier to remember headers under; empty if the settings do not ask for it."""
    settings = schema.get("settings") or {}
    is_wanted = {**settings, **(settings.get("matchingStep") or {})}.get("autoMapHeaders") is True
    return str(settings.get("importIdentifier") or "") if is_wanted else ""


def _headers(mapping: Mapping[str, Any]) -> list[str]:
    names = mapping.get("fileHeaders") or [mapping.get("fileHeader")]
    return [name.strip() for name in names if name and name.strip()]
