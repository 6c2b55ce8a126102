"""What the sandbox saw: figures kept outside the code under test, to judge it by."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counters:
    """Every figure counts from the start or the last reset and outlives the deletion of an import.

    `create_times` are the creates that passed the throttle, valid or not (epoch seconds); `created_ids` those that
    made an import. `ran` maps the sha256 of a content to the imports that ran it; `content` maps an import to the
    sha256 it ran. For `initial_data` the content is its compact JSON text. `puts` counts uploads whose whole body
    arrived, `ignored_puts` those among them that came too late to matter.
    """

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

    def record_run(self, import_id: str, sha256: str) -> None:
        self.content[import_id] = sha256
        self.ran[sha256].add(import_id)

    def as_json(self) -> dict[str, Any]:
        """The same figures in JSON's types, sets as sorted lists."""
        plain = {name: value for name, value in vars(self).items() if name != "ran"}
        return plain | {"ran": {sha256: sorted(ids) for sha256, ids in self.ran.items()}}
