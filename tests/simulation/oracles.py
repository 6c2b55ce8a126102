"""The judges of a simulation: each compares what the vendor saw with what the ledger and the sink say."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from runner.ledger.protocol import Ledger
from runner.models import (
    FILTERED_OUT,
    PACK_REVIEW_OPEN,
    CreateRequest,
    Item,
    ItemKind,
    ItemState,
    batch_of_packs,
    tag_of,
)
from runner.packing.body import PackBody
from runner.row_counts import NO_ROWS
from runner.stages.absence import is_suspected
from tests.simulation.options import Options, OptionsWatch
from tests.support.inputs import rows_dropped
from tests.support.process import settled
from tests.support.seeds import Judges as Base
from tests.support.seeds import most_within
from tests.support.worlds import World, shows_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.simulation.plan import Plan
    from tests.support.inputs import Input
    from tests.support.vendor import Vendor
    from tests.support.worlds import OddFiles

_S = ItemState
NOT_OPEN = frozenset({_S.COLLECTED, _S.FAILED, _S.REJECTED, _S.NEEDS_REVIEW, _S.UNCERTAIN, _S.SKIPPED})
POLLS_A_MINUTE = 12
_AS_FAR_AS = {"AWAITING_UPLOAD": 0, "PENDING": 1, "RUNNING": 2, "SUCCESSFUL": 3, "NEEDS_REVIEW": 3, "FAILED": 3}


class Judges(Base):
    """Watches one simulation. Every method raises Broken, with the invariant's number first."""

    def __init__(
        self,
        plan: Plan,
        *,
        batch_id: str,
        vendor: Vendor,
        ledger: Callable[[], Ledger],
        saved: Callable[[str], bytes | None],
        files: OddFiles,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._versions: defaultdict[str, dict[int, Input]] = defaultdict(dict)
        self.inputs_changed(plan.inputs)
        self.later: dict[str, Input] = {}
        """The inputs of a later night whose results share the directory."""
        self.batch_id = batch_id
        self._vendor = vendor
        self._ledger = ledger
        self._saved = saved
        self._files = files
        self._options = Options()
        self._watch = OptionsWatch(batch_id, self._options, ledger=ledger, fail=self.fail)
        self._ever_gone: set[str] = set()
        self.life = 0
        self.ended_at = 0.0
        """When the last life with this ledger ended, in virtual time."""
        self.attempts: Counter[tuple[int, str]] = Counter()
        self._sent_at: dict[str, float] = {}
        self._untaken: set[str] = set()
        """Files of the next night that have no result: storage lost their uploads."""
        self._unknown: set[str] = set()
        """Imports that lost ledgers knew."""

    def inputs_changed(self, inputs: Iterable[Input]) -> None:
        """Remember the versions of files that there were before a change."""
        self.inputs = {given.source: given for given in inputs}
        for given in self.inputs.values():
            self._versions[given.source][given.version] = given

    def options_are(self, options: Options) -> None:
        """Remember the options of the run that begins."""
        self._options = options
        self._ever_gone |= options.gone
        self._watch = OptionsWatch(self.batch_id, options, ledger=self._ledger, fail=self.fail)

    def ledger_was_lost(self) -> None:
        """Remember what a new ledger can't know."""
        self._unknown = set(self._vendor.seen.data_of)

    # As it happens

    def create_leaves(self, request: CreateRequest, source: str | None) -> None:
        """I4: a create leaves only when its intent is durable."""
        items = [self._item(source)] if source else self._named(request.original_filename)
        if not any(item is not None and item.state is _S.CREATING for item in items):
            self.fail(f"I4: a create of {source or request.original_filename} leaves without a durable intent")
        self._watch.create_leaves(request, items)

    def upload_leaves(self, import_id: str, source: str) -> None:
        """I4: a first byte leaves only when the import is durably bound to its item, and to no other.

        Others may record meanwhile that the data has arrived.
        """
        item = self._item(source)
        is_due = item is not None and (item.state is _S.CREATED or self._plan.stack is not None)
        if item is None or item.import_id != import_id or not is_due:
            self.fail(f"I4: data of {source} leaves for import {import_id}, which is not bound to it")
        owner = settled(self._ledger().owners([import_id])).get(import_id)
        if owner != (self.batch_id, source):
            self.fail(f"I4: data of {source} leaves for import {import_id}, which belongs to {owner}")
        self._looked_before_repeat(import_id, source)

    def pack_leaves(self, import_id: str, body: PackBody) -> list[str]:
        """I4: a first byte of a pack leaves only when its import is durably bound to it, and it to its members.

        Returns the names of the data of its members.
        """
        packs, source = settled(self._ledger().owners([import_id])).get(import_id, ("", ""))
        pack = settled(self._ledger().item(packs, source))
        if pack is None or pack.kind is not ItemKind.PACK or pack.state is not _S.CREATED:
            self.fail(f"I4: a pack leaves for import {import_id}, which is not bound to it")
        carried = []
        for tag, _ in ((one.tag, one.row_count) for one in body.layout.members):
            mine = [one for one in settled(self._ledger().by_tag([tag])).get(tag, []) if one.batch_id == self.batch_id]
            if not any(one.state is _S.PACKED and one.pack == source for one in mine):
                self.fail(f"I4: {tag} leaves with pack {source}, of which it is no member")
            carried.append(self._versions[mine[0].source][int(mine[0].version)].data)
        self._looked_before_repeat(import_id, source)
        return carried

    def _looked_before_repeat(self, import_id: str, source: str) -> None:
        """I1: no upload is repeated before the import was looked at, since storage may ignore the condition."""
        before = self._sent_at.get(import_id)
        if before is not None and self._last_asked_at(import_id) < before:
            self.fail(f"I1: data of {source} leaves again for import {import_id}, which nobody has looked at")
        self._sent_at[import_id] = self._vendor.now() - self._vendor.wall(0.0)

    def _last_asked_at(self, import_id: str) -> float:
        """Return when an import was last retrieved, -1 if it never was."""
        asked = self._vendor.seen.asked_at.items()
        return max((at for (_, asked_for), times in asked for at in times if asked_for == import_id), default=-1.0)

    def item_moves(self, item: Item, state: ItemState, changes: Mapping[str, Any]) -> None:
        """I3, I4, I5: what must be true before a move is recorded."""
        if state is _S.CREATING:
            self._intent(item, int(changes["attempts"]))
        if state is _S.COLLECTED and item.kind is not ItemKind.PACK:
            import_id = changes.get("pack_import_id") or item.import_id
            self._collected(item, str(changes["result"]), str(changes["result_sha256"]), import_id)
        if item.state is _S.PACKED and state is _S.QUEUED:
            self._pack_is_void(item)

    def result_is_whole(self, source: str) -> None:
        """I4: what is at a result's final path is complete, whether saving it succeeded or not."""
        kept = self._saved(f"results/{source}.json")
        wanted = {given.result for given in (*self._versions[source].values(), self.later.get(source)) if given}
        if kept is not None and kept not in wanted and World.SHARED_OUT not in self._plan.worlds:
            self.fail(f"I4: an incomplete result of {source} is at its final path")

    def _intent(self, item: Item, attempts: int) -> None:
        """I5: only a create that was not throttled counts as an attempt."""
        name = item.source if item.kind is ItemKind.JSON else None
        posts = Counter[str]()
        for (life, key, outcome), count in self._vendor.seen.posts.items():
            if life == self.life and key in {name, item.original_filename}:
                posts[outcome] += count
        if attempts > 1 + posts.total() - posts["RateLimited"]:
            self.fail(f"I5: {item.source} is at attempt {attempts} after {dict(posts)}")

    def _pack_is_void(self, item: Item) -> None:
        """I1: a member leaves its pack for another import only if the pack's import never brings in anything."""
        import_id = self._import_of(item) or ""
        deleted_at = self._vendor.seen.deleted_at.get(import_id)
        if deleted_at is not None and self._last_asked_at(import_id) < deleted_at:
            self.fail(f"I1: {item.source} leaves its pack, and nobody has looked at its import since it was deleted")
        if self.inputs[item.source].data in self._vendor.seen.data_of.get(import_id, ()) and not self._is_void(
            import_id
        ):
            self.fail(f"I1: {item.source} leaves its pack, whose import {import_id} has its data")

    def _is_void(self, import_id: str) -> bool:
        """Tell whether the import of a pack has failed, or was deleted as far as anybody could know."""
        if import_id not in self._vendor.seen.packs:
            return False
        if import_id in self._vendor.seen.finished:
            pack = self._pack_of(import_id)
            return pack is None or pack.error_code in ("dissolved", "pack_review_finished")
        return import_id in self._vendor.seen.dissolved or self._status(import_id) == "FAILED"

    def _pack_of(self, import_id: str) -> Item | None:
        """Return the pack of an import that is finished after it was deleted; None if the second ledger has it."""
        owner = settled(self._ledger().owners([import_id])).get(import_id)
        if owner is None and World.SECOND_LEDGER not in self._plan.worlds:
            self.fail(f"I3: no pack of the ledger has the import {import_id}")
        return settled(self._ledger().item(*owner)) if owner else None

    def finished_packs_are_said(self) -> None:
        """I3: the ledger says which dissolved packs had arrived anyway, some time before its last life ended."""
        for import_id, at in self._vendor.seen.finished.items():
            pack = self._pack_of(import_id)
            if pack is not None and pack.error_code == "dissolved" and at < self.ended_at - 60:
                self.fail(f"I3: the pack of import {import_id} arrived, and the ledger says that it is dissolved")
        known = settled(self._ledger().owners(self._vendor.seen.kept)) if self._plan.loses_ledger else None
        for import_id in self._vendor.seen.kept if known is None else known:
            pack, at = self._pack_of(import_id), self._vendor.seen.reviewed.get(import_id, self.ended_at)
            if (
                pack is not None
                and pack.error_code == PACK_REVIEW_OPEN
                and not pack.was_imported
                and at < self.ended_at - 60
            ):
                self.fail(f"I3: the review of import {import_id} is finished, and the ledger says that it is open")

    def _collected(self, item: Item, path: str, sha256: str, import_id: str | None) -> None:
        kept = self._saved(path)
        if kept is None or hashlib.sha256(kept).hexdigest() != sha256:
            self.fail(f"I4: {item.source} is recorded as collected before its result is complete")
        if kept != self.inputs[item.source].result:
            self.fail(f"I3: the result of {item.source} is not that of its data")
        self._successful(item, import_id)

    def _successful(self, item: Item, import_id: str | None) -> None:
        status = self._status(import_id)
        if status != "SUCCESSFUL":
            self.fail(f"I3: {item.source} is collected, but its import is {status}")

    # Between two lives, and in the end

    def data_is_where_it_belongs(self) -> None:
        """I1, I2 and the repeat of uploads: by what the vendor received."""
        imports_of: defaultdict[str, set[str]] = defaultdict(set)
        for import_id, sources in self._vendor.seen.data_of.items():
            is_void = self._is_void(import_id)
            for source in () if is_void else sources:
                imports_of[source].add(import_id)
            is_pack = import_id in self._vendor.seen.packs
            if len(set(sources)) > 1 and not is_pack:
                self.fail(f"I2: import {import_id} got data of {sorted(set(sources))}")
            if len(sources) > (len(set(sources)) if is_pack else 1) and not self._may_be_stored_twice():
                self.fail(f"I1: the data of {sources[0]} was stored {len(sources)} times for import {import_id}")
        for source, imports in imports_of.items():
            if len(imports) > self._ledger_count and not self._may_repeat(source):
                self.fail(f"I1: the data of {source} entered {len(imports)} imports")

    def _may_be_stored_twice(self) -> bool:
        """Tell whether storage may get the data of an import twice: two ledgers may adopt the same empty import."""
        takes_conditions = self._plan.settings.if_none_match == "accept"
        is_shared = World.SECOND_LEDGER in self._plan.worlds and not takes_conditions
        return is_shared or World.CONDITION_IGNORED in self._plan.worlds

    @property
    def _ledger_count(self) -> int:
        return 2 if World.SECOND_LEDGER in self._plan.worlds else 1

    def _may_repeat(self, source: str) -> bool:
        """Tell whether data may enter another import: after a lost ledger, that of a file whose import failed."""
        every = (given for versions in self._versions.values() for given in versions.values())
        broken = {given.data for given in every if given.fate == "broken" and given.kind is ItemKind.FILE}
        return self._plan.loses_ledger and source in broken

    def _waits_for_a_word(self, item: Item) -> bool:
        """Tell whether a JSON item rightly waits: the vendor has an import that a lost ledger may have made of it."""
        if not self._plan.loses_ledger or item.kind is not ItemKind.JSON or item.state is not _S.QUEUED:
            return False
        route = item.source.partition("/")[0]
        sent = self._vendor.seen.data_of
        alike = {one for one in self._unknown if any(source.startswith(f"{route}/") for source in sent[one])}
        is_of_others = route == "inline" and shows_others(self._plan.worlds)
        return is_of_others or alike > settled(self._ledger().owners(alike)).keys()

    def states_add_up(self) -> None:
        """I3: every listed item is in exactly one state, and what is collected is right."""
        items = self.items()
        counts = settled(self._ledger().counts(self.batch_id))
        if Counter(item.state for item in items) != Counter(counts):
            self.fail(f"I3: the ledger counts {counts}, its items say otherwise")
        totals = settled(self._ledger().row_totals(self.batch_id))
        if totals != sum((item.row_totals for item in items), NO_ROWS):
            self.fail(f"I3: the ledger has {totals}, its items say otherwise")
        for item in items:
            if item.state is _S.COLLECTED and not self._is_replaced(item):
                self._collected(item, item.result or "", item.result_sha256 or "", item.carrying_id)
            if item.state is _S.COLLECTED and World.ODD_METADATA not in self._plan.worlds:
                self._rows_are_accounted(item)

    def _rows_are_accounted(self, item: Item) -> None:
        """I3: an item says what the vendor says about its rows, unless the vendor could not be asked."""
        given = [one for one in (self.inputs[item.source], self.later.get(item.source)) if one]
        wanted = {rows_dropped(orjson.loads(one.result)) for one in given}
        if item.rows_left_out not in {None, *wanted}:
            self.fail(f"I3: {item.source} lacks {item.rows_left_out} rows, and the vendor says {wanted}")

    def quota_is_kept(self) -> None:
        """I5, I6: by the vendor's own logs and the instants at which retrieves were sent."""
        counters, rate = self._vendor.state.counters, self._plan.quota
        if most_within(counters.create_times, rate.window_s) > rate.count:
            self.fail("I5: more creates than the quota within a minute")
        if self._plan.is_polite and counters.refused_create_times:
            self.fail(f"I5: {len(counters.refused_create_times)} creates were refused although nobody else creates")
        for (_, import_id), asked_at in self._vendor.seen.asked_at.items():
            if most_within(asked_at, 60.0) > POLLS_A_MINUTE:
                self.fail(f"I6: import {import_id} was asked for too often")

    def run_ended(self, *, deferred: int, held: bool, stopped: bool, by_us: bool) -> None:
        """I8: a run that ends by itself leaves nothing to do but what it deferred, and no status of its own making.

        It says that items are `held` for a person if, and only if, some rightly wait for one.
        """
        left = [item for item in self.items() if item.state not in NOT_OPEN and not self._left_review(item)]
        open_items = [item for item in left if not self._waits_for_a_word(item)]
        at_work = [f"{item.source} {item.state}" for item in open_items]
        if not stopped and len(at_work) > deferred:
            self.fail(f"I8: the run ended by itself, yet {at_work}")
        if not stopped and held != (len(left) > len(open_items)):
            self.fail(f"I8: the run says that items {'' if held else 'do not '}wait for a person")
        if by_us:
            return
        for item in self.items():
            self._status_was_said(item)
        if self._plan.is_calm and (untroubled := [item.source for item in open_items if not self._is_struck(item)]):
            self.fail(f"I8: the run ended, yet nothing had happened to {untroubled}")

    def _status_was_said(self, item: Item) -> None:
        """I3: an item shows no status that its import has not reached."""
        is_sent = item.import_id is None or self._vendor.seen.data_of.get(item.import_id)
        said = None if is_sent else self._status(item.import_id)
        if said in _AS_FAR_AS and _AS_FAR_AS.get(item.status or "", 0) > _AS_FAR_AS[said]:
            self.fail(f"I3: {item.source} shows {item.status}, its import is {said}")

    def _is_struck(self, item: Item) -> bool:
        """Tell whether an import of the item's content met something odd, or an earlier item with it waits."""
        if self._waits_for_a_pack(item) or self._files.met or self._ever_gone:
            return True
        alike = {given.source for given in self.inputs.values() if given.content == self.inputs[item.source].content}
        owners = settled(self._ledger().owners(self._vendor.odd.struck))
        return item.pack in {source for _, source in owners.values()} or any(
            source in alike for _, source in owners.values()
        )

    def _left_review(self, item: Item) -> bool:
        """Tell whether a person has finished the item's review, which may be just after the run's last look."""
        history = settled(self._ledger().history(item.batch_id, item.source))
        return item.state is _S.SUCCEEDED and any(entry.state is _S.NEEDS_REVIEW for entry in history)

    def all_has_ended(self) -> None:
        """I3, I8: in the end every input has the fate that its data asks for, and the vendor agrees."""
        items = {item.source: item for item in self.items()}
        unlisted = self._options.left_out | self._options.gone
        if not self.inputs.keys() - unlisted <= items.keys() <= self.inputs.keys():
            self.fail(f"I3: the batch holds {len(items)} items of {len(self.inputs)}")
        for source, item in items.items():
            self._fate(source, item)
        self.finished_packs_are_said()

    def _fate(self, source: str, item: Item) -> None:
        wanted = {
            "good": {_S.COLLECTED},
            "review": {_S.NEEDS_REVIEW, _S.COLLECTED},
            "broken": {_S.FAILED},
            "refused": {_S.REJECTED},
        }[self.inputs[source].fate]
        if self._is_excused(item) or self._was_not_sent(item):
            return
        if item.state not in wanted:
            self.fail(f"I3: {source} ends {item.state} ({item.error_code}: {item.error_message}), not {sorted(wanted)}")
        data_of, data = self._vendor.seen.data_of, self.inputs[source].data
        given = [one for one, sources in data_of.items() if data in sources and not self._is_void(one)]
        if self._ledger_count > 1:
            given = [import_id for import_id in given if import_id == item.carrying_id]
        elif self._may_repeat(data):
            given = given[-1:]
        if given != ([] if item.state is _S.REJECTED else [item.carrying_id]):
            self.fail(f"I3: {source} is bound to import {item.carrying_id}, its data went to {given}")
        if item.state is _S.FAILED and self._status(item.carrying_id) != "FAILED":
            self.fail(f"I3: {source} is failed, its import is {self._status(item.carrying_id)}")

    def _is_excused(self, item: Item) -> bool:
        """Tell whether the vendor, or a person, has kept an item from the fate that its data asks for."""
        if item.kind is ItemKind.JSON and (item.state is _S.UNCERTAIN or self._waits_for_a_word(item)):
            return True
        deleted = self._vendor.seen.deleted | self._vendor.seen.dissolved
        if item.error_code == "import_missing" and item.carrying_id in deleted:
            return True
        if item.error_code in ("pack_unaccounted", "result_invalid") and self._may_be_unaccounted(item):
            return True
        if item.error_code == "pack_review_finished" and self._arrived_once(item):
            return True
        if item.error_code == PACK_REVIEW_OPEN and self._is_kept(item):
            return True
        is_as_swallowed = item.error_code in (None, "upload_not_taken") or is_suspected(item)
        return self._import_of(item) in self._vendor.odd.swallowed and is_as_swallowed

    def _was_not_sent(self, item: Item) -> bool:
        """Tell whether an item rightly ends without an import: it is left out, was gone, or nobody may read it."""
        is_left_out = item.state is _S.SKIPPED and item.error_code == FILTERED_OUT
        is_gone = item.state is _S.REJECTED and item.error_code == "not_found" and item.source in self._ever_gone
        is_denied = item.state is _S.REJECTED and item.error_code == "unreadable" and item.source in self._files.denied
        if not (is_gone or is_denied or (is_left_out and item.source in self._options.left_out | self._options.gone)):
            return False
        data_of, data = self._vendor.seen.data_of, self.inputs[item.source].data
        given = [one for one, sources in data_of.items() if data in sources and not self._is_void(one)]
        # A ledger that is lost may have sent it alone: nothing tells so while nobody may read it.
        return not given or (self._plan.loses_ledger and self._vendor.seen.packs.isdisjoint(given))

    def some_lost_member_is_unreadable(self) -> bool:
        """Tell whether a file of a pack without an owner cannot be read now, or was rejected for it.

        If such a pack has no list, it may have any file that cannot be read.
        """
        owned = settled(self._ledger().owners(self._vendor.seen.packs))
        if self._plan.loses_out and self._files.met and self._vendor.seen.packs - owned.keys():
            return True
        lost = {data for one in self._vendor.seen.packs - owned.keys() for data in self._vendor.seen.data_of[one]}
        return any(
            given.data in lost and source in self._files.met
            for source in self.inputs
            for given in self._versions[source].values()
        )

    def _arrived_once(self, item: Item) -> bool:
        """Tell whether the vendor has an item's data from its dissolved pack, and from no other import."""
        data_of = self._vendor.seen.data_of
        given = [one for one, sources in data_of.items() if item.source in sources and not self._is_void(one)]
        if self._ledger_count > 1:
            given = list(settled(self._ledger().owners(given)))
        return (item.carrying_id in self._vendor.seen.finished and not given) or self._is_kept(item)

    def _is_kept(self, item: Item) -> bool:
        """Tell whether no import has an item's data but its pack's, which the vendor refuses to delete."""
        data_of, data = self._vendor.seen.data_of, self.inputs[item.source].data
        given = {one for one, sources in data_of.items() if data in sources and not self._is_void(one)}
        return item.carrying_id in self._vendor.seen.kept and given <= {item.carrying_id}

    def left_open(self) -> list[Item]:
        """Return the open items of the ledger but those that rightly wait.

        These are items whose upload was acknowledged and lost, and JSON documents after a lost ledger.
        """
        lost = self._vendor.odd.swallowed
        left = [item for item in self.items() if item.state not in NOT_OPEN and self._import_of(item) not in lost]
        return [item for item in left if not self._waits_for_a_word(item)]

    def some_pack_is_untold(self) -> bool:
        """Tell whether there may be a pack without an owner whose result does not tell its files, or is not there."""
        owned = settled(self._ledger().owners(self._vendor.seen.packs))
        lost = self._vendor.seen.packs - owned.keys()
        is_odd = not {World.ODD_METADATA, World.ODD_404}.isdisjoint(self._plan.worlds)
        is_cut = bool(self._plan.rates.get("download"))
        return is_odd or is_cut or any(self._status(one) != "SUCCESSFUL" or one in self._odd_results for one in lost)

    def _may_be_unaccounted(self, item: Item) -> bool:
        """Tell whether the result of an item's pack, or what is said of its rows, is odd."""
        return World.ODD_METADATA in self._plan.worlds or item.carrying_id in self._odd_results

    @property
    def _odd_results(self) -> set[str]:
        """Return the imports whose result may lack rows that were sent, or was changed by a person."""
        return {*self._vendor.odd.damaged, *self._vendor.seen.finished, *self._vendor.seen.reviewed}

    def _import_of(self, item: Item) -> str | None:
        """Return the import that has, or is to get, an item's data."""
        if item.state is not _S.PACKED:
            return item.carrying_id
        pack = settled(self._ledger().item(batch_of_packs(item.batch_id), item.pack or ""))
        return pack.import_id if pack is not None else None

    def _is_replaced(self, item: Item) -> bool:
        """Tell whether the result of a later version is where the item's was."""
        later = self.later.get(item.source)
        return bool(later and later.version > 1 and item.result == f"results/{item.source}.json")

    def changes_are_collected(self) -> None:
        """I1, I3: the next night, what has changed is imported once, and nothing else."""
        for item in self.items():
            wanted = _S.COLLECTED if self.inputs[item.source].version > 1 else _S.SKIPPED
            told = item.state in (wanted, _S.REJECTED) or self._has_reason(item)
            if self._import_of(item) in self._vendor.odd.swallowed or item.error_code == "pack_unaccounted":
                self._untaken.add(item.source)
            elif not told:
                self.fail(f"I3: the next night, {item.source} is {item.state} ({item.error_code}), not {wanted}")

    def newest_results_are_kept(self) -> None:
        """I3: the result of the newer version stays where it is; one that arrives late is beside it."""
        for item in self.items():
            usual, newest = f"results/{item.source}.json", self.later[item.source]
            is_due = newest.version > 1 and item.source not in self._untaken
            if is_due and self._saved(usual) != newest.result:
                self.fail(f"I3: the result of the newer {item.source} was replaced")
            late = item.state is _S.COLLECTED and item.result != usual
            if late and self._saved(item.result or "") != self.inputs[item.source].result:
                self.fail(f"I3: {item.result} is not the late result of {item.source}")

    def nothing_was_new(self) -> None:
        """I1, I3: a batch that lists the same source again sends nothing, and says why."""
        for item in self.items():
            told = item.state in (_S.SKIPPED, _S.REJECTED) or self._has_reason(item)
            if not told:
                self.fail(f"I3: the next night, {item.source} is {item.state} ({item.error_code})")

    def _has_reason(self, item: Item) -> bool:
        """Tell whether an item of the next night is not sent because of what happened in the first."""
        return item.error_code == "failed_before" or self._waits_for_a_word(item) or self._waits_for_a_pack(item)

    def _waits_for_a_pack(self, item: Item) -> bool:
        """Tell whether an item rightly waits, because its content is in a pack that has not ended."""
        alike = settled(self._ledger().by_file([item.file_key])).get(item.file_key, [])
        return item.state is _S.QUEUED and any(one.state is _S.PACKED for one in alike)

    def account(self) -> dict[str, tuple[str, int]]:
        """Return the final account: the state of each input, and how many imports got its data."""
        given = Counter(source for sources in self._vendor.seen.data_of.values() for source in set(sources))
        return {item.source: (str(item.state), given[self.inputs[item.source].data]) for item in self.items()}

    def items(self) -> list[Item]:
        found: list[Item] = []
        for state in ItemState:
            found += settled(self._ledger().page(self.batch_id, state, after=None, limit=10_000))
        return found

    def _item(self, source: str) -> Item | None:
        return settled(self._ledger().item(self.batch_id, source))

    def _named(self, filename: str | None) -> list[Item | None]:
        tag = tag_of(filename)
        if tag is not None:
            return list(settled(self._ledger().by_tag([tag])).get(tag, []))
        creating = settled(self._ledger().page(self.batch_id, _S.CREATING, after=None, limit=10_000))
        return [item for item in creating if item.original_filename == filename]

    def _status(self, import_id: str | None) -> str:
        shown = self._vendor.state.list_imports(self._vendor.now(), limit=1000)["results"]
        return next((str(one["status"]) for one in shown if one["id"] == import_id), "unknown to the vendor")
