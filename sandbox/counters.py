"""Counters of what the sandbox observed: evidence from outside the code under test."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.journal import Journal, NoJournal

_OF_AN_IMPORT = ("polls", "refused_polls", "puts", "ignored_puts", "downloads")


@dataclass
class Counters:
    """Every counter runs from the start or the last reset, and outlives the deletion of an import.

    `create_times` are the creates that passed the throttle, valid or not (epoch seconds); `created_ids` are the imports
    that they made. `ran` maps the sha256 of a content to the imports that ran it, and `content` maps an import to the
    sha256 that it ran. The content of `initial_data` is its compact JSON text. `puts` counts uploads whose whole body
    arrived, and `ignored_puts` those of them that came too late to matter. `webhooks` counts deliveries by outcome.
    """

    journal: Journal = field(default_factory=NoJournal)
    create_times: list[float] = field(default_factory=list)
    refused_create_times: list[float] = field(default_factory=list)
    created_ids: list[str] = field(default_factory=list)
    polls: Counter[str] = field(default_factory=Counter)
    refused_polls: Counter[str] = field(default_factory=Counter)
    list_calls: int = 0
    url_calls: int = 0
    puts: Counter[str] = field(default_factory=Counter)
    ignored_puts: Counter[str] = field(default_factory=Counter)
    downloads: Counter[str] = field(default_factory=Counter)
    content: dict[str, str] = field(default_factory=dict)
    ran: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    key_leaks: int = 0
    bad_keys: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    webhooks: Counter[str] = field(default_factory=Counter)

    def count(self, name: str, key: str = "") -> None:
        """Add one to the counter `name`; a counter that is a list gets `key` as its next entry."""
        self._add(name, key, 1)
        self.journal.counted(name, key)

    def record_run(self, import_id: str, sha256: str) -> None:
        self.count("ran", f"{import_id}:{sha256}")

    def restore(self, figures: Iterable[tuple[str, str, int]]) -> None:
        """Take saved counters back: name, key, and count."""
        for name, key, count in figures:
            self._add(name, key, count)

    def forget(self, import_id: str) -> None:
        """Drop what was counted for an import."""
        for name in _OF_AN_IMPORT:
            getattr(self, name).pop(import_id, None)
            self.journal.figure_forgotten(name, import_id)
        if import_id in self.created_ids:
            self.created_ids.remove(import_id)
        self.journal.figure_forgotten("created_ids", import_id)
        sha256 = self.content.pop(import_id, "")
        self.ran[sha256].discard(import_id)
        if not self.ran[sha256]:
            del self.ran[sha256]
        self.journal.figure_forgotten("ran", f"{import_id}:{sha256}")

    def trim(self, keep: int) -> None:
        """Drop the oldest instants beyond `keep`."""
        for name in ("create_times", "refused_create_times"):
            instants: list[float] = getattr(self, name)
            for at in instants[: max(0, len(instants) - keep)]:
                self.journal.figure_forgotten(name, repr(at))
            del instants[: max(0, len(instants) - keep)]

    def as_json(self) -> dict[str, Any]:
        """Return the counters in JSON's types, sets as sorted lists."""
        plain = {name: value for name, value in vars(self).items() if name not in {"ran", "journal"}}
        return plain | {"ran": {sha256: sorted(ids) for sha256, ids in self.ran.items()}}

    def _add(self, name: str, key: str, count: int) -> None:
        if name == "ran":
            import_id, _, sha256 = key.rpartition(":")
            self.content[import_id] = sha256
            self.ran[sha256].add(import_id)
            return
        figure: list[Any] | Counter[str] | int = getattr(self, name)
        if isinstance(figure, list):
            figure.extend([float(key) if name.endswith("_times") else key] * count)
        elif isinstance(figure, Counter):
            figure[key] += count
        else:
            setattr(self, name, figure + count)
