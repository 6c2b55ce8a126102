"""JsonImports: the imports of JSON creates in the vendor's list, which no tag tells apart.

Documents do not say how the list shows them: without a name, or with one that the vendor gives. The imports of answered
creates show it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.dromo.listing import CLOCK_MARGIN, imports_since
from runner.errors import ListUnusable
from runner.models import Item, ItemKind, RemoteImport, tag_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from runner.ledger.protocol import Ledger
    from runner.protocols import ImportsApi

ADOPTED = "adopted: the only import the lost create can have made"
"""Reason of the move that adopts an import after a lost response; such an import proves nothing about others."""

_MOST_LISTS = 10
_ENOUGH_SAMPLES = 50
_MOST_LOOKUPS = 2000
_VARIABLE = re.compile(r"[0-9a-fA-F]{8,}|\d+")


@dataclass(frozen=True, slots=True)
class Sample:
    """An answered JSON create: its item, and its import as the list shows it."""

    item: Item
    remote: RemoteImport

    @property
    def date_is_early(self) -> bool:
        """Return whether the import is dated before its create, which only clocks that disagree explain."""
        made_at, intent_at = self.remote.created_at, self.item.intent_at
        return made_at is not None and intent_at is not None and made_at < intent_at - CLOCK_MARGIN

    @property
    def date_is_expected(self) -> bool:
        """Return whether the import's date is close to the vendor's time at the create."""
        made_at, intent_at = self.remote.created_at, self.item.intent_at
        return made_at is not None and intent_at is not None and abs(made_at - intent_at) <= CLOCK_MARGIN


@dataclass(frozen=True, slots=True)
class Seen:
    """What complete lists show of JSON creates: untagged imports without an owner, and answered creates."""

    unowned: Sequence[RemoteImport]
    samples: Sequence[Sample]

    @property
    def shows_json_creates(self) -> bool:
        """Return whether the list shows imports of JSON creates at the time that their creates predict."""
        is_off = any(sample.date_is_early for sample in self.samples)
        return not is_off and any(sample.date_is_expected for sample in self.samples)

    def age(self, asked_at: datetime) -> timedelta | None:
        """Return how old the lists were at most, by the newest create whose import they show; None if they show none.

        Both instants are of the vendor's time as this ledger's runs knew it, whatever clock dates the imports.
        """
        sent = [sample.item.intent_at for sample in self.samples if sample.item.intent_at and sample.date_is_expected]
        return asked_at - max(sent) if sent else None

    def latest_before(self, instant: datetime) -> datetime | None:
        """Return the date of the latest import whose create was sent before an instant; both are of one clock."""
        dates = [
            sample.remote.created_at
            for sample in self.samples
            if sample.remote.created_at is not None and sample.item.intent_at is not None
            if sample.item.intent_at <= instant
        ]
        return max(dates, default=None)

    def may_be_named(self, remote: RemoteImport, binding: str) -> bool:
        """Return whether a JSON create can have made an import with this name.

        Every name is possible, unless the imports of the same binding have none, or all have the same one.
        """
        names = [sample.remote.original_filename or "" for sample in self.samples if sample.item.binding == binding]
        name = remote.original_filename or ""
        if len(set(names)) != 1 or (names[0] and len(names) == 1):
            return True
        return name in {"", names[0]}

    def is_named_as_expected(self, remote: RemoteImport) -> bool:
        """Return whether the name has a form that those of answered creates have; without any, whether it has none."""
        return _form(remote) in ({_form(sample.remote) for sample in self.samples} or {""})


def _form(remote: RemoteImport) -> str:
    """Return an import's name without what differs from import to import."""
    name = (remote.original_filename or "").replace(remote.import_id, "#")
    return _VARIABLE.sub("#", name)


def _not_newer(listed: Mapping[str, RemoteImport], before: Mapping[str, RemoteImport]) -> set[str]:
    """Return the ids of the imports that are not newer than all those of a list before."""
    dates = [remote.created_at for remote in before.values() if remote.created_at is not None]
    newest = max(dates, default=None)
    return {
        import_id
        for import_id, remote in listed.items()
        if newest is None or remote.created_at is None or remote.created_at <= newest
    }


class JsonImports:
    """Lists what may be imports of JSON creates; `saved_schemas` are those of the run's routes."""

    def __init__(self, api: ImportsApi, ledger: Ledger, *, saved_schemas: Collection[str]) -> None:
        self._api = api
        self._ledger = ledger
        self._saved_schemas = saved_schemas

    def may_have_schema(self, remote: RemoteImport, schema_id: str | None) -> bool:
        """Return whether the import can be one of this schema; with inline fields it is not one of a saved schema."""
        if schema_id is None:
            return remote.schema_id not in self._saved_schemas
        return remote.schema_id == schema_id

    async def seen_since(self, since: datetime) -> Seen:
        """Return what complete lists show since an instant. Raises ListUnusable, TransientError."""
        untagged = await self._listed(since)
        taken = await self._ledger.owners(untagged)
        unowned = [remote for remote in untagged.values() if remote.import_id not in taken]
        owned = [remote for remote in untagged.values() if remote.import_id in taken]
        owned.sort(key=lambda remote: (str(remote.created_at), remote.import_id), reverse=True)
        samples: list[Sample] = []
        for remote in owned[:_MOST_LOOKUPS]:
            sample = await self._sample(remote, taken[remote.import_id])
            samples += [] if sample is None else [sample]
            if len(samples) >= _ENOUGH_SAMPLES:
                break
        return Seen(unowned, samples)

    async def _listed(self, since: datetime) -> dict[str, RemoteImport]:
        """Return the untagged imports that were listed, once two complete lists in a row agree on them.

        They need not agree on imports that were made after the first of the two.
        """
        found: dict[str, RemoteImport] = {}
        previous: dict[str, RemoteImport] | None = None
        for _ in range(_MOST_LISTS):
            listed = {
                remote.import_id: remote
                async for remote in imports_since(self._api, since, for_absence=True)
                if tag_of(remote.original_filename) is None and (remote.created_at or since) >= since
            }
            found |= listed
            if previous is not None and previous.keys() == _not_newer(listed, previous):
                return found
            previous = listed
        raise ListUnusable("no two lists of the imports agree")

    async def _sample(self, remote: RemoteImport, owner: tuple[str, str]) -> Sample | None:
        item = await self._ledger.item(*owner)
        if item is None or item.kind is not ItemKind.JSON or item.import_id != remote.import_id:
            return None
        history = await self._ledger.history(*owner)
        if any(step.import_id == remote.import_id and step.reason == ADOPTED for step in history):
            return None
        return Sample(item, remote)
