"""The runs that reviews request: checks of decisions, and submissions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.imports import Finished, Import, Job, Review
from sandbox.storage import Blob


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A requested run, due at `due_at` (epoch seconds); one that `submits` ends the import if no error is left."""

    due_at: float
    submits: bool


@dataclass(frozen=True, kw_only=True)
class ReviewRun:
    """A run that is under way, and the path for its draft."""

    draft_path: Path
    submits: bool


@dataclass(frozen=True, kw_only=True)
class RunEffect:
    """The effect of a run: whether the import ended, whether it has a new outcome, and what to discard."""

    has_ended: bool
    has_outcome: bool
    discarded: list[Blob | Path | None]


class ReviewRuns:
    """At most one run of each import at a time; one that is requested meanwhile follows. Calls `on_end` at each end."""

    def __init__(self) -> None:
        self._wanted: dict[str, Wanted] = {}
        self._running: dict[str, ReviewRun] = {}
        self.on_end: Callable[[str], None] = lambda _: None

    def want(self, import_id: str, *, due_at: float, submits: bool = False) -> None:
        """Request a run. A later request moves a check to its own time, but none replaces a submission."""
        before = self._wanted.get(import_id)
        if before is not None and before.submits:
            return
        self._wanted[import_id] = Wanted(due_at=due_at, submits=submits)

    def due(self, now: float) -> list[str]:
        return [name for name, wanted in self._wanted.items() if name not in self._running and wanted.due_at <= now]

    def next_due_at(self) -> float | None:
        waiting = (wanted.due_at for name, wanted in self._wanted.items() if name not in self._running)
        return min(waiting, default=None)

    def begin(self, job: Job, *, review: Review, draft_path: Path | None) -> Job:
        """Begin the requested run of the job's import; return the job with its decisions and its draft's path."""
        assert draft_path is not None, "a review needs files"
        wanted = self._wanted.pop(job.import_id)
        self._running[job.import_id] = ReviewRun(draft_path=draft_path, submits=wanted.submits)
        return replace(job, decisions_path=review.decisions, draft_path=draft_path)

    def ended(self, import_id: str) -> ReviewRun | None:
        """Return the run that ended; None if none was under way."""
        run = self._running.pop(import_id, None)
        if run is not None:
            self.on_end(import_id)
        return run

    def is_pending(self, import_id: str) -> bool:
        """Return whether a run is under way or requested."""
        return import_id in self._wanted or import_id in self._running

    def is_submitting(self, import_id: str) -> bool:
        runs = (self._wanted.get(import_id), self._running.get(import_id))
        return any(run is not None and run.submits for run in runs)

    def forget(self, import_id: str) -> None:
        self._wanted.pop(import_id, None)


def apply_run(found: Import, run: ReviewRun, finished: Finished, *, now: float) -> RunEffect:
    """Apply a run of its review to `found`."""
    review = found.review
    if review is None or found.reviewed_at is not None:
        return RunEffect(has_ended=False, has_outcome=False, discarded=[run.draft_path, finished.result])
    if finished.status == "FAILED":
        review.trouble = finished.outcome.errors[0]["message"]
        return RunEffect(has_ended=False, has_outcome=False, discarded=[run.draft_path, finished.result])
    old_draft, review.draft, review.trouble = review.draft, run.draft_path, ""
    if not run.submits:
        return RunEffect(has_ended=False, has_outcome=False, discarded=[old_draft, finished.result])
    old_result = found.finished.result if found.finished else None
    has_ended = finished.status == "SUCCESSFUL"
    found.finished = finished
    if has_ended:
        found.reviewed_at = now
        return RunEffect(has_ended=True, has_outcome=True, discarded=[old_draft, old_result, *found.close_review()])
    return RunEffect(has_ended=False, has_outcome=True, discarded=[old_draft, old_result])
