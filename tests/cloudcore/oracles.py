"""The judges of the event-driven core: what the vendor saw, what the ledger says, what was published."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.models import OPEN_STATES, Batch, Item, ItemKind, ItemState
from tests.cloudcore.bucket import POISON
from tests.support.process import settled
from tests.support.seeds import Judges as Base
from tests.support.seeds import most_within

if TYPE_CHECKING:
    from runner.ledger.memory import MemoryLedger
    from tests.cloudcore.bucket import Results
    from tests.cloudcore.functions import Heard
    from tests.cloudcore.plan import Plan
    from tests.support.vendor import Vendor

_S = ItemState
NOT_OPEN = frozenset(ItemState) - OPEN_STATES


class Judges(Base):
    """Watches one simulation. Every method raises Broken."""

    def __init__(self, plan: Plan, *, vendor: Vendor, ledger: MemoryLedger, results: Results, heard: Heard) -> None:
        super().__init__()
        self._plan = plan
        self._vendor = vendor
        self._ledger = ledger
        self._results = results
        self._heard = heard
        self.finish_kills = 0

    # As it happens

    def upload_leaves(self, import_id: str, mark: str) -> None:
        """A first byte leaves only when the import is durably bound to an item that is there for it."""
        owner = settled(self._ledger.owners([import_id])).get(import_id)
        item = settled(self._ledger.item(*owner)) if owner else None
        if item is None or item.import_id != import_id:
            self.fail(f"data of {mark} leaves for import {import_id}, which is not bound")

    def item_moves(self, item: Item, state: ItemState, changes: Mapping[str, Any]) -> None:
        """A result is recorded only when it is whole and where it belongs."""
        if state is _S.COLLECTED:
            batch = settled(self._ledger.batch(item.batch_id))
            kept = self._results.of(batch.out if batch else "").get(str(changes["result"]))
            if kept not in {drop.given.result for drop in self._plan.inputs.values() if drop.key.endswith(_key(item))}:
                self.fail(f"{item.source} is collected, and its result is not that of its data")

    # At any time

    def data_is_where_it_belongs(self) -> None:
        imports_of: defaultdict[str, set[str]] = defaultdict(set)
        for import_id, marks in self._vendor.seen.data_of.items():
            for mark in marks:
                imports_of[mark].add(import_id)
            if len(marks) > 1:
                self.fail(f"import {import_id} got data {len(marks)} times: {marks}")
        for mark, imports in imports_of.items():
            if len(imports) > self._most_imports(mark):
                self.fail(f"the data of {mark} entered {len(imports)} imports")

    def _most_imports(self, mark: str) -> int:
        """A file whose import failed is taken up by the next load over it."""
        drop = self._plan.inputs[mark]
        return max(1, len(self._plan.loads)) if drop.given.fate == "broken" and drop in self._plan.nightly else 1

    def quota_is_kept(self) -> None:
        counters, rate = self._vendor.state.counters, self._plan.quota
        if most_within(counters.create_times, rate.window_s) > rate.count:
            self.fail("more creates than the quota within a minute")
        if counters.refused_create_times:
            self.fail(f"{len(counters.refused_create_times)} creates were refused although nobody else creates")

    def counts_are_exact(self) -> None:
        for batch in self.batches():
            counts = settled(self._ledger.counts(batch.batch_id))
            if Counter(item.state for item in self.items(batch)) != Counter(counts):
                self.fail(f"{batch.batch_id}: the ledger counts {counts}, its items say otherwise")

    # In the end

    def all_has_ended(self) -> None:
        """Every content has the fate of its data, once; every batch has its manifest, and its ends are published."""
        imported = Counter(mark for marks in self._vendor.seen.data_of.values() for mark in set(marks))
        items = [item for batch in self.batches() for item in self.items(batch)]
        for mark, drop in self._plan.inputs.items():
            self._fate(mark, [item for item in items if drop.key.endswith(_key(item))], imported[mark])
        for batch in self.batches():
            self._manifested(batch)
            self._ended(batch)

    def no_item_failed_alone(self) -> None:
        """An item fails only with its import, unless the vendor never got its data, or gave no whole result."""
        status = dict(self._vendor.statuses())
        known = {"upload_not_taken", "import_missing"} | ({"result_invalid"} if "short" in self._plan.kinds else set())
        for item in (one for batch in self.batches() for one in self.items(batch) if one.state is _S.FAILED):
            if item.import_id and status.get(item.import_id) != "FAILED" and item.error_code not in known:
                self.fail(f"{item.source} is failed ({item.error_code}), its import is not")

    def _fate(self, mark: str, items: list[Item], imported: int) -> None:
        given = self._plan.inputs[mark].given
        states = Counter(str(item.state) for item in items)
        if POISON in mark:
            if set(states) != {"rejected"} or imported or any(item.error_code != "dead_letter" for item in items):
                self.fail(f"the poisoned {mark} is {dict(states)}")
            return
        lost = states["uncertain"] if given.kind is ItemKind.JSON else 0
        changed = sum(item.error_code == "changed_while_read" for item in items)
        swallowed = sum(item.error_code == "upload_not_taken" for item in items if self._was_swallowed(item))
        least = 0 if given.fate == "refused" or lost or changed or swallowed else 1
        most = 0 if given.fate == "refused" else self._most_imports(mark)
        if not least <= imported <= most:
            self.fail(f"the data of {mark} was imported {imported} times; its items are {dict(states)}")

    def _was_swallowed(self, item: Item) -> bool:
        """Tell whether storage acknowledged the item's upload and lost it: the vendor never gets its data."""
        return item.import_id in self._vendor.odd.swallowed

    def _manifested(self, batch: Batch) -> None:
        lines = {str(line["source"]): str(line["state"]) for line in self._results.manifest(batch.out)}
        known = {item.source: str(item.state) for item in self.items(batch)}
        if lines != known:
            self.fail(f"{batch.batch_id}: the manifest says {lines}, the ledger {known}")

    def _ended(self, batch: Batch) -> None:
        published = [(state, end) for batch_id, state, end in self._heard.ends if batch_id == batch.batch_id]
        ends = list(dict.fromkeys(published))
        if not ends or ends[-1][0] != str(batch.state):
            self.fail(f"{batch.batch_id} is {batch.state}, and {ends} was published")
        if len(published) - len(ends) > self.finish_kills:
            self.fail(f"{batch.batch_id}: an end was published more than once: {published}")
        reviews = any(item.state is _S.NEEDS_REVIEW for item in self.items(batch))
        if str(batch.state) != ("settled" if reviews else "complete"):
            self.fail(f"{batch.batch_id} is {batch.state} with{'' if reviews else 'out'} a review")

    def calm_ends(self) -> None:
        """Where no function died and no letter was lost, a batch ends once, and once more after its reviews."""
        for batch in self.batches():
            published = [state for batch_id, state, _ in self._heard.ends if batch_id == batch.batch_id]
            if published not in (["complete"], ["settled"], ["settled", "complete"]):
                self.fail(f"{batch.batch_id}: {published} was published")

    def batches(self) -> list[Batch]:
        return settled(self._ledger.batches())

    def items(self, batch: Batch) -> list[Item]:
        found: list[Item] = []
        for state in ItemState:
            found += settled(self._ledger.page(batch.batch_id, state, after=None, limit=10_000))
        return found

    def open_items(self) -> list[Item]:
        return [item for batch in self.batches() for item in self.items(batch) if item.state in OPEN_STATES]


def _key(item: Item) -> str:
    """Return the end of the key that an item is of, whatever version of it."""
    stem, at, rest = item.source.rpartition("@")
    return stem + "." + rest.partition(".")[2] if at else item.source
