"""Options that differ from one run of a source to the next: how it packs, what its filters leave out, what is gone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.ledger.protocol import Ledger
from runner.models import ItemKind, ItemState, batch_of_packs
from runner.sources import SourceSpec
from tests.support.process import settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.models import CreateRequest, Item
    from tests.support.inputs import Input

_S = ItemState
PACKED_MOST = 1000
_FILTERS: tuple[Literal["include", "exclude", "min_age"], ...] = ("include", "exclude", "min_age")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one run: `pack` as in RunSpec, and the sources that are left out by filters, or gone meanwhile."""

    pack: int | None = PACKED_MOST
    is_route_off: bool = False
    filter: Literal["include", "exclude", "min_age"] | None = None
    left_out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    @classmethod
    def drawn(cls, rng: random.Random, inputs: Iterable[Input], *, may_be_gone: bool) -> Options:
        """Draw the options of a run."""
        sources = [given.source for given in inputs]
        share, gone_share = rng.choice((0.0, 0.0, 0.1, 0.5, 1.0)), rng.choice((0.0, 0.0, 0.1, 0.4))
        return cls(
            pack=rng.choice((PACKED_MOST, PACKED_MOST, PACKED_MOST, 0, 2, 4, None)),
            is_route_off=rng.random() < 0.2,
            filter=rng.choice(_FILTERS) if share else None,
            left_out=frozenset(source for source in sources if rng.random() < share),
            gone=frozenset(source for source in sources if may_be_gone and rng.random() < gone_share),
        )

    def spec(self, routes: Routes) -> RunSpec:
        """Return what a run with these options is asked to do."""
        made = [replace(one, pack=0) if self.is_route_off and one.name == "files" else one for one in routes.routes]
        source = SourceSpec(
            kind="directory",
            path="inbox",
            include=("taken",) if self.filter == "include" else (),
            exclude=("left out",) if self.filter == "exclude" else (),
            min_age_s=60.0 if self.filter == "min_age" else 0.0,
        )
        return RunSpec(source=source, routes=Routes(made), pack=self.pack)


class OptionsWatch:
    """The judge of one run's options: what they leave out, or do not pack, gets no create that is not due already."""

    def __init__(
        self, batch_id: str, options: Options, *, ledger: Callable[[], Ledger], fail: Callable[[str], None]
    ) -> None:
        self._batch_id = batch_id
        self._options = options
        self._ledger = ledger
        self._fail = fail
        self._is_on = options != Options()
        if not self._is_on:
            return
        packs = {one.source: one for one in _items(ledger(), batch_of_packs(batch_id))}
        self._bound_packs = {source for source, one in packs.items() if one.import_id is not None or _has_ended(one)}
        self._sent = {one.source for one in _items(ledger(), batch_id) if self._is_sent(one)}

    def _is_sent(self, item: Item) -> bool:
        """Tell whether the filters come too late for an item: it, or its pack, has an import."""
        if item.state is _S.PACKED:
            return item.pack in self._bound_packs
        is_open = item.state in (_S.QUEUED, _S.SKIPPED) or (item.state is _S.CREATING and item.kind is ItemKind.FILE)
        return not is_open

    def create_leaves(self, request: CreateRequest, items: Iterable[Item | None]) -> None:
        """I3: a run creates no import for what its filters leave out, and no pack if packing is off."""
        for item in items if self._is_on else ():
            if item is None or item.state is not _S.CREATING:
                continue
            carried = [item]
            if item.kind is ItemKind.PACK:
                members = settled(self._ledger().members(self._batch_id, item.source))  # type: ignore[attr-defined]
                carried = [one for one in members if one.state is _S.PACKED]
                if 0 in (self._options.pack, 0 if self._options.is_route_off else None):
                    self._no_pack_leaves(item)
            left_out = [one.source for one in carried if one.source in self._options.left_out - self._sent]
            if left_out:
                self._fail(f"I3: a create of {request.original_filename} leaves, and filters leave out {left_out}")

    def _no_pack_leaves(self, pack: Item) -> None:
        if pack.source not in self._bound_packs:
            self._fail(f"I3: pack {pack.source} is created, although packing is off")


def _has_ended(pack: Item) -> bool:
    return pack.state in (_S.COLLECTED, _S.FAILED, _S.REJECTED, _S.SKIPPED)


def _items(ledger: Ledger, batch_id: str) -> list[Item]:
    found: list[Item] = []
    for state in ItemState:
        found += settled(ledger.page(batch_id, state, after=None, limit=10_000))
    return found
