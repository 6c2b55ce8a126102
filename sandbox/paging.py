"""A page of a list, as Django REST framework cuts and links it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Self
from urllib.parse import urlencode

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@dataclass(frozen=True)
class Paging:
    """`size` entries from `start` on."""

    size: int
    start: int

    @classmethod
    def read(cls, limit: object, offset: object) -> Self:
        """A limit or offset that is no number is as absent."""
        return cls(min(_whole(limit) or DEFAULT_LIMIT, MAX_LIMIT), _whole(offset) or 0)

    def of(self, names: Iterable[str]) -> list[str]:
        return list(islice(names, self.start, self.start + self.size))

    def links(self, url: str, *, count: int) -> dict[str, str | None]:
        """The addresses of the pages around this one; None where there is none."""
        after, before = self.start + self.size, max(self.start - self.size, 0)
        return {
            "next": self._link(url, after) if after < count else None,
            "previous": self._link(url, before) if self.start > 0 else None,
        }

    def _link(self, url: str, offset: int) -> str:
        query = {"limit": self.size, "offset": offset} if offset else {"limit": self.size}
        return f"{url}?{urlencode(query)}"


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
