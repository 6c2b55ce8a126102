"""The summary of a batch: how many items are in each state, what it took, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.manifest.jsonl import shown_name
from runner.models import COUNTERS, ItemState, iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from runner.models import Batch


def summary(batch: Batch, by_state: Mapping[ItemState, int], exit_code: int | None, *, now: datetime) -> dict[str, Any]:
    """Return the fields of `summary.json` in order; `items` is the sum of all states.

    `duration_s` runs from the start to the end of the batch, or to `now` where it has not ended.
    """
    counts = {state.value: by_state.get(state, 0) for state in ItemState}
    elapsed = (batch.finished_at or now) - batch.started_at
    return {
        "batch_id": batch.batch_id,
        "source": shown_name(batch.source_uri),
        "state": batch.state.value,
        "items": sum(counts.values()),
        "by_state": counts,
        **{counter: batch.counters.get(counter, 0) for counter in COUNTERS},
        "started_at": iso(batch.started_at),
        "finished_at": iso(batch.finished_at),
        "duration_s": max(0.0, round(elapsed.total_seconds(), 3)),
        "exit_code": None if exit_code is None else int(exit_code),
    }
