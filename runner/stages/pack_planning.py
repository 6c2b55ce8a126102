"""PackPlanner: which queued files of a batch travel together, and why the others do not."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from runner import identity
from runner.concurrency import handle_all
from runner.errors import FileUnavailable, ItemRejected
from runner.models import Item, ItemKind
from runner.packing.canary import SUCCESSFUL
from runner.packing.member import MEMBER_BYTES_MAX, Member, read_member
from runner.packing.planner import Candidate, PlannedAlone, PlannedPack, header_digest, plan_packs
from runner.packing.refusals import Refusal
from runner.sources.recoded_body import in_utf8
from runner.stages.earlier import Content
from runner.stages.pack_source import whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from runner.config.routes import Route, Routes
    from runner.packing.canary import PredictImport
    from runner.packing.marker import MarkerColumn
    from runner.packing.planner import PackLimits
    from runner.packing.rules import PackRules
    from runner.protocols import InputReader, Prepared
    from runner.stages.context import Gate
    from runner.stages.earlier import EarlierItems
    from runner.stages.orphans import Orphans
    from runner.stages.packing_setup import PackingSetup, RulesOfRoutes

logger = logging.getLogger(__name__)

_READ_AT_ONCE = 8
_REVIEW = "NEEDS_REVIEW"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What is kept of a file that can be in a pack."""

    source: str
    fingerprint: str
    row_count: int
    size_bytes: int
    column: MarkerColumn


@dataclass(slots=True)
class PackPlan:
    """The packs to be made; `alone` counts the files that travel alone by the code why, `sentences` has one of each."""

    packs: list[PlannedPack] = field(default_factory=list)
    files: dict[str, PlannedFile] = field(default_factory=dict)
    alone: Counter[str] = field(default_factory=Counter)
    sentences: dict[str, str] = field(default_factory=dict)

    def refuse(self, refusal: Refusal) -> None:
        """Count a file that travels alone."""
        self.alone[refusal.code] += 1
        self.sentences.setdefault(refusal.code, refusal.sentence)

    @property
    def sources(self) -> list[str]:
        """Return the sources of all planned files."""
        return [self.files[tag].source for pack in self.packs for tag in pack.tags]

    def sources_of(self, pack: PlannedPack) -> list[str]:
        return [self.files[tag].source for tag in pack.tags]

    def with_canary(self, pack: PlannedPack, limits: PackLimits) -> list[PlannedPack]:
        """Return a pack as a canary of its first files, and a pack of the others unless they are too few for one."""
        count = min(limits.canary_members, len(pack.tags) - limits.fewest)
        if len(pack.tags) <= limits.canary_members or count < limits.fewest:
            return [replace(pack, is_canary=True)]
        return [self._part(pack, pack.tags[:count], is_canary=True), self._part(pack, pack.tags[count:])]

    def _part(self, pack: PlannedPack, tags: tuple[str, ...], *, is_canary: bool = False) -> PlannedPack:
        files = [self.files[tag] for tag in tags]
        rows, size_bytes = sum(file.row_count for file in files), sum(file.size_bytes for file in files)
        return replace(pack, tags=tags, row_count=rows, size_bytes=size_bytes, is_canary=is_canary)


