"""One run of the engine over a job, in whichever process: its data opened, its result stored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from sandbox.engine import Outcome, run_import
from sandbox.hooks import HookLimits
from sandbox.imports import Finished, Job
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
        hook_limits=HookLimits(allow_hosts=job.hook_hosts),
    )


def run_job(job: Job, engine: Engine) -> Finished:
    """Run the engine and store the rows where the job says. Touches nothing else, so it may run anywhere."""
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
    """What the engine gets: rows of JSON are read here, beside the run and not in the server."""
    if not job.is_json or isinstance(job.source, list):
        return job.source
    rows: list[Any] = orjson.loads(job.source if isinstance(job.source, bytes) else job.source.read_bytes())
    return rows
