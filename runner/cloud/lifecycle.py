"""The life of a batch that the stack drives: its id, its start, when it is idle, and how it is reopened."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner import identity
from runner.aws.s3 import S3Place
from runner.cloud.messages import BatchRef, StartLoad
from runner.cloud.protocols import Queue
from runner.errors import LedgerError
from runner.models import OPEN_STATES, Batch, BatchState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import Queues
    from runner.config.run_spec import RunSpec
    from runner.models import ItemState

ENDS = frozenset({BatchState.SETTLED, BatchState.COMPLETE})

SUBMIT_QUEUES = (Queue.SUBMIT, Queue.LOAD)
"""The queues of items that wait for their create."""

ROLLING = "landed-"
_NO_FOLDER = "all"
_MAX_SLUG_CHARS = 40
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_DAY = re.compile(rf"{ROLLING}(\d{{8}})-")


def slug(name: str) -> str:
    """Return a name as lower-case letters, digits, and dashes, 40 at most; empty if none of its characters remain."""
    return _NOT_PLAIN.sub("-", name.lower()).strip("-")[:_MAX_SLUG_CHARS].rstrip("-")


def rolling_id(source: str, at: datetime, *, below: str = "") -> str:
    """Return the batch id of a file that arrived, such as `landed-20260723-orders`: its day (UTC) and first folder.

    The folder is the first one below the prefix `below`. A folder whose name changes in a batch id gets a short hash,
    so that two folders never share an id.
    """
    folder, found, _ = source.removeprefix(below).partition("/")
    plain = slug(folder) if found else _NO_FOLDER
    day = at.astimezone(UTC).strftime("%Y%m%d")
    if found and plain != folder:
        plain = f"{plain}-{identity.short(folder)}".lstrip("-")
    return f"{ROLLING}{day}-{plain}"


def is_rolling(batch_id: str) -> bool:
    return _DAY.match(batch_id) is not None


def submit_queue(batch_id: str) -> Queue:
    """Return the queue of items that wait for their create: files that arrived do not wait behind loads."""
    return Queue.SUBMIT if is_rolling(batch_id) else Queue.LOAD


def day_is_over(batch_id: str, now: datetime, *, grace: timedelta = timedelta()) -> bool:
    """Return whether the day of a rolling batch has ended, `grace` included; true for every other batch."""
    found = _DAY.match(batch_id)
    if found is None:
        return True
    day = datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC)
    return now >= day + timedelta(days=1) + grace


def load_id(uri: str, name: str, at: datetime) -> str:
    """Return the batch id of a load, such as `nightly-20260723-020000-k3f9x2`: stable for uri, name, and time."""
    plain = slug(name) or "load"
    plain = f"load-{plain}" if f"{plain}-".startswith(ROLLING) else plain
    return f"{plain}-{identity.batch_id(f'{name} {uri}', at)}"


async def start_load(queues: Queues, uri: str, *, name: str, at: datetime) -> str:
    """Ask the stack to import everything under an `s3://` url of its inbox, and return the id of the new batch.

    The batch is in the ledger once a function has read the message, which takes seconds. Raises ConfigError if `uri`
    is not a place in S3, and TransientError.
    """
    load = StartLoad(uri=str(S3Place.parse(uri)), name=name, at=at)
    await queues.send(Queue.LIST, [load])
    return load_id(load.uri, name, at)


async def start_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Return the batch, started by this call or by another function at the same time. Raises LedgerError."""
    batch = Batch(
        batch_id=batch_id,
        source_uri=deployment.places.source(spec.source).uri,
        account=deployment.account,
        out=deployment.out(batch_id),
        config=spec.to_json(),
        started_at=deployment.clock.now(),
    )
    try:
        await deployment.ledger.start_batch(batch)
    except LedgerError:
        started = await deployment.ledger.batch(batch_id)
        if started is None:
            raise
        return started
    return batch


def is_idle(batch: Batch, by_state: Mapping[ItemState, int]) -> bool:
    """Return whether no item is being worked on. A rolling batch may be idle before all of its files have arrived."""
    return not any(by_state.get(state) for state in OPEN_STATES) and _may_be_idle(batch)


def _may_be_idle(batch: Batch) -> bool:
    return batch.listed or is_rolling(batch.batch_id)


async def enqueue_finish_if_idle(deployment: Deployment, batch_id: str) -> bool:
    """Enqueue finish, which writes the manifest, if the batch is idle; the ledger's counters are exact."""
    if await deployment.ledger.has_open(batch_id):
        return False
    batch = await deployment.ledger.batch(batch_id)
    if batch is None or not _may_be_idle(batch):
        return False
    await deployment.queues.send(Queue.FINISH, [BatchRef(batch_id=batch_id)])
    return True


async def reopen(deployment: Deployment, batch_id: str) -> None:
    """Set a batch that has ended to running, because it has work again; call it after the item was added."""
    batch = await deployment.ledger.batch(batch_id)
    if batch is not None and batch.state in ENDS:
        await deployment.ledger.update_batch(
            batch_id, state=BatchState.RUNNING, finished_at=None, exit_code=None, reason=None
        )
