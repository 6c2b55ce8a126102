"""Runs hooks with small limits over rows given as plain tuples."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sandbox.hooks import Batch, Changes, HookColumn, HookFailed, HookLimits, HookRunner

SHORT = HookLimits(call_s=1.0, import_s=20.0, heap_bytes=128 << 20)


def start(
    hooks: Mapping[str, Any], *, keys: Sequence[str] = ("name", "email"), limits: HookLimits | None = None
) -> HookRunner:
    pytest.importorskip("deno")
    return HookRunner.start(hooks, fields=[{"key": key} for key in keys], limits=limits or HookLimits())


def batch(rows: Sequence[Sequence[str]], *, keys: Sequence[str] = ("name", "email"), first: int = 0) -> Batch:
    columns = [HookColumn(key=key, texts=[row[at] for row in rows]) for at, key in enumerate(keys)]
    return Batch(columns=columns, indexes=range(first, first + len(rows)))


def texts(changes: Changes) -> dict[str, dict[int, str]]:
    """Return the changed texts by field key and row, without fields that didn't change."""
    return {change.key: dict(change.texts) for change in changes.columns if change.texts}


def infos(changes: Changes) -> dict[str, dict[int, list[tuple[str, str]]]]:
    return {
        change.key: {at: [tuple(message) for message in messages] for at, messages in change.infos.items()}
        for change in changes.columns
        if change.infos
    }


def row_changes(source: str, rows: Sequence[Sequence[str]], **options: Any) -> Changes:
    """Return what one row hook changes in a few rows of name and email."""
    with start({"rowHooks": [source]}, **options) as runner:
        return next(runner.rows(runner.hooks.row[0], batch(rows)))[1]


def row_failure(
    source: str, *, limits: HookLimits = SHORT, rows: Sequence[Sequence[str]] = (("a", "b"),)
) -> HookFailed:
    """Return the error of an import with this row hook."""
    with pytest.raises(HookFailed) as caught:
        row_changes(source, rows, limits=limits)
    return caught.value
