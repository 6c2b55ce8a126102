"""Duplicate content: what must not be sent again, as a run, `check`, and `explain` all decide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.models import UNSENT_STATES, Item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.protocol import ImportIndex


async def duplicates(
    ledger: ImportIndex | None, tags: Iterable[str], *, again: bool, besides: Item | None = None
) -> dict[str, Item]:
    """Return {tag: an item of the ledger whose data with this tag is, or may be, at the vendor}.

    Content with one of these tags is not sent for another item. With `again`, as in `RunOptions`, all content is sent,
    so the result is empty, as it is without a ledger. The item `besides` is never returned: its own content is no
    duplicate. If several items qualify, one whose data is at the vendor comes before one whose data may still fail to
    arrive (`UNSENT_STATES`). Raises LedgerError.
    """
    if again or ledger is None:
        return {}
    own = (besides.batch_id, besides.source) if besides else None
    found: dict[str, Item] = {}
    for tag, items in (await ledger.by_tag(tags)).items():
        held = [item for item in items if item.blocks_content and (item.batch_id, item.source) != own]
        if held:
            found[tag] = min(held, key=lambda item: item.state in UNSENT_STATES)
    return found
