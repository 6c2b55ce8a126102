"""One run of the engine over a job, in any process: open the data, store the result."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from sandbox.engine import Outcome, run_import
from sandbox.hooks import HookLimits
from sandbox.imports import Finished, Job
from sandbox.review.decisions import open_decisions
from sandbox.review.draft_writer import DraftWriter, disk_full_error
from sandbox.storage import BlobWriter

Engine = Callable[[Job], Outcome]


def default_engine(job: Job) -> Outcome:
    return run_import(
        job.source,
        schema=job.schema,
        filename=job.filename,
        import_id=job.import_id,
        user=job.user,
        result=job.result,
        corrections=job.corrections,
        draft=job.draft,
        remembered=job.remembered,
        hook_limits=HookLimits(allow_hosts=job.hook_hosts),
    )


def run_job(job: Job, engine: Engine) -> Finished:
    """Run the engine and store the rows where the job says. Touches nothing else, so it can run in any process."""
    if job.decisions_path is not None and job.draft_path is not None:
        return _run_reviewed(job, engine, job.decisions_path, job.draft_path)
    return _run(job, engine)


def _run_reviewed(job: Job, engine: Engine, decisions_path: Path, draft_path: Path) -> Finished:
    """Run with the decisions of a review, and write the draft."""
    with open_decisions(decisions_path) as decisions:
        corrections, revision = decisions.corrections(), decisions.revision
    draft = DraftWriter(draft_path)
    try:
        finished = _run(replace(job, corrections=corrections, draft=draft), engine)
        draft.finish(finished.outcome, revision=revision)
    except sqlite3.OperationalError as error:
        draft.abort()
        raise disk_full_error(error) from None
    except BaseException:
        draft.abort()
        raise
    return finished


def _run(job: Job, engine: Engine) -> Finished:
    writer = BlobWriter(job.result_path)
    try:
        outcome = engine(replace(job, source=_opened(job), result=writer))
        if outcome.rows is not None:
            writer.write(orjson.dumps(outcome.rows))
            outcome = replace(outcome, rows=None, is_written=True)
        if outcome.is_written:
            return Finished.of(outcome, result=writer.commit())
    except BaseException:
        writer.abort()
        raise
    writer.abort()
    return Finished.of(outcome)


def _opened(job: Job) -> bytes | Path | list[Any]:
    """Return what the engine gets. JSON rows are decoded here, so that the server does not wait for it."""
    if not job.is_json or isinstance(job.source, list):
        return job.source
    rows: list[Any] = orjson.loads(job.source if isinstance(job.source, bytes) else job.source.read_bytes())
    return rows
