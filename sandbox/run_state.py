"""The account's imports over time: their data arrives, runs start and end, reviews open and finish."""

import hmac
import random
from collections.abc import Iterator
from typing import Any, TypedDict

from sandbox.account import Account
from sandbox.counters import Counters
from sandbox.imports import Ended, Finished, Import, Job, Review
from sandbox.journal import Journal, NoJournal, SavedAccount
from sandbox.options import KEEP_IMPORTS
from sandbox.problems import ApiProblem, not_found
from sandbox.review.runs import ReviewRun, ReviewRuns, apply_run
from sandbox.runs import Engine, default_engine, run_job
from sandbox.schema_validation import without_nulls
from sandbox.settings import SandboxSettings
from sandbox.storage import Blob, Storage


class RunOptions(TypedDict, total=False):
    """The options of a RunState."""

    settings: SandboxSettings | None
    storage: Storage | None
    engine: Engine
    inline: bool
    keep: int
    hook_hosts: tuple[str, ...]


class RunState:
    """The imports and what happens to them at `now` (epoch seconds); it has no socket and no clock.

    With `inline`, the engine runs inside the calls as soon as an import is due. Otherwise, `due_jobs` hands the runs
    out, `record_finished` takes their results, and `due_announcements` reports what ended. If there are more than
    `keep` imports, the oldest ones are dropped. `rng` is the only source of randomness.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        settings: SandboxSettings | None = None,
        storage: Storage | None = None,
        engine: Engine = default_engine,
        inline: bool = True,
        keep: int = KEEP_IMPORTS,
        hook_hosts: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.storage = storage or Storage()
        self.counters = Counters()
        self.review_runs = ReviewRuns()
        self._rng = rng
        self._engine = engine
        self._inline = inline
        self._keep = keep
        self._hook_hosts = hook_hosts
        self._journal: Journal = NoJournal()
        self._account = Account()
        self._busy: dict[str, Blob] = {}
        self._unwanted: list[str] = []

    def count(self, name: str, key: str) -> None:
        """Count something that another part of the sandbox observed."""
        self.counters.count(name, key)

    # Runs

    def due_jobs(self, now: float) -> list[Job]:
        """Return the runs that are due; each is handed out once."""
        due = [found for found in self._account.waiting.values() if found.has_arrived(now)]
        reviews = [self._account.imports[name] for name in self.review_runs.due(now)]
        return [self._taken(found) for found in due] + [self._taken_in_review(found) for found in reviews]

    def unwanted_runs(self) -> list[str]:
        """Return the imports that were deleted while they ran; each is returned once."""
        named, self._unwanted = self._unwanted, []
        return named

    def run_ended_early(self, import_id: str) -> None:
        """Record a cancelled run. A deleted import leaves nothing; any other runs again at the next start."""
        if import_id not in self._account.imports:
            self.storage.discard(self._busy.pop(import_id, None))
            self.review_runs.ended(import_id)

    def next_due_at(self) -> float | None:
        """Return when the next run or announcement is due; None if nothing waits."""
        instants = (self._account.next_due_at(), self.review_runs.next_due_at())
        return min((at for at in instants if at is not None), default=None)

    def due_announcements(self, now: float) -> list[Ended]:
        """Return the imports that ended or left a review; each is returned once for each such status."""
        due = [found for found in self._account.unannounced.values() if found.has_ended(now)]
        return [self._announced(found, now=now) for found in due]

    def run(self, job: Job) -> Finished:
        """Run the engine and store the rows. Touches no other state, so it may run in another thread."""
        return run_job(job, self._engine)

    def record_finished(self, import_id: str, finished: Finished, now: float) -> None:
        """Record the end of a run. If its import is gone, the result is discarded."""
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

    def settle(self, now: float) -> None:
        """Run every import that is due, so that the counters are complete. Only with `inline`."""
        for import_id in list(self._account.waiting):
            self._settled(import_id, now=now)

    def newest_first(self) -> Iterator[Import]:
        """Yield all imports."""
        return reversed(self._account.imports.values())

    # Reviews

    def reviewed(self, import_id: str, token: str) -> Import:
        """Return the import that a review URL leads to. Raises ApiProblem 404, also for a wrong token."""
        found = self._account.imports.get(import_id)
        if found is None or not hmac.compare_digest(token.encode(errors="replace"), found.review_token.encode()):
            raise not_found()
        return found

    def open_review(self, found: Import) -> Review:
        """Return an import's review, made at the first visit. Needs storage with a directory."""
        if found.review is None:
            decisions = self.storage.place(f"{found.id}.decisions")
            assert decisions is not None
            found.review = Review(decisions=decisions)
            self._journal.import_changed(found)
        return found.review

    def finish_review(self, import_id: str, now: float) -> None:
        """Turn NEEDS_REVIEW into SUCCESSFUL, as a person does. Raises ApiProblem 409 in any other status."""
        found = self._settled(import_id, now=now)
        if found.status(now) != "NEEDS_REVIEW":
            raise ApiProblem(409, {"detail": f"The import is {found.status(now)}, not NEEDS_REVIEW."})
        found.reviewed_at = now
        self.storage.discard(*found.close_review())
        self.review_runs.forget(import_id)
        self._account.ended(found, announces=not self._inline)
        self._journal.import_changed(found)

    # The whole account

    def reset(self) -> None:
        """Forget imports, stored objects, logs, and counters; settings stay."""
        for found in list(self._account.imports.values()):
            self._forget(found)
        self._account = Account()
        self.counters = Counters(self._journal)
        self._journal.forgotten()

    def restore(self, saved: SavedAccount, journal: Journal) -> None:
        """Continue from a saved account, and report all that follows to `journal`; unfinished imports run again."""
        self._journal = self.counters.journal = journal
        self.counters.restore(saved.figures)
        self._account.readmit(saved.imports)
        self._drop_oldest()
        self.storage.sweep(path for found in self._account.imports.values() for path in found.files())

    def configure(self, settings: SandboxSettings) -> None:
        """Use other settings from now on; imports whose data arrived keep their durations."""
        self.settings = settings
        for log in self._account.poll_logs.values():
            log.rate = settings.poll_quota

    # For the layers above

    def _arrive(self, found: Import, blob: Blob, *, at: float) -> None:
        if found.upload is not None:
            self.storage.discard(found.upload)
        found.upload = blob
        if found.arrived_at is None:
            found.arrived_at = at
            found.pending_s, found.running_s = self.settings.pending_s, self.settings.running_s
        self._account.waiting[found.id] = found

    def _settled(self, import_id: str, *, now: float) -> Import:
        """Return an import, with `inline` after its run if that is due. Raises ApiProblem 404."""
        found = self._account.imports.get(import_id)
        if found is None:
            raise not_found()
        if self._inline and import_id in self._account.waiting and found.has_arrived(now):
            found.finish(self.run(self._taken(found)), at=found.created_at)
            self._account.ended(found, announces=False)
            del self._busy[import_id]
        return found

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

    def _shown(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer if self.settings.absent_as_null else without_nulls(answer)

    # Inside

    def _taken(self, found: Import) -> Job:
        assert found.upload is not None
        del self._account.waiting[found.id]
        self._busy[found.id] = found.upload
        self.counters.record_run(found.id, found.upload.sha256)
        return self._job(found)

    def _taken_in_review(self, found: Import) -> Job:
        assert found.upload is not None
        self._busy[found.id] = found.upload
        draft_path = self.storage.place(f"{found.id}.draft")
        return self.review_runs.begin(self._job(found), review=self.open_review(found), draft_path=draft_path)

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

    def _record_reviewed(self, found: Import, run: ReviewRun, finished: Finished, now: float) -> None:
        taken = apply_run(found, run, finished, now=now)
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
