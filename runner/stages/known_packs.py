"""KnownPacks: what is remembered of the members of packs of other sources, so that their lists are read only once.

Of the tag of each member, the first characters are kept. They prove that a file is not in a pack, whatever files a
later run has; that it is, only the list or the result of the pack tells. What they say of a pack never changes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.stages.pack_lists import FOLDER, once, read_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.protocols import Sink

_LENGTH = 6
"""Characters of a tag, 30 bits: with 100,000 files, one of 12 packs has a file with an equal start by chance."""

_PACKS_MOST = 1_000
"""Packs in one document, which has 6 MB at most then: a sink reads no larger ones (choice)."""

_FORMAT = "1"
_ABOUT = (
    f"The first {_LENGTH} characters of the tag of each file in packs of other sources, so that their lists are not"
    " read again"
)


class KnownPacks:
    """The packs of other sources that runs of one source have looked at. All methods raise as `PackLists`."""

    def __init__(self, sink: Sink, *, source: str, endpoint: str) -> None:
        """`source` is as in `PackName`."""
        self._sink = sink
        self._source = source
        self._endpoint = endpoint
        self._documents: list[dict[str, str]] | None = None

    async def starts(self) -> dict[str, str]:
        """Return {tag of a pack: the starts of its members' tags, one after the other}."""
        if self._documents is None:
            documents: list[dict[str, str]] = []
            while (content := await read_document(self._sink, self._name(len(documents)))) is not None:
                documents.append(self._parsed(content))
            self._documents = documents
        return {tag: starts for document in self._documents for tag, starts in document.items()}

    async def add(self, packs: Mapping[str, Collection[str]]) -> None:
        """Remember packs, each by its tag with the tags of its members."""
        known = await self.starts()
        documents = self._documents = self._documents or []
        new = [(tag, "".join(map(start_of, sorted(tags)))) for tag, tags in packs.items() if tag not in known]
        while new:
            if not documents or len(documents[-1]) >= _PACKS_MOST:
                documents.append({})
            room = _PACKS_MOST - len(documents[-1])
            documents[-1] = documents[-1] | dict(new[:room])
            await self._write(len(documents) - 1)
            new = new[room:]

    async def _write(self, number: int) -> None:
        assert self._documents is not None, "they were read"
        parts = {
            "about": _ABOUT, "format": _FORMAT, "endpoint": self._endpoint, "packs": self._documents[number]
        }  # fmt: skip
        await self._sink.write(self._name(number), once(json.dumps(parts, indent=1).encode() + b"\n"))

    def _parsed(self, content: bytes) -> dict[str, str]:
        """Return the packs of a document; none if it is damaged, or of another format or endpoint."""
        try:
            parts = json.loads(content)
            is_usable = (parts["format"], parts["endpoint"]) == (_FORMAT, self._endpoint)
            packs = {str(tag): str(starts) for tag, starts in parts["packs"].items()} if is_usable else {}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {tag: starts for tag, starts in packs.items() if len(starts) % _LENGTH == 0}

    def _name(self, number: int) -> str:
        return f"{FOLDER}/{self._source}.others-{number + 1}.json"


def start_of(tag: str) -> str:
    """Return what is remembered of the tag of a member."""
    return tag[:_LENGTH]


def each_of(starts: str) -> Iterable[str]:
    """Yield the starts of the tags of a pack, as `KnownPacks.starts` returns them."""
    return (starts[at : at + _LENGTH] for at in range(0, len(starts), _LENGTH))
