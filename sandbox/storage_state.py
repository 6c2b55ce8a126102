"""Uploads to and downloads from presigned URLs, as the vendor's storage answers them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from sandbox.journal import Journal, SavedAccount
from sandbox.presigned_url import UrlSigner
from sandbox.problems import StorageProblem
from sandbox.run_state import RunOptions, RunState
from sandbox.storage import (
    LICENSE_KEY_HEADER,
    Blob,
    check_signed_headers,
    check_upload_headers,
    import_id_of,
    is_conditional,
)


@dataclass(frozen=True)
class UploadTicket:
    """An upload that storage has accepted by its URL and headers; its body is still to come."""

    import_id: str
    size_bytes: int
    only_if_absent: bool


class StorageState(RunState):
    """A RunState with presigned URLs. Methods take a URL whole or as its request target; all raise StorageProblem."""

    def __init__(self, rng: random.Random, **options: Unpack[RunOptions]) -> None:
        super().__init__(rng, **options)
        self._signer = UrlSigner(rng.randbytes(32))

    def begin_upload(self, url: str, headers: Mapping[str, str], now: float) -> UploadTicket:
        """Accept an upload by its URL and headers (lower-case names), before any of its body is read."""
        self._notice_leaked_key(headers)
        size_bytes = check_upload_headers(headers)
        import_id = import_id_of(self._signer.check("PUT", url, now=now))
        ticket = UploadTicket(import_id, size_bytes, is_conditional(headers, self.settings.if_none_match))
        self._check_precondition(ticket)
        return ticket

    def finish_upload(self, ticket: UploadTicket, blob: Blob, now: float) -> str:
        """Store the whole body of an upload and return its ETag (quoted md5).

        An upload that comes after the import noticed an earlier one is counted and otherwise ignored; one that comes
        before that replaces the earlier one.
        """
        self._check_precondition(ticket)
        self.counters.count("puts", ticket.import_id)
        self._account.uploaded.add(ticket.import_id)
        found = self._account.imports.get(ticket.import_id)
        if found is None or found.has_arrived(now):
            self.counters.count("ignored_puts", ticket.import_id)
            self.storage.discard(blob)
        else:
            self._arrive(found, blob, at=now + self.settings.upload_lag_s)
            self._journal.import_changed(found)
        return f'"{blob.md5}"'

    def put_upload(self, url: str, data: bytes, now: float, *, headers: Mapping[str, str] | None = None) -> str:
        """Do a whole upload at one instant: `begin_upload` and `finish_upload`."""
        ticket = self.begin_upload(url, {"content-length": str(len(data)), **(headers or {})}, now)
        return self.finish_upload(ticket, self.storage.put(f"{ticket.import_id}.upload", data), now)

    def download(self, url: str, now: float, *, headers: Mapping[str, str] | None = None) -> Blob:
        """Return the result that a presigned URL leads to."""
        self._notice_leaked_key(headers or {})
        check_signed_headers(headers or {})
        import_id = import_id_of(self._signer.check("GET", url, now=now))
        found = self._account.imports.get(import_id)
        if found is None or found.finished is None or found.finished.result is None:
            raise StorageProblem(404, "NoSuchKey", "The specified key does not exist.")
        self.counters.count("downloads", import_id)
        return found.finished.result

    def restore(self, saved: SavedAccount, journal: Journal) -> None:
        """As RunState.restore; URLs that an earlier process signed stay valid."""
        self._signer = UrlSigner(saved.secret)
        super().restore(saved, journal)

    def _notice_leaked_key(self, headers: Mapping[str, str]) -> None:
        if LICENSE_KEY_HEADER not in headers:
            return
        self.counters.count("key_leaks")
        if self.settings.refuse_leaked_key:
            raise StorageProblem(400, "InvalidArgument", "A license key was sent to the storage host.")

    def _check_precondition(self, ticket: UploadTicket) -> None:
        if ticket.only_if_absent and ticket.import_id in self._account.uploaded:
            raise StorageProblem(412, "PreconditionFailed", "The object is already there")
