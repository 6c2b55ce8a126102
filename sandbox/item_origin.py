"""ItemOrigin: the file with its folder, and the batch, that a client on this machine says an import is of."""

import re
from dataclasses import dataclass
from typing import Self

import orjson

ITEM_HEADER = "X-Bulkhead-Item"
LONGEST = 4096
_TAG = re.compile(r"\.~[a-z2-7]{13}(?=\.|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemOrigin:
    """`source` is the file's path below the directory that is imported; both are "" if the client names none."""

    source: str = ""
    batch_id: str = ""

    @classmethod
    def read(cls, header: str | None) -> Self:
        """Read the header of a create: a JSON object. Anything else names nothing, as it decides nothing."""
        try:
            given = orjson.loads(header or "{}")
        except orjson.JSONDecodeError:
            return cls()
        if not isinstance(given, dict):
            return cls()
        return cls(source=_text(given.get("source")), batch_id=_text(given.get("batch_id")))


NO_ORIGIN = ItemOrigin()


def _text(value: object) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def without_tag(filename: str) -> str:
    """Return a file's name without the tag that the runner puts before its suffix."""
    return _TAG.sub("", filename)
