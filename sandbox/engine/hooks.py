"""A schema's hooks in an import: when they run, and how the engine applies what they ask for.

The order: UPLOAD_STEP before the header is searched; REVIEW_STEP after columns are matched; then column hooks, bulk row
hooks, and row hooks, each with the result of the previous ones; REVIEW_STEP_POST_HOOKS; REVIEW_STEP_PRE_SUBMIT; the
checks; and last beforeFinishCallback with the rows to submit. rowDeleteHooks run when a person deletes rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sandbox.engine.errors import HookError
from sandbox.engine.problems import schema_problems
from sandbox.engine.schema import Field, read_fields
from sandbox.hooks import AddedField, HookFailed, HookLimits, HookRunner, Hooks, HooksUnavailable, Orders


@contextmanager
def running_hooks(
    given: Mapping[str, Any],
    *,
    fields: Sequence[Field],
    limits: HookLimits,
    row_count: Callable[[], int],
    deletes: bool,
) -> Iterator[HookRunner | None]:
    """Run the hooks' process during the block; None if the import has no hook to run.

    `deletes` says that row delete hooks count. Raises HookError, also for what a hook does inside the block.
    """
    hooks = Hooks.of(given)
    if not hooks.all() or (hooks.all() == hooks.row_delete and not deletes):
        yield None
        return
    if hooks.column or hooks.bulk or hooks.before_finish:
        limits = limits.for_rows(row_count(), fields=len(fields))
    try:
        with HookRunner.start(given, fields=[each.definition for each in fields], limits=limits) as runner:
            yield runner
    except (HookFailed, HooksUnavailable) as error:
        raise HookError(str(error)) from error


def fields_after(fields: Sequence[Field], orders: Orders) -> list[Field]:
    """Return the fields after hooks added and removed some. Raises HookError for an invalid field."""
    made = list(fields)
    for added in orders.added_fields:
        made = [field for field in made if field.key != added.field.get("key")]
        made.insert(_place(made, added), _field(added))
    return [field for field in made if field.key not in orders.removed_fields]


def _field(added: AddedField) -> Field:
    schema = {"fields": [added.field]}
    if problems := schema_problems(schema):
        raise HookError(f"A hook added a field that cannot be used: {problems[0][0]}: {problems[0][1]}")
    return read_fields(schema)[0]


def _place(fields: Sequence[Field], added: AddedField) -> int:
    keys = [field.key for field in fields]
    if added.before in keys:
        return keys.index(added.before)
    return keys.index(added.after) + 1 if added.after in keys else len(keys)
