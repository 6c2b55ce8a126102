"""The imports of an account, and which of them wait for what."""

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


@dataclass
class Account:
    """What a reset throws away.

    `waiting` are the imports whose run is still to come, `unannounced` those whose end is still to be told,
    `uploaded` the ids whose upload URL holds an object. `definitions` are the latest schemas, by their text,
    `mappings` what the imports that have ended taught.
    """

    imports: dict[str, Import] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)
    waiting: dict[str, Import] = field(default_factory=dict)
    unannounced: dict[str, Import] = field(default_factory=dict)
    poll_logs: dict[str, SlidingLog] = field(default_factory=dict)
    definitions: dict[bytes, Mapping[str, Any]] = field(default_factory=dict)
    mappings: Mappings = field(default_factory=Mappings)

    def shared(self, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """An equal definition that other imports have already: thousands of imports have few different ones."""
        if len(self.definitions) >= DEFINITIONS_MAX_COUNT:
            self.definitions.clear()
        return self.definitions.setdefault(orjson.dumps(definition), definition)

    def poll_log(self, import_id: str, rate: Rate) -> SlidingLog:
        """The polls of an import; a new log where there is none."""
        if import_id not in self.poll_logs:
            self.poll_logs[import_id] = SlidingLog(rate)
        return self.poll_logs[import_id]

    def next_due_at(self) -> float | None:
        """When the next run's or announcement's time comes; None when nothing waits."""
        starts = (found.arrived_at for found in self.waiting.values())
        ends = (found.ended_at for found in self.unannounced.values())
        return min((at for at in chain(starts, ends) if at is not None), default=None)

    def readmit(self, saved: Sequence[Import]) -> None:
        """Take imports back as they were saved; one whose run had not ended waits for another."""
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
        """An import has ended, or left its review; `announces` to those who want to hear of it."""
        self.mappings.learn(found)
        if announces:
            self.unannounced[found.id] = found

    def forget(self, import_id: str) -> None:
        for known in (self.imports, self.waiting, self.unannounced, self.poll_logs):
            known.pop(import_id, None)


def _identifier(schema: Mapping[str, Any]) -> str:
    """The identifier to remember headers under; empty where the settings do not ask for it."""
    settings = schema.get("settings") or {}
    is_wanted = {**settings, **(settings.get("matchingStep") or {})}.get("autoMapHeaders") is True
    return str(settings.get("importIdentifier") or "") if is_wanted else ""


def _headers(mapping: Mapping[str, Any]) -> list[str]:
    names = mapping.get("fileHeaders") or [mapping.get("fileHeader")]
    return [name.strip() for name in names if name and name.strip()]