class PackPlanner:
    """Reads each file once, and plans packs. Without `orphans`, what a lost ledger has sent is not considered.

    A file that the `gate` refuses is in no pack: it is refused when it is about to be sent alone.
    """

    def __init__(
        self,
        *,
        files: InputReader,
        routes: Routes,
        rules: RulesOfRoutes,
        setup: PackingSetup,
        earlier: EarlierItems,
        endpoint: str,
        orphans: Orphans | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._files = files
        self._routes = routes
        self._rules = rules
        self._setup = setup
        self._earlier = earlier
        self._orphans = orphans
        self._gate = gate
        self._endpoint = endpoint
        self._predict: dict[str, PredictImport | None] = {}

    async def plan(self, pages: AsyncIterator[Sequence[Item]], *, proven: Collection[str] = ()) -> PackPlan:
        """Return the plan for queued items; `proven` are the bindings that need no canary.

        Raises LedgerError, TransientError, AuthRefused.
        """
        plan, candidates = PackPlan(), list[Candidate]()
        async for page in pages:
            for found in await handle_all(self._candidate, [*filter(_is_new, page)], at_once=_READ_AT_ONCE):
                if isinstance(found, Refusal):
                    plan.refuse(found)
                elif found is not None:
                    candidate, file = found
                    candidates.append(candidate)
                    plan.files[candidate.tag] = file
        candidates.sort(key=lambda each: each.tag)
        for planned in plan_packs(candidates, self._setup.limits, proven=frozenset(proven)):
            if isinstance(planned, PlannedAlone):
                plan.refuse(planned.refusal)
                del plan.files[planned.tag]
            else:
                plan.packs.append(planned)
        return plan

    async def of_file(self, item: Item) -> PlannedFile | Refusal | None:
        """Return a file that can be in a pack, or why it travels alone, by its route and its content.

        Returns None if neither is known, because the file cannot be read, or was tried before. Raises as `plan`.
        """
        found = await self._candidate(item)
        return found[1] if isinstance(found, tuple) else found

    async def _candidate(self, item: Item) -> tuple[Candidate, PlannedFile] | Refusal | None:
        """Return what the planner needs of a file; a refusal; or None if the file is sent, skipped, or rejected alone.

        That is so for files that cannot be read, and for those whose content has been sent before.
        """
        route = self._routes.for_version(item.source, item.version)
        rules = await self._rules_of(route) if route is not None else None
        if route is None or rules is None or isinstance(rules, Refusal):
            return rules if isinstance(rules, Refusal) else None
        if item.kind is ItemKind.JSON or (item.size_bytes or 0) > MEMBER_BYTES_MAX:
            return Refusal("json" if item.kind is ItemKind.JSON else "too_large")
        try:
            if self._gate is not None:
                await self._gate.admit(item, route)
            prepared = await in_utf8(await self._files.prepare(item), route.encoding)
            raw = await whole(prepared.body) if prepared.body is not None else None
        except (ItemRejected, FileUnavailable):
            return None
        tag = await self._tag_of(item, prepared, route)
        if tag is None or raw is None:
            return None
        predict = await self._predict_of(route.binding)
        member = await self._setup.in_engine(partial(_judged, raw, rules, predict, item.source))
        if isinstance(member, Refusal):
            return member
        candidate = Candidate(
            tag=tag,
            route=route.name,
            binding=route.binding,
            header=header_digest(member.header),
            date_order=member.date_order,
            row_count=member.row_count,
            size_bytes=member.size_bytes,
            unique_keys=member.unique_keys,
            members=self._members_of(route),
        )
        return candidate, PlannedFile(
            item.source, prepared.fingerprint, member.row_count, member.size_bytes, member.marker
        )

    async def _tag_of(self, item: Item, prepared: Prepared, route: Route) -> str | None:
        """Return the tag of a file's content; None if an earlier item or an import decides what happens to the file."""
        if prepared.version != item.version or item.file_key == "":
            return None
        content = Content.of(prepared, route.binding, endpoint=self._endpoint)
        ruling = await self._earlier.of_content(content, own=item)
        is_there = self._orphans is not None and await self._orphans.match(ruling.tag, route.schema_id) is not None
        return None if is_there or ruling.finding is not None else ruling.tag

    def _members_of(self, route: Route) -> int | None:
        return self._setup.members_of(route) if self._setup.members_of is not None else None

    async def _rules_of(self, route: Route) -> PackRules | Refusal:
        return Refusal("route_off") if self._members_of(route) == 0 else await self._rules.of(route)

    async def _predict_of(self, binding: str) -> PredictImport | None:
        if binding not in self._predict:
            assert self._setup.predict is not None, "packs are planned only if something predicts imports"
            self._predict[binding] = await self._setup.predict(binding)
        return self._predict[binding]


def _is_new(item: Item) -> bool:
    """Return whether nothing was tried with an item; others travel alone."""
    return item.revision == 0


def _judged(raw: bytes, rules: PackRules, predict: PredictImport | None, source: str) -> Member | Refusal:
    """Read a file, and refuse it unless its own import is predicted to succeed."""
    member = read_member(raw, rules)
    if isinstance(member, Refusal):
        return member
    status = predict(raw, filename=identity.tagged_filename(source, None)).status if predict is not None else "FAILED"
    if status == SUCCESSFUL:
        return member
    return Refusal("predicted_review" if status == _REVIEW else "predicted_failure")
