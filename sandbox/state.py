"""The vendor's account as a state machine: no socket, no clock, no randomness of its own."""

import hmac
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.account import Account
from sandbox.counters import Counters
from sandbox.creation import CreateRequest, parse_create
from sandbox.ids import new_id
from sandbox.imports import Ended, Finished, Import, Job, Review
from sandbox.journal import Journal, Kept, NoJournal
from sandbox.options import KEEP_IMPORTS
from sandbox.paging import Paging
from sandbox.problems import ApiProblem, StorageProblem, not_found, throttled
from sandbox.quotas import SlidingLog
from sandbox.review.runs import ReviewRun, ReviewRuns, take
from sandbox.runs import Engine, default_engine, run_job
from sandbox.schema_validation import without_nulls
from sandbox.schemas import SavedSchemas
from sandbox.settings import SandboxSettings
from sandbox.storage import (
    LICENSE_KEY_HEADER,
    Blob,
    Storage,
    UrlSigner,
    check_signed_headers,
    check_upload_headers,
    import_id_of,
    is_conditional,
    result_path,
    upload_path,
)

API_PREFIX = "/api/v1"


@dataclass(frozen=True)
class UploadTicket:
    """An upload that storage has let in; its body is still to come."""

    import_id: str
    size_bytes: int
    only_if_absent: bool


