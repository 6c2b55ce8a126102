"""PackRecipe: how a pack is made and split, as the ledger keeps it in the pack's `version`.

So a pack that was sent is split as it was made, whatever has changed in routes and schemas since.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import orjson

from runner.packing.layout import PackLayout
from runner.packing.marker import MarkerColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.routes import Route, Routes
    from runner.models import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRecipe:
    """`binding` is that of the members' route. `keeps_unmapped` and `behavior` are as in `PackRules`.

    `is_canary`: its result is compared with what is predicted for each member. `members`: the tag and the number of
    rows of each, in their order; packs of earlier versions have none. `instead_of` is the source of the pack whose
    members are sent with this one instead. `is_adopted`: a ledger that is lost has sent it, and not all of its members
    need be items of this one.
    """

    binding: str
    column: MarkerColumn
    keeps_unmapped: bool
    behavior: str
    is_canary: bool = False
    members: tuple[tuple[str, int], ...] = ()
    instead_of: str = ""
    is_adopted: bool = False

    @property
    def text(self) -> str:
        """Return the recipe as JSON text."""
        parts: dict[str, object] = {
            "binding": self.binding,
            "marker": self.column.name,
            "is_field": self.column.is_field,
            "keeps_unmapped": self.keeps_unmapped,
            "behavior": self.behavior,
            "is_canary": self.is_canary,
            "members": self.members,
            "instead_of": self.instead_of,
        }
        parts |= {"is_adopted": True} if self.is_adopted else {}
        return orjson.dumps(parts).decode()

    @classmethod
    def of(cls, pack: Item) -> Self:
        """Return the recipe of a pack."""
        return cls.parse(pack.version)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` wrote."""
        parts = orjson.loads(text)
        column = MarkerColumn(parts.pop("marker"), is_field=parts.pop("is_field"))
        members = tuple((tag, row_count) for tag, row_count in parts.pop("members", ()))
        return cls(column=column, members=members, **parts)

    def layout(self, members: Sequence[Item]) -> PackLayout:
        """Return the layout of the pack; `members` are its items in the order of their rows."""
        return PackLayout.of(self.members) if self.members else layout_of(members)

    def member_route(self, routes: Routes) -> Route | None:
        """Return the route of the members; None if no route creates imports as it did."""
        return next((route for route in routes.routes if route.binding == self.binding), None)

    def route(self, routes: Routes) -> Route | None:
        """Return the route of the pack itself: as that of its members, with the marker's column."""
        route = self.member_route(routes)
        if route is None:
            return None
        fields, settings = self.column.create_parts(fields=route.fields, settings=route.settings)
        return replace(route, fields=fields, settings=settings, encoding=None)


def layout_of(members: Sequence[Item]) -> PackLayout:
    """Return the layout of a pack by its members, which come in the order of their rows."""
    return PackLayout.of((member.tag or "", member.pack_rows or 0) for member in members)
