"""Earlier items of a file: what a run, `plan`, `check`, and `explain` do with the file because of them.

A *version* of a file is content that was sent under a binding, or is held. The file is unchanged if its newest version
has the same content. Content that returns after another version is a change: it is sent, with a tag that counts its
returns. Content of a held item is never sent again; content that the vendor refused, only if a person asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from runner import identity
from runner.models import FAILED_BEFORE, UNSENT_STATES, Batch, Item, ItemChanges, ItemState

if TYPE_CHECKING:
    from runner.ledger.protocol import Ledger
    from runner.protocols import Prepared


class Reason(Enum):
    """Why an earlier item matters."""

    HELD = "held"
    """Nobody knows what became of this content, or a person must finish its import."""
    SENT = "sent"
    """The vendor has this content, or is about to get it."""
    REFUSED = "refused"
    """The vendor refused this content."""
    RETRIED = "retried"
    """The vendor refused this content, and a person wants it to be sent again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The earlier item of a file that decides what happens to the file now."""

    reason: Reason
    earlier: Item
    result: str | None = None
    """Where the result of the earlier item is: relative to the folder of this batch's results, or absolute."""

    @property
    def is_sent(self) -> bool:
        """Return whether the file is sent nevertheless."""
        return self.reason is Reason.RETRIED

    @property
    def was_refused(self) -> bool:
        """Return whether the vendor has refused the content, so that the earlier item has not brought it in."""
        return self.reason in (Reason.REFUSED, Reason.RETRIED)

    @property
    def is_pending(self) -> bool:
        """Return whether the outcome of the earlier item decides whether the file is sent."""
        return self.reason is Reason.SENT and self.earlier.state in UNSENT_STATES

    @property
    def sentence(self) -> str:
        """Return why the file is not sent."""
        earlier = self.earlier
        if self.reason is Reason.REFUSED:
            why = (earlier.error_message or "the vendor gave no reason").rstrip(".")
            return (
                f"{why}; unchanged since batch {earlier.batch_id}: if you corrected the schema in the dashboard, run"
                " with --retry-failed"
            )
        return f"the same content is {earlier.state} in batch {earlier.batch_id}"

    @property
    def state(self) -> ItemState:
        """Return the state of an item that is not sent for this reason."""
        return ItemState.FAILED if self.reason is Reason.REFUSED else ItemState.SKIPPED

    def changes(self) -> ItemChanges:
        """Return the fields of an item that this finding is about."""
        changes = self.earlier.as_earlier()
        if self.reason is Reason.REFUSED:
            changes |= {"error_code": FAILED_BEFORE, "error_message": self.sentence}
        elif not self.is_sent:
            changes |= {"result": self.result}
        return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of an input under a binding; `tag` is the tag of its first occurrence."""

    uri: str
    binding: str
    tag: str

    @classmethod
    def of(cls, prepared: Prepared, binding: str, *, endpoint: str) -> Content:
        tag = identity.tag(prepared.uri, prepared.fingerprint, binding, endpoint=endpoint)
        return cls(uri=prepared.uri, binding=binding, tag=tag)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The tag with which content is sent, and what an earlier item has to do with it."""

    tag: str
    finding: Finding | None = None


