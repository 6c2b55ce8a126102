"""The `hooks` of a schema: its callbacks, their paths, and the problems of their form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

STEPS = ("UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT")
_NO_FUNCTION = "must be the text of a JavaScript function."
_CALLBACK_LISTS = ("bulkRowHooks", "rowHooks", "rowDeleteHooks")


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One callback: its `path` in `hooks`, its JavaScript `source`, and as `target` its field's key or its step."""

    path: str
    source: str
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """A schema's callbacks by kind, each kind in the schema's order."""

    column: tuple[Hook, ...] = ()
    bulk: tuple[Hook, ...] = ()
    row: tuple[Hook, ...] = ()
    row_delete: tuple[Hook, ...] = ()
    step: tuple[Hook, ...] = ()
    before_finish: Hook | None = None

    @classmethod
    def of(cls, hooks: Mapping[str, Any]) -> Self:
        """Read the `hooks` of a schema. Raises ValueError with the first problem of form."""
        problem = next(form_problems(hooks), None)
        if problem is not None:
            raise ValueError(f"{problem[0]} {problem[1]}")
        finish = hooks.get("beforeFinishCallback")
        return cls(
            column=tuple(
                Hook(path=f"columnHooks[{at}]", source=item["callback"], target=_column_key(item))
                for at, item in enumerate(hooks.get("columnHooks") or ())
            ),
            bulk=_callbacks(hooks, "bulkRowHooks"),
            row=_callbacks(hooks, "rowHooks"),
            row_delete=_callbacks(hooks, "rowDeleteHooks"),
            step=tuple(
                Hook(path=f"stepHooks[{at}]", source=item["callback"], target=item["type"])
                for at, item in enumerate(hooks.get("stepHooks") or ())
            ),
            before_finish=Hook(path="beforeFinishCallback", source=finish) if finish else None,
        )

    def at_step(self, step: str) -> tuple[Hook, ...]:
        return tuple(hook for hook in self.step if hook.target == step)

    def all(self) -> tuple[Hook, ...]:
        last = (self.before_finish,) if self.before_finish else ()
        return (*self.step, *self.column, *self.bulk, *self.row, *self.row_delete, *last)


def form_problems(hooks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (path, sentence) for each hook that is not written as documented. Unknown keys are ignored."""
    for kind in (*_CALLBACK_LISTS, "columnHooks", "stepHooks"):
        if not isinstance(hooks.get(kind), list | None):
            yield kind, "must be a list."
    for kind in _CALLBACK_LISTS:
        yield from ((path, _NO_FUNCTION) for path, item in _items(hooks, kind) if not isinstance(item, str))
    for path, item in _items(hooks, "columnHooks"):
        yield from _object_problems(path, item)
        if isinstance(item, dict) and not isinstance(_column_key(item), str):
            yield f"{path}.fieldName", "must be the key of a field."
    for path, item in _items(hooks, "stepHooks"):
        yield from _object_problems(path, item)
        if isinstance(item, dict) and item.get("type") not in STEPS:
            yield f"{path}.type", f"must be one of {', '.join(STEPS)}."
    if not isinstance(hooks.get("beforeFinishCallback"), str | None):
        yield "beforeFinishCallback", _NO_FUNCTION


def _items(hooks: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    given = hooks.get(kind)
    yield from ((f"{kind}[{at}]", item) for at, item in enumerate(given if isinstance(given, list) else ()))


def _object_problems(path: str, item: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(item, dict):
        yield path, "must be an object with a callback."
    elif not isinstance(item.get("callback"), str):
        yield f"{path}.callback", _NO_FUNCTION


def _column_key(item: Mapping[str, Any]) -> Any:
    return item.get("fieldName", item.get("fieldKey"))


def _callbacks(hooks: Mapping[str, Any], kind: str) -> tuple[Hook, ...]:
    return tuple(Hook(path=path, source=source) for path, source in _items(hooks, kind))