class SandboxState:
    """Every endpoint as a method that takes `now` (epoch seconds) and returns the answer's JSON.

    All raise ApiProblem, the storage methods StorageProblem. With `inline` the engine runs inside the calls, once an
    import's time has come; otherwise `due_jobs` hands the runs out, `record_finished` takes their ends and
    `due_announcements` tells of them. Of more than `keep` imports the oldest is dropped.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        settings: SandboxSettings | None = None,
        storage: Storage | None = None,
        engine: Engine = default_engine,
        schemas: Iterable[Mapping[str, Any]] = (),
        origin: str = "http://sandbox.invalid",
        inline: bool = True,
        keep: int = KEEP_IMPORTS,
        hook_hosts: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.storage = storage or Storage()
        self.counters = Counters()
        self.origin = origin
        self._rng = rng
        self._engine = engine
        self._inline = inline
        self._keep = keep
        self._hook_hosts = hook_hosts
        self._journal: Journal = NoJournal()
        self._busy: dict[str, Blob] = {}
        self.review_runs = ReviewRuns()
        self._unwanted: list[str] = []
        self._signer = UrlSigner(rng.randbytes(32))
        self._account = Account()
        self._create_log = SlidingLog(self.settings.create_quota)
        self.schemas = SavedSchemas(schemas, new_id=partial(new_id, self._rng))

    # The API

    def authenticate(self, license_key: str | None) -> None:
        """Raise 401 without a key and 403 for a wrong one; neither counts against a quota."""
        if not license_key:
            self.counters.count("bad_keys")
            raise ApiProblem(401, {"detail": "Authentication credentials were not provided."})
        if self.settings.license_key is not None and license_key != self.settings.license_key:
            self.counters.count("bad_keys")
            raise ApiProblem(403, {"detail": "Invalid license key."})

    def create(self, body: object, now: float) -> dict[str, Any]:
        """Make an import from `body` (a decoded JSON value, or its bytes) and return the full import."""
        if not self._create_log.admit(now):
            self.counters.count("refused_create_times", repr(now))
            raise throttled(self._create_log.retry_after_s(now), now=now, header=self.settings.retry_after)
        self._journal.admitted("", now, window_s=self.settings.create_quota.window_s)
        self.counters.count("create_times", repr(now))
        request = parse_create(body, schemas=self.schemas.by_id)
        made = self._made(request, now=now)
        if request.rows is not None:
            self._arrive(made, self.storage.put(f"{made.id}.rows", request.rows_json), at=now)
        self._account.imports[made.id] = made
        self.counters.count("created_ids", made.id)
        self._journal.import_changed(made)
        self._drop_oldest()
        return self._full(made, now=now)

    def retrieve(self, import_id: str, now: float) -> dict[str, Any]:
        log = self._account.poll_log(import_id, self.settings.poll_quota)
        if not log.admit(now):
            self.counters.count("refused_polls", import_id)
            raise throttled(log.retry_after_s(now), now=now, header=self.settings.retry_after)
        self._journal.admitted(import_id, now, window_s=self.settings.poll_quota.window_s)
        self.counters.count("polls", import_id)
        return self._full(self._settled(import_id, now=now), now=now)

    def list_imports(self, now: float, *, limit: object = None, offset: object = None) -> dict[str, Any]:
        """One page, newest first. Like Django REST framework: a limit or offset that is no number is as absent."""
        self.counters.count("list_calls")
        paging = Paging.read(limit, offset)
        return {
            "count": len(self._account.imports),
            **paging.links(f"{self.origin}{API_PREFIX}/headless/imports/", count=len(self._account.imports)),
            "results": [
                self._shown(self._settled(import_id, now=now).short(now))
                for import_id in paging.of(reversed(self._account.imports))
            ],
        }

    def results_url(self, import_id: str, now: float) -> dict[str, Any]:
        self.counters.count("url_calls")
        found = self._settled(import_id, now=now)
        if found.status(now) != "SUCCESSFUL":
            raise ApiProblem(404, {"detail": "This import has no results."})
        target = self._signer.sign("GET", result_path(import_id), now=now, ttl_s=self.settings.result_ttl_s)
        return {"presigned_url": self.origin + target}

    def delete(self, import_id: str, now: float) -> None:
        self._forget(self._settled(import_id, now=now))

    # The storage

    def begin_upload(self, url: str, headers: Mapping[str, str], now: float) -> UploadTicket:
        """Let an upload in by its URL and headers (lower-case names), before any of its body is read."""
        self._refuse_leaked_key(headers)
        size_bytes = check_upload_headers(headers)
        import_id = import_id_of(self._signer.check("PUT", url, now=now))
        ticket = UploadTicket(import_id, size_bytes, is_conditional(headers, self.settings.if_none_match))
        self._check_precondition(ticket)
        return ticket

    def finish_upload(self, ticket: UploadTicket, blob: Blob, now: float) -> str:
        """Store the whole body of an upload and return its ETag (quoted md5).

        One that comes after the import has noticed an earlier one is counted and otherwise ignored; one that comes
        before replaces the earlier one.
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
        """A whole upload at one instant: `begin_upload` and `finish_upload`."""
        ticket = self.begin_upload(url, {"content-length": str(len(data)), **(headers or {})}, now)
        return self.finish_upload(ticket, self.storage.put(f"{ticket.import_id}.upload", data), now)

    def download(self, url: str, now: float, *, headers: Mapping[str, str] | None = None) -> Blob:
        """The result a presigned URL leads to."""
        self._refuse_leaked_key(headers or {})
        check_signed_headers(headers or {})
        import_id = import_id_of(self._signer.check("GET", url, now=now))
        found = self._account.imports.get(import_id)
        if found is None or found.finished is None or found.finished.result is None:
            raise StorageProblem(404, "NoSuchKey", "The specified key does not exist.")
        self.counters.count("downloads", import_id)
        return found.finished.result

    def count(self, name: str, key: str) -> None:
        """One more of a figure that others see."""
        self.counters.count(name, key)

    # Time and reviews

    def due_jobs(self, now: float) -> list[Job]:
        """The runs whose time has come, each handed out once."""
        due = [found for found in self._account.waiting.values() if found.has_arrived(now)]
        reviews = [self._account.imports[name] for name in self.review_runs.due(now)]
        return [self._taken(found) for found in due] + [self._taken_in_review(found) for found in reviews]

    def unwanted_runs(self) -> list[str]:
        """The imports that were deleted while they ran, each named once."""
        named, self._unwanted = self._unwanted, []
        return named

    def run_ended_early(self, import_id: str) -> None:
        """A run was cancelled: that of a deleted import leaves nothing, any other goes again at the next start."""
        if import_id not in self._account.imports:
            self.storage.discard(self._busy.pop(import_id, None))
            self.review_runs.ended(import_id)

    def next_due_at(self) -> float | None:
        """When the next run's or announcement's time comes; None when nothing waits."""
        instants = (self._account.next_due_at(), self.review_runs.next_due_at())
        return min((at for at in instants if at is not None), default=None)

    def due_announcements(self, now: float) -> list[Ended]:
        """The imports that have ended or left a review, each told once for each such status."""
        due = [found for found in self._account.unannounced.values() if found.has_ended(now)]
        return [self._announced(found, now=now) for found in due]

    def run(self, job: Job) -> Finished:
        """Run the engine and store the rows. Touches no other state, so it may run in another thread."""
        return run_job(job, self._engine)

    def record_finished(self, import_id: str, finished: Finished, now: float) -> None:
        """Take the end of a run; one of an import that is gone is dropped."""
        upload = self._busy.pop(import_id, None)
        found = self._account.imports.get(import_id)
        run = self.review_runs.ended(import_id)
        if found is None:
            self.storage.discard(upload, finished.result, run.draft_path if run else None)
            return
        if run is not None:
            self._record_reviewed(found, run, finished, now)
            return
        found.finish(finished, at=now)
        self._account.ended(found)
        self._journal.import_finished(found)

    def reviewed(self, import_id: str, token: str) -> Import:
        """The import a review URL leads to; 404 for a wrong token, too."""
        found = self._account.imports.get(import_id)
        if found is None or not hmac.compare_digest(token.encode(errors="replace"), found.review_token.encode()):
            raise not_found()
        return found

    def open_review(self, found: Import) -> Review:
        """The files of an import's review; made at the first visit, which needs storage with a directory."""
        if found.review is None:
            decisions = self.storage.place(f"{found.id}.decisions")
            assert decisions is not None
            found.review = Review(decisions=decisions)
            self._journal.import_changed(found)
        return found.review

    def finish_review(self, import_id: str, now: float) -> None:
        """A person finishes the review: NEEDS_REVIEW becomes SUCCESSFUL. Raises 409 in any other status."""
        found = self._settled(import_id, now=now)
        if found.status(now) != "NEEDS_REVIEW":
            raise ApiProblem(409, {"detail": f"The import is {found.status(now)}, not NEEDS_REVIEW."})
        found.reviewed_at = now
        self.storage.discard(*found.close_review())
        self.review_runs.forget(import_id)
        self._account.ended(found, is_told=not self._inline)
        self._journal.import_changed(found)

    def settle(self, now: float) -> None:
        """Let every import become what it is at `now`; the counters are then complete."""
        for import_id in list(self._account.waiting):
            self._settled(import_id, now=now)

    def reset(self) -> None:
        """Forget imports, stored objects, logs and counters; saved schemas and settings stay."""
        for found in list(self._account.imports.values()):
            self._forget(found)
        self._account = Account()
        self._create_log = SlidingLog(self.settings.create_quota)
        self.counters = Counters(self._journal)
        self._journal.forgotten()

    def restore(self, kept: Kept, journal: Journal) -> None:
        """Go on from what was kept and tell `journal` of all that follows; imports that were running run again."""
        self._journal = self.counters.journal = journal
        self._signer = UrlSigner(kept.secret)
        self.schemas.restore(kept.schemas, preloaded=kept.preloaded, journal=journal)
        self.counters.restore(kept.figures)
        for log, at in kept.admitted:
            (self._account.poll_log(log, self.settings.poll_quota) if log else self._create_log).restore(at)
        self._account.readmit(kept.imports)
        self._drop_oldest()
        self.storage.sweep(path for found in self._account.imports.values() for path in found.files())

    def configure(self, settings: SandboxSettings) -> None:
        """Behave otherwise from now on; imports whose data have arrived keep their durations."""
        self.settings = settings
        self._create_log.rate = settings.create_quota
        for log in self._account.poll_logs.values():
            log.rate = settings.poll_quota

    # Inside

    def _made(self, request: CreateRequest, *, now: float) -> Import:
        import_id = new_id(self._rng)
        target = ""
        if request.original_filename is not None:
            path = upload_path(import_id, request.original_filename)
            target = self._signer.sign("PUT", path, now=now, ttl_s=self.settings.upload_ttl_s)
        return Import(
            id=import_id,
            schema_id=request.schema_id,
            schema=self._account.shared(request.schema),
            original_filename=request.original_filename,
            user=request.user,
            created_at=now,
            upload_target=target,
            review_token=self._rng.randbytes(16).hex(),
        )

    def _arrive(self, found: Import, blob: Blob, *, at: float) -> None:
        if found.upload is not None:
            self.storage.discard(found.upload)
        found.upload = blob
        if found.arrived_at is None:
            found.arrived_at = at
            found.pending_s, found.running_s = self.settings.pending_s, self.settings.running_s
        self._account.waiting[found.id] = found

    def _settled(self, import_id: str, *, now: float) -> Import:
        found = self._account.imports.get(import_id)
        if found is None:
            raise not_found()
        if self._inline and import_id in self._account.waiting and found.has_arrived(now):
            found.finish(self.run(self._taken(found)), at=found.created_at)
            self._account.ended(found, is_told=False)
            del self._busy[import_id]
        return found

    def _taken(self, found: Import) -> Job:
        assert found.upload is not None
        del self._account.waiting[found.id]
        self._busy[found.id] = found.upload
        self.counters.record_run(found.id, found.upload.sha256)
        return self._job(found)

    def _job(self, found: Import) -> Job:
        assert found.upload is not None
        return Job(
            import_id=found.id,
            source=found.upload.source,
            is_json=found.original_filename is None,
            filename=found.original_filename or "",
            schema=found.schema,
            user=found.user,
            hook_hosts=self._hook_hosts,
            remembered=self._account.mappings.known(found.schema),
            result_path=self.storage.place(f"{found.id}.result"),
        )

    def _taken_in_review(self, found: Import) -> Job:
        assert found.upload is not None
        self._busy[found.id] = found.upload
        draft_path = self.storage.place(f"{found.id}.draft")
        return self.review_runs.begin(self._job(found), review=self.open_review(found), draft_path=draft_path)

    def _record_reviewed(self, found: Import, run: ReviewRun, finished: Finished, now: float) -> None:
        taken = take(found, run, finished, now=now)
        self.storage.discard(*taken.discarded)
        if taken.has_ended:
            self._account.ended(found)
        if taken.has_outcome:
            self._journal.import_finished(found)
        else:
            self._journal.import_changed(found)

    def _announced(self, found: Import, *, now: float) -> Ended:
        del self._account.unannounced[found.id]
        found.announced = found.status(now)
        self._journal.import_changed(found)
        shown = self._shown(found.short(now)) | found.result_fields(now)
        return Ended(found=found, status=found.status(now), shown=shown)

    def _drop_oldest(self) -> None:
        while len(self._account.imports) > self._keep:
            oldest = next(iter(self._account.imports.values()))
            self._forget(oldest)
            self._account.uploaded.discard(oldest.id)
            self.counters.forget(oldest.id)
        self.counters.trim(self._keep)

    def _forget(self, gone: Import) -> None:
        self._account.forget(gone.id)
        is_busy = gone.id in self._busy
        upload = None if is_busy else gone.upload
        if is_busy:
            self._unwanted.append(gone.id)
        self.storage.discard(upload, gone.finished.result if gone.finished else None, *gone.close_review())
        self.review_runs.forget(gone.id)
        self._journal.import_gone(gone.id)

    def _full(self, found: Import, *, now: float) -> dict[str, Any]:
        status = found.status(now)
        links = {
            "upload": self._upload_url(found, now=now) if status == "AWAITING_UPLOAD" else None,
            "review_url": f"{self.origin}/review/{found.id}/{found.review_token}" if status == "NEEDS_REVIEW" else None,
        }
        return self._shown(found.short(now) | links) | found.result_fields(now)

    def _upload_url(self, found: Import, *, now: float) -> str:
        if self.settings.fresh_upload_url and found.original_filename is not None:
            path = upload_path(found.id, found.original_filename)
            return self.origin + self._signer.sign("PUT", path, now=now, ttl_s=self.settings.upload_ttl_s)
        return self.origin + found.upload_target

    def _shown(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer if self.settings.absent_as_null else without_nulls(answer)

    def _refuse_leaked_key(self, headers: Mapping[str, str]) -> None:
        if LICENSE_KEY_HEADER in headers:
            self.counters.count("key_leaks")
            raise StorageProblem(400, "InvalidArgument", "A license key was sent to the storage host.")

    def _check_precondition(self, ticket: UploadTicket) -> None:
        if ticket.only_if_absent and ticket.import_id in self._account.uploaded:
            raise StorageProblem(412, "PreconditionFailed", "The object is already there")
