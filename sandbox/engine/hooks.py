"""The process that runs a schema's hooks, for as long as one import needs it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox.engine.errors import HookError
from sandbox.engine.reading.sheet import Sheet
from sandbox.hooks import HookFailed, HookLimits, HookRunner, Hooks, HooksUnavailable


@contextmanager
def hooks_started(schema: Mapping[str, Any], *, sheet: Sheet, limits: HookLimits | None) -> Iterator[HookRunner | None]:
    """The process of the schema's hooks while the block runs, None where it has none. Raises HookError."""
    given = schema.get("hooks") or {}
    try:
        found = Hooks.of(given)
        if not found.all():
            yield None
            return
        with HookRunner.start(given, fields=schema["fields"], limits=_fit(limits or HookLimits(), found, sheet)) as run:
            yield run
    except (HookFailed, HooksUnavailable) as error:
        raise HookError(str(error)) from error


def sees_rows(hooks: Hooks) -> bool:
    """Whether any hook may look at the rows or change them, so that they have to be kept beside the file."""
    steps = [step for step in hooks.step if step.target != "UPLOAD_STEP"]
    return bool(hooks.column or hooks.bulk or hooks.row or steps)


def _fit(limits: HookLimits, hooks: Hooks, sheet: Sheet) -> HookLimits:
    """A heap large enough for all rows where a hook gets them all at once."""
    if not (hooks.column or hooks.bulk or hooks.before_finish):
        return limits
    count = width = 0
    for rows in sheet.batches():
        count += len(rows)
        width = max(width, *map(len, rows))
    return limits.for_rows(count, fields=width)
