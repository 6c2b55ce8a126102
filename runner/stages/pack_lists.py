"""Pack lists: which files a pack has, kept beside the results, so that a run without the ledger knows them, too.

A list is written before anything of its pack is sent, and stays. It has names, tags, and numbers of rows, and nothing
of the rows themselves.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from runner.errors import ConfigError, SinkFailed
from runner.packing.body import LAYOUT_VERSION, pack_tag
from runner.packing.layout import PackLayout
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.models import Item
    from runner.protocols import Sink

FOLDER = ".bulkhead-packs"

_FORMAT = "1"
_ABOUT = (
    "The files of a pack, which Bulkhead sends in one import, in their order: tag, number of rows, and name of each"
)
_ABOUT_FOUND = "The tags of the files of a pack of which only the result is left, as the result names them"


@dataclass(frozen=True, slots=True)
class ListedMember:
    """A member of a pack; `source` is empty if nobody knows the name of its file."""

    tag: str
    row_count: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackList:
    """The members of a pack in their order, and how the pack was made; `fingerprint` is that of its body."""

    tag: str
    endpoint: str
    recipe: PackRecipe
    fingerprint: str | None
    members: tuple[ListedMember, ...]

    @classmethod
    def of(cls, pack: Item, members: Sequence[Item], *, endpoint: str, fingerprint: str) -> Self:
        """Return the list of a pack that is about to be sent."""
        listed = (ListedMember(one.tag or "", one.pack_rows or 0, one.source) for one in members)
        return cls(
            tag=pack.source,
            endpoint=endpoint,
            recipe=replace(PackRecipe.of(pack), members=(), instead_of=""),
            fingerprint=fingerprint,
            members=tuple(listed),
        )

    @property
    def layout(self) -> PackLayout:
        return PackLayout.of((one.tag, one.row_count) for one in self.members)

    @property
    def is_proved(self) -> bool:
        """Return whether these members, in this order, are those of the pack: its tag is made of theirs."""
        tags = [one.tag for one in self.members]
        return pack_tag(tags, binding=self.recipe.binding, endpoint=self.endpoint) == self.tag

    @property
    def content(self) -> bytes:
        """Return the list as a document."""
        parts = {
            "about": _ABOUT,
            "format": _FORMAT,
            "layout": LAYOUT_VERSION,
            "tag": self.tag,
            "endpoint": self.endpoint,
            "sha256": self.fingerprint,
            "recipe": self.recipe.text,
            "members": [[one.tag, one.row_count, one.source] for one in self.members],
        }
        return json.dumps(parts, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> Self | None:
        """Read what `content` wrote; None if it is damaged, or of another format or layout."""
        try:
            parts = json.loads(content)
            if (parts["format"], parts["layout"]) != (_FORMAT, LAYOUT_VERSION):
                return None
            members = tuple(ListedMember(str(tag), int(rows), str(source)) for tag, rows, source in parts["members"])
            recipe, fingerprint = PackRecipe.parse(parts["recipe"]), str(parts["sha256"])
            found = cls(
                tag=parts["tag"], endpoint=parts["endpoint"], recipe=recipe, fingerprint=fingerprint, members=members
            )
        except (ValueError, KeyError, TypeError):
            return None
        return found if found.is_proved and all(one.row_count > 0 for one in members) else None


class PackLists:
    """The lists in the folder of the results. All methods raise SinkFailed, StorageFull, and Unavailable."""

    def __init__(self, sink: Sink, *, endpoint: str) -> None:
        self._sink = sink
        self._endpoint = endpoint

    async def keep(self, pack: Item, members: Sequence[Item], *, fingerprint: str) -> None:
        """Write the list of a pack; it is durable when this returns."""
        listed = PackList.of(pack, members, endpoint=self._endpoint, fingerprint=fingerprint)
        await self._sink.write(_name(pack.source), once(listed.content))

    async def read(self, tag: str) -> PackList | None:
        """Return the list of a pack; None if there is none that can be used."""
        content = await read_document(self._sink, _name(tag))
        found = None if content is None else PackList.parse(content)
        return found if found is not None and (found.tag, found.endpoint) == (tag, self._endpoint) else None

    async def keep_found(self, tag: str, members: Sequence[str]) -> None:
        """Write which members, by their tags, the result of a lost pack has, so that it is read only once."""
        parts = {"about": _ABOUT_FOUND, "format": _FORMAT, "endpoint": self._endpoint, "members": list(members)}
        await self._sink.write(_name_of_found(tag), once(json.dumps(parts, indent=1).encode() + b"\n"))

    async def found(self, tag: str) -> list[str] | None:
        """Return the tags that `keep_found` wrote; None if it did not."""
        content = await read_document(self._sink, _name_of_found(tag))
        try:
            parts = json.loads(content or b"{}")
            is_usable = (parts["format"], parts["endpoint"]) == (_FORMAT, self._endpoint)
            return [str(member) for member in parts["members"]] if is_usable else None
        except (ValueError, KeyError, TypeError):
            return None


def _name_of_found(tag: str) -> str:
    return f"{FOLDER}/{tag}.found.json"


def _name(tag: str) -> str:
    return f"{FOLDER}/{tag}.json"


async def read_document(sink: Sink, name: str) -> bytes | None:
    """Return a document of the run that is in progress. Raises SinkFailed, Unavailable."""
    try:
        return await sink.read(name)
    except ConfigError as error:
        raise SinkFailed(str(error), hint=error.hint) from error


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Yield a document in one piece, as `Sink.write` takes it."""
    yield content
