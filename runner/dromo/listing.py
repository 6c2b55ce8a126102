"""Walking the vendor's list of imports, newest first, back to an instant."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from runner.errors import ListUnusable
from runner.retry import repeat_read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from runner.models import ImportPage, RemoteImport
    from runner.protocols import ImportsApi

PAGE_SIZE = 1000
PAGES_WITHOUT_NEWS_MAX = 20
"""A list that grows while it is walked shows imports twice, but not on so many pages in a row."""
CLOCK_MARGIN = timedelta(minutes=2)
"""How far the vendor's clock and ours may differ before a listing stops too early."""
ORDER_PROVED_BY = 1000
"""So many imports that come newest first prove that the rest of the list is older, too (choice)."""
ORDER_LIKELY_BY = 20
"""So many imports do not come newest first by chance; a list in another order may still begin so (choice)."""


async def imports_since(
    api: ImportsApi,
    since: datetime | None,
    *,
    max_pages: int | None = None,
    trusts_order: bool = True,
    for_absence: bool = False,
) -> AsyncIterator[RemoteImport]:
    """Yield imports created at `since` or later, all if it is None; an import may come twice.

    The order of the list is not documented: it ends the walk only on pages that are in order. Without `trusts_order`,
    one such page may be chance: the walk goes to the end of the list, unless ORDER_LIKELY_BY imports are in order.
    Raises TransientError if a page cannot be read, and ListUnusable if the list shows the same imports again and again.
    With `for_absence`, the caller concludes that an import does not exist if the list lacks it; then the order must be
    proved by ORDER_PROVED_BY imports, and a page that is not whole raises ListUnusable, too.

    A deletion moves the imports after it up, maybe to a page that was read before. So if the number of imports falls
    during the walk, as many imports before the next page are read again.
    """
    walk = pages_since(api, since, max_pages=max_pages, trusts_order=trusts_order, for_absence=for_absence)
    async for page in walk:
        for remote in page:
            yield remote


async def pages_since(
    api: ImportsApi,
    since: datetime | None,
    *,
    max_pages: int | None = None,
    trusts_order: bool = True,
    for_absence: bool = False,
) -> AsyncIterator[Sequence[RemoteImport]]:
    """Yield what `imports_since` does, page by page."""
    pages = 0
    place = _Place()
    order = _Order(needed=ORDER_PROVED_BY if for_absence else 0 if trusts_order else ORDER_LIKELY_BY)
    while max_pages is None or pages < max_pages:
        page = await repeat_read(lambda: api.list_page(limit=PAGE_SIZE, offset=place.offset))
        if place.is_stale(page):
            continue
        pages += 1
        if for_absence and not page.is_whole:
            raise ListUnusable("the list of imports has an entry that cannot be read")
        yield page.imports
        order.note([remote for remote in page.imports if remote.import_id not in place.seen])
        if not page.has_next or not (page.imports or page.left_out) or (order.is_proved and _is_older(page, since)):
            return
        place.pass_over(page)


class _Place:
    """How far a walk has come: `offset` is that of the next page, `seen` has the ids of the imports before it."""

    def __init__(self) -> None:
        self.offset = 0
        self.seen: set[str] = set()
        self._count: int | None = None
        self._pages_without_news = 0
        self._pages_to_read_again = 0

    def is_stale(self, page: ImportPage) -> bool:
        """Return whether imports before this page have been deleted since the last one; then step back by as many.

        Raises ListUnusable if that happens again and again.
        """
        count, self._count = self._count, page.count
        if count is None or page.count is None or page.count >= count or not self.offset:
            return False
        before = self.offset
        self.offset = max(before - (count - page.count), 0)
        self._pages_to_read_again = 1 + (before - self.offset) // PAGE_SIZE
        self._note_no_news()
        return True

    def pass_over(self, page: ImportPage) -> None:
        """Go on behind a page. Raises ListUnusable if the list shows the same imports again and again."""
        self.offset += len(page.imports) + page.left_out
        known = len(self.seen)
        self.seen.update(remote.import_id for remote in page.imports)
        if len(self.seen) > known:
            self._pages_without_news = self._pages_to_read_again = 0
        elif self._pages_to_read_again:
            self._pages_to_read_again -= 1
        else:
            self._note_no_news()

    def _note_no_news(self) -> None:
        self._pages_without_news += 1
        if self._pages_without_news >= PAGES_WITHOUT_NEWS_MAX:
            raise ListUnusable("the list of imports does not end: it shows the same imports again and again")


class _Order:
    """Whether the imports of a walk came newest first; that is proved by `needed` of them."""

    def __init__(self, *, needed: int) -> None:
        self._needed = needed
        self._count = 0
        self._oldest: datetime | None = None
        self._is_broken = False

    @property
    def is_proved(self) -> bool:
        return self._needed == 0 or (not self._is_broken and self._count >= self._needed)

    def note(self, imports: list[RemoteImport]) -> None:
        """Add the imports of the next page that no page before had."""
        for remote in imports:
            is_newer = self._oldest is not None and remote.created_at is not None and remote.created_at > self._oldest
            self._is_broken |= remote.created_at is None or is_newer
            self._oldest = remote.created_at
        self._count += len(imports)


def _is_older(page: ImportPage, since: datetime | None) -> bool:
    """Return whether a page in newest-first order ends before `since`."""
    dates = [remote.created_at for remote in page.imports]
    if since is None or not dates or any(date is None for date in dates):
        return False
    known = [date for date in dates if date is not None]
    in_order = all(newer >= older for newer, older in pairwise(known))
    return in_order and known[-1] < since - CLOCK_MARGIN
