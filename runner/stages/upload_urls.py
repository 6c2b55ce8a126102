"""Upload URLs: the presigned URLs of bound imports, in memory only, and when they end."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.dromo.clock import VendorTime
    from runner.models import Item, RemoteImport

URL_LIFE = timedelta(minutes=30)
URL_MARGIN = timedelta(minutes=2)
LONGEST_LIFE = timedelta(days=7)
"""The longest life of a presigned URL (S3 user guide, sharing objects)."""

FRESH_S = 60.0
"""A URL is tried this long after the vendor gave it, whatever the vendor's clock says about its end."""

_REMEMBERED_URLS = 256
_SIGNED_AT = re.compile(r"[?&]X-Amz-Date=([0-9]{8}T[0-9]{6}Z)")
_LIFE_S = re.compile(r"[?&]X-Amz-Expires=([0-9]{1,9})(?![0-9])")


def url_life(url: str) -> timedelta:
    """Return how long a presigned URL is valid: as its SigV4 query says if that can be true, or 30 minutes."""
    found = _LIFE_S.search(url)
    life = timedelta(seconds=int(found.group(1))) if found else URL_LIFE
    return life if life <= LONGEST_LIFE else URL_LIFE


def url_end(url: str, *, fallback: datetime) -> datetime:
    """Return when a presigned URL expires: as its SigV4 query says, or 30 minutes after `fallback`.

    A `fallback` at the end of time is returned as it is.
    """
    found = _SIGNED_AT.search(url)
    try:
        if found is not None and _LIFE_S.search(url) is not None:
            return datetime.strptime(found.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + url_life(url)
    except (ValueError, OverflowError):
        pass
    try:
        return fallback + URL_LIFE
    except OverflowError:
        return fallback


@dataclass(frozen=True, slots=True)
class _Given:
    """A URL, and when the vendor gave it and when it was signed, in ticks; None if it may have been signed long ago."""

    text: str
    given_at: float
    signed_at: float | None


class UploadUrls:
    """The latest upload URL of each import.

    Our own clock measures the age of a URL that was signed in this run: the vendor's `Date` may differ from the clock
    that signs. `vendor_time` tells when other URLs end; with `is_shared`, our own clock must say so, too, because an
    import is given up after that, which must not happen while another process may still send data to it.
    """

    def __init__(self, vendor_time: VendorTime, *, is_shared: bool) -> None:
        self._vendor_time = vendor_time
        self._is_shared = is_shared
        self._given: OrderedDict[str, _Given] = OrderedDict()

    def keep(self, remote: RemoteImport, *, is_signed_now: bool = False) -> None:
        """Keep the URL that the vendor gave just now."""
        if remote.upload_url is None:
            self._given.pop(remote.import_id, None)
            return
        now, earlier = self._vendor_time.ticks(), self._given.get(remote.import_id)
        signed_at = now if is_signed_now or earlier is not None else None
        if earlier is not None and earlier.text == remote.upload_url:
            signed_at = earlier.signed_at
        self._given[remote.import_id] = _Given(remote.upload_url, now, signed_at)
        while len(self._given) > _REMEMBERED_URLS:
            self._given.popitem(last=False)

    def usable(self, item: Item) -> str | None:
        """Return the URL of an item's import if the vendor gave it a moment ago, or if it has not nearly ended."""
        given = self._given.get(item.bound_id)
        if given is None:
            return None
        is_fresh = self._vendor_time.ticks() - given.given_at < FRESH_S
        return given.text if is_fresh or self.left(item) > URL_MARGIN else None

    def left(self, item: Item) -> timedelta:
        """Return how long the URL of an item's import is valid; without one, how long the last one may be."""
        given = self._given.get(item.bound_id)
        now = self._vendor_time.earliest_now() if self._is_shared else self._vendor_time.now()
        if given is None or given.signed_at is None:
            return url_end(given.text if given else "", fallback=item.created_at or now) - now
        age = timedelta(seconds=self._vendor_time.ticks() - given.signed_at)
        return url_life(given.text) - age
