"""How predictions, effects and clusters are called for people, on a terminal and in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.check.predictions import Effect, Prediction
from runner.formatting import counted

if TYPE_CHECKING:
    from runner.check.clusters import Cluster

PREDICTION_MEANINGS = {
    Prediction.SUCCEED: "would succeed",
    Prediction.REVIEW: "would need review",
    Prediction.FAIL: "would fail",
    Prediction.REJECT: "rejected here",
    Prediction.SKIP: "unchanged, skipped",
}
EFFECT_WORDS = {
    Effect.FAILS: "would fail",
    Effect.REJECTED: "rejected here",
    Effect.REVIEW: "would need review",
    Effect.ROWS_REMOVED: "rows left out",
    Effect.VALUES_EMPTIED: "values emptied",
    Effect.VALUES_KEPT: "invalid values kept",
    Effect.NOTE: "note",
}


def is_note(cluster: Cluster) -> bool:
    """Tell whether a cluster is only worth knowing."""
    return cluster.effect in (Effect.NOTE, Effect.VALUES_KEPT)


def headline_of(cluster: Cluster) -> str:
    """Return what is wrong in one line: the field where there is one, then the sentence."""
    if cluster.kind == "cell" and cluster.labels:
        return f"{cluster.labels[0]}: {cluster.message}"
    return cluster.message[:1].upper() + cluster.message[1:]


def rows_of(cluster: Cluster) -> str:
    """Return how many rows it is about; empty where it is not about rows."""
    if not cluster.row_count:
        return ""
    if cluster.is_capped:
        return f"{cluster.row_count:,} or more rows"
    return counted(cluster.row_count, "row")
