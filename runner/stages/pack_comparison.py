"""CanaryComparison: whether the result of a canary is what the import of each of its files alone is predicted to give.

A file that has changed, or cannot be read, says nothing about packing: it is left out of the comparison.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.errors import AwsRefused, ConfigError, ItemRejected, SourceNotFound, Unavailable
from runner.events import Notice
from runner.packing.canary import differences
from runner.sources.recoded_body import in_utf8
from runner.stages.pack_recipe import PackRecipe
from runner.stages.pack_source import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.routes import Route, Routes
    from runner.events import EventHook
    from runner.models import Item
    from runner.packing.split import PackResult
    from runner.protocols import InputReader
    from runner.stages.packing_setup import PackingSetup

PACK_DIFFERS = "pack_differs"
"""Error code of a pack whose rows are all accounted for, but not as the import of each file alone is predicted."""

PACK_NOT_COMPARED = "pack_not_compared"
"""Error code of a canary of which no file could be compared, so that it does not say whether packing works."""

_UNREADABLE = (ItemRejected, SourceNotFound, Unavailable, ConfigError, AwsRefused)
"""What the reading of an input raises if it is gone, has changed, or is not allowed to be read."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a pack compares with its prediction: `code` is an error code with a sentence, None if it is as predicted."""

    code: str | None = None
    sentence: str | None = None


class CanaryComparison:
    """Compares the results of canaries; other packs are as predicted. Says in a Notice what differs or is left out."""

    def __init__(self, *, files: InputReader, routes: Routes, setup: PackingSetup, emit: EventHook) -> None:
        self._files = files
        self._routes = routes
        self._setup = setup
        self._emit = emit

    async def of(self, pack: Item, members: Sequence[Item], result: PackResult) -> Comparison:
        """Compare the parts of those members whose files are as they were. Raises TransientError, AuthRefused."""
        recipe = PackRecipe.of(pack)
        if not recipe.is_canary:
            return Comparison()
        if self._setup.predict is None:
            return Comparison(PACK_NOT_COMPARED, "this run predicts no imports")
        route = recipe.member_route(self._routes)
        predict = await self._setup.predict(recipe.binding) if route is not None else None
        if route is None or predict is None:
            return self._not_compared("no route makes imports as it did" if route is None else "its schema is unusable")
        files, left_out = await self._read(members, route)
        if not files:
            return self._not_compared(left_out)
        if left_out:
            self._say(PACK_NOT_COMPARED, f"the first pack of route {route.name} is compared without {left_out}")
        own = [each for each in result.members if each.tag in files]
        found = await self._setup.in_engine(partial(differences, own, files, predict))
        for each in found:
            self._say(PACK_DIFFERS, f"{files[each.tag][1]}: {each.sentence}; packing of route {route.name} stops")
        return Comparison(PACK_DIFFERS, found[0].sentence) if found else Comparison()

    async def _read(self, members: Sequence[Item], route: Route) -> tuple[dict[str, tuple[bytes, str]], str]:
        """Return (bytes, source) by tag of the files that are as they were, and the other files with the reasons."""
        files: dict[str, tuple[bytes, str]] = {}
        left_out: defaultdict[str, list[str]] = defaultdict(list)
        for member in members:
            try:
                files[member.tag or ""] = (await self._content(member, route), member.source)
            except _UNREADABLE as error:
                left_out[str(error)].append(member.source)
        return files, "; ".join(f"{', '.join(sources)}: {why}" for why, sources in left_out.items())

    async def _content(self, member: Item, route: Route) -> bytes:
        prepared = await in_utf8(await self._files.prepare(member), route.encoding)
        if prepared.fingerprint != member.fingerprint or prepared.body is None:
            raise ItemRejected("changed", "it has changed since it was packed")
        return await whole(prepared.body)

    def _not_compared(self, why: str) -> Comparison:
        self._say(PACK_NOT_COMPARED, f"a pack is not compared with its prediction, and its results are saved: {why}")
        return Comparison(PACK_NOT_COMPARED, why)

    def _say(self, code: str, message: str) -> None:
        self._emit(Notice(code=code, message=message))
