"""A second ledger: another run imports the same source at the same time, and only the vendor's list shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.models import ImportStatus, tag_of
from runner.stop import StopReason
from tests.support.process import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.ledger.protocol import Ledger
    from runner.models import CreateRequest, RemoteImport
    from tests.support.vendor import Vendor

BEGAN_WITHIN = timedelta(seconds=60)
"""How far a run may be wrong about its own beginning: a create takes effect so late."""

NOTICED_WITHIN_S = 5.0
"""How long a run may take to read its ledger for what a list shows."""


class Sight:
    """What lists have shown one run of another's imports since a create was first answered, and what it must do then.

    Before that, a run does not know what the clock shows that dates imports, and may take all for older than itself.
    """

    def __init__(
        self, batch_id: str, *, vendor: Vendor, ledger: Callable[[], Ledger], fail: Callable[[str], None]
    ) -> None:
        self._batch_id = batch_id
        self._vendor = vendor
        self._ledger = ledger
        self._fail = fail
        self._began = datetime.fromtimestamp(vendor.now(), UTC)
        self.knows_time = False
        self._shown: dict[str, float] = {}
        self.must_stop = ""
        """An import of the other run, of an item that this one has sent, too."""

    def create_leaves(self, request: CreateRequest) -> None:
        """I1: what a list has shown as imported by another run is not sent."""
        tag = tag_of(request.original_filename) or ""
        if self._vendor.now() - self._shown.get(tag, float("inf")) > NOTICED_WITHIN_S:
            self._fail(f"I1: {request.original_filename} is sent, although a list has shown that another run sent it")

    def created(self, remote: RemoteImport) -> None:
        """Note that a create was answered."""
        self.knows_time |= remote.created_at is not None

    def listed(self, page: Sequence[RemoteImport]) -> None:
        """Note what a list shows."""
        fresh = {remote.import_id: remote for remote in page if self.knows_time and self._is_new(remote)}
        for import_id in fresh.keys() - settled(self._ledger().owners(fresh)).keys():
            tag = tag_of(fresh[import_id].original_filename) or ""
            self._shown.setdefault(tag, self._vendor.now())
            same = settled(self._ledger().by_tag([tag])).get(tag, [])
            if any(item.batch_id == self._batch_id for item in same):
                self.must_stop = self.must_stop or import_id

    def ended(self, reason: StopReason | None) -> None:
        """I1: a run that was shown another run's import of an item that it has sent, too, stops for that."""
        if self.must_stop and reason is not StopReason.FOREIGN_IMPORTS:
            self._fail(f"I1: the run ended ({reason}), although a list has shown {self.must_stop} of another run")

    def _is_new(self, remote: RemoteImport) -> bool:
        made_at = remote.created_at
        has_data = remote.status not in (ImportStatus.AWAITING_UPLOAD, ImportStatus.FAILED)
        is_tagged = tag_of(remote.original_filename) is not None
        return has_data and is_tagged and made_at is not None and made_at > self._began + BEGAN_WITHIN
