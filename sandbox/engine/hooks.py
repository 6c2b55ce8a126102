"""A schema's hooks, in the order in which an import runs them.

The order: UPLOAD_STEP before the header is looked for, REVIEW_STEP once columns are matched, then column hooks, bulk
row hooks and row hooks, each seeing what the former left, REVIEW_STEP_POST_HOOKS, the checks (again for changed
cells), REVIEW_STEP_PRE_SUBMIT before invalid rows are dealt with, and last beforeFinishCallback with the rows that
would be submitted. rowDeleteHooks run when a person deletes rows, so never in an import without one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.engine.errors import HookError

STEP_TYPES = ("UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT")
REFUSAL = "hooks are not run by this sandbox yet"
_LISTS = ("bulkRowHooks", "rowHooks")


@dataclass(frozen=True)
class Hook:
    """One function of the schema: when it runs, its JavaScript, and the field a column hook is for."""

    stage: str
    source: str
    field_key: str | None = None


def hooks_in_order(given: Mapping[str, Any]) -> list[Hook]:
    """The hooks that an import runs, first to last."""
    steps = {kind: [Hook(kind, hook["callback"]) for hook in _each(given, "stepHooks") if hook["type"] == kind]
             for kind in STEP_TYPES}  # fmt: skip
    columns = [
        Hook("columnHooks", hook["callback"], str(hook.get("fieldName") or hook.get("fieldKey")))
        for hook in _each(given, "columnHooks")
    ]
    lists = [Hook(name, source) for name in _LISTS for source in _each(given, name)]
    finish = [Hook("beforeFinishCallback", source) for source in [given.get("beforeFinishCallback")] if source]
    before = [*steps["UPLOAD_STEP"], *steps["REVIEW_STEP"], *columns, *lists]
    return [*before, *steps["REVIEW_STEP_POST_HOOKS"], *steps["REVIEW_STEP_PRE_SUBMIT"], *finish]


def refuse_hooks(given: Mapping[str, Any]) -> None:
    """Raise HookError where an import would have to run any."""
    if hooks_in_order(given):
        raise HookError(REFUSAL)


def _each(given: Mapping[str, Any], name: str) -> Iterator[Any]:
    yield from given.get(name) or ()