class EarlierItems:
    """Decides from the other items of a file in a ledger; without a ledger, everything is new.

    `again` and `retry_failed` as in `RunOptions`. `out` is where the batch saves its results, if it saves any.
    """

    def __init__(
        self, ledger: Ledger | None, *, endpoint: str, again: bool = False, retry_failed: bool = False, out: str = ""
    ) -> None:
        self._ledger = ledger
        self._out = out
        self._endpoint = endpoint
        self._again = again
        self._retry_failed = again or retry_failed
        self._batches: dict[str, Batch | None] = {}

    async def of_listed(self, items: Sequence[Item]) -> dict[str, Finding]:
        """Return {source: finding} for items of which listing knows only the version.

        What it misses because a shared ledger lags, `of_content` finds. Raises LedgerError.
        """
        if self._ledger is None or not items:
            return {}
        known = await self._ledger.by_file((item.file_key for item in items), may_lag=True)
        of_file = {item.source: _bound(known.get(item.file_key, ()), item.binding) for item in items}
        unknown = [item.version_key for item in items if not any(map(_is_version, of_file[item.source]))]
        former = await self._ledger.by_version(unknown)
        found = {}
        for item in items:
            there = [*former.get(item.version_key, ()), *of_file[item.source]]
            if finding := self._finding(there, _same_as_listed(item, there)):
                found[item.source] = await self._with_result(finding)
        return found

    async def of_content(self, content: Content, *, own: Item | None = None) -> Ruling:
        """Rule on content that was read; `own` is the item for which it is about to be sent. Raises LedgerError.

        An item keeps the tag that it had with this content, so a continued run finds the import that it made. Content
        that an item was sent with before, or that a person has queued again, is sent although the vendor refused it.
        """
        if self._ledger is None:
            return Ruling(content.tag)
        file_key = identity.file_key(content.uri, endpoint=self._endpoint)
        of_file = (await self._ledger.by_file([file_key])).get(file_key, [])
        tagged = (await self._ledger.by_tag([content.tag])).get(content.tag, [])
        former = [one for one in tagged if one.file_key != file_key and one.was_tried]
        there = [one for one in [*former, *_bound(of_file, content.binding)] if own is None or not one.is_same_as(own)]
        is_sent_before = own is not None and own.tag is not None and self._has(own, content)
        tag = own.tag if own and own.tag and is_sent_before else await self._next_tag(content, there, own)
        finding = self._finding(there, [one for one in there if self._has(one, content)], tag=tag)
        is_wanted = is_sent_before or (own is not None and own.earlier_state is ItemState.FAILED)
        if finding is not None and finding.reason is Reason.REFUSED and is_wanted:
            finding = Finding(Reason.RETRIED, finding.earlier)
        return Ruling(tag, finding and await self._with_result(finding))

    async def _with_result(self, finding: Finding) -> Finding:
        """Return the finding with the place of the earlier result, as seen from this batch's results."""
        earlier = finding.earlier
        batch = await self._batch(earlier.batch_id) if self._out and earlier.state is ItemState.COLLECTED else None
        if batch is None or earlier.result is None:
            return finding
        is_here = batch.out.rstrip("/") == self._out.rstrip("/")
        return replace(finding, result=earlier.result if is_here else f"{batch.out.rstrip('/')}/{earlier.result}")

    def _finding(self, there: Sequence[Item], same: Sequence[Item], *, tag: str | None = None) -> Finding | None:
        """Return the finding among a file's items `there`, of which `same` have the content in question.

        With `tag`, the content was sent if another item with this tag was; without, if the newest version has it.
        """
        if held := [one for one in same if one.is_held]:
            return Finding(Reason.HELD, held[-1])
        if not self._again and (sent := _sent(there, same, tag)):
            return Finding(Reason.SENT, sent)
        tried = [one for one in there if one.was_refused or _is_version(one)]
        if tried and tried[-1].was_refused and tried[-1] in same:
            return Finding(Reason.RETRIED if self._retry_failed else Reason.REFUSED, tried[-1])
        return None

    async def _next_tag(self, content: Content, there: Iterable[Item], own: Item | None) -> str:
        """Return the tag of content: that of its first occurrence, or of its return after another version."""
        before = [one for one in there if _is_version(one) and await self._is_before(one, own)]
        occurrences = [self._has(one, content) for one in before]
        returns = sum(now and not last for last, now in zip([False, *occurrences], occurrences, strict=False))
        fingerprint = next((one.fingerprint for one in before if self._has(one, content)), None)
        number = returns if occurrences and occurrences[-1] else returns + 1
        if number == 1 or fingerprint is None:
            return content.tag
        return identity.tag(content.uri, fingerprint, content.binding, endpoint=self._endpoint, number=number)

    def _has(self, item: Item, content: Content) -> bool:
        """Return whether an item has, or had, this content."""
        if item.tag == content.tag or item.fingerprint is None:
            return item.tag == content.tag
        return (
            item.binding == content.binding
            and identity.tag(content.uri, item.fingerprint, item.binding, endpoint=self._endpoint) == content.tag
        )

    async def _is_before(self, other: Item, own: Item | None) -> bool:
        """Return whether another item of the file is of the same batch, or of an earlier one."""
        if own is None or other.batch_id == own.batch_id:
            return True
        number, other_number = await self._number_of(own.batch_id), await self._number_of(other.batch_id)
        return number is None or other_number is None or other_number < number

    async def _number_of(self, batch_id: str) -> int | None:
        batch = await self._batch(batch_id)
        return batch.number if batch else None

    async def _batch(self, batch_id: str) -> Batch | None:
        if batch_id not in self._batches:
            self._batches[batch_id] = await self._ledger.batch(batch_id) if self._ledger is not None else None
        return self._batches[batch_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """What holds items of a batch back, which were skipped because of held items of earlier batches.

    Of the content of the `unresolved`, nobody knows what became of it. `reviewed` are the earlier items that wait for a
    person to finish a review, each as (batch id, source).
    """

    unresolved: int = 0
    unresolved_in: frozenset[str] = frozenset()
    reviewed: frozenset[tuple[str, str]] = frozenset()


NOTHING_HELD_BACK = HeldBack()


async def held_back(ledger: Ledger, batch_id: str) -> HeldBack:
    """Return what still holds items of a batch back, as the earlier items are now. Raises LedgerError."""
    skipped = await ledger.held_back(batch_id)
    of_file = await ledger.by_file(item.file_key for item in skipped) if skipped else {}
    unresolved: list[str] = []
    reviews: list[tuple[str, str]] = []
    for item in skipped:
        earlier = await _earlier_of(item, of_file.get(item.file_key, ()), ledger)
        if earlier is not None and earlier.is_held and not earlier.is_dismissed:
            if earlier.state is ItemState.NEEDS_REVIEW:
                reviews.append((earlier.batch_id, earlier.source))
            else:
                unresolved.append(earlier.batch_id)
    return HeldBack(
        unresolved=len(unresolved),
        unresolved_in=frozenset(unresolved),
        reviewed=frozenset(reviews),
    )


async def _earlier_of(item: Item, of_file: Sequence[Item], ledger: Ledger) -> Item | None:
    """Return the item that an item points to, as it is now; None if it was queued again, or is not in the ledger."""
    batch_id, import_id = item.earlier_batch_id, item.earlier_import_id
    named = [one for one in of_file if one.batch_id == batch_id]
    if named:
        return next((one for one in named if one.import_id == import_id), named[-1])
    if batch_id is None:
        return None
    owners = await ledger.owners([import_id] if import_id else [])
    _, source = owners.get(import_id or "", ("", item.source))
    return await ledger.item(batch_id, source)


def _same_as_listed(item: Item, there: Iterable[Item]) -> list[Item]:
    """Return the items with the listed version, or with the content that an item with this version had."""
    contents = {one.fingerprint for one in there if one.version_key == item.version_key} - {None}
    same = [one for one in there if one.version_key == item.version_key or one.fingerprint in contents]
    return [one for one in same if one.state not in UNSENT_STATES]


def _bound(items: Iterable[Item], binding: str) -> list[Item]:
    return [one for one in items if one.binding == binding]


def _is_version(item: Item) -> bool:
    return item.blocks_content and item.state not in UNSENT_STATES


def _sent(there: Sequence[Item], same: Sequence[Item], tag: str | None) -> Item | None:
    """Return the item for which the content in question was sent, rather than one whose data may still not arrive."""
    if tag is None:
        versions = [one for one in there if _is_version(one)]
        return versions[-1] if versions and versions[-1] in same else None
    blocking = [one for one in same if one.tag == tag and one.blocks_content]
    return min(reversed(blocking), key=lambda one: one.state in UNSENT_STATES, default=None)
