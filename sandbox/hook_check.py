"""Checks that the hooks of a definition compile, without running them."""

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson

from sandbox.hooks import HooksUnavailable, hook_problems
from sandbox.problems import ApiProblem
from sandbox.schema_validation import check_definition, place_parts, problem_body, without_nulls

REMEMBERED_MAX_COUNT = 1000


class HookCheck:
    """Remembers which hooks compile, because thousands of creates can contain the same ones."""

    def __init__(self) -> None:
        self._good: set[bytes] = set()

    def check(self, definition: object) -> None:
        """Check the `hooks` of a definition, if there are any. Starts a process, so it takes a moment.

        Raises ApiProblem 400 that names each hook that does not compile. Without Deno, no hook is checked here; an
        import with hooks then fails with a sentence.
        """
        hooks = definition.get("hooks") if isinstance(definition, Mapping) else None
        if not hooks:
            return
        check_definition({"hooks": hooks})
        text = orjson.dumps(hooks)
        if text in self._good:
            return
        with contextlib.suppress(HooksUnavailable):
            refuse_broken_hooks(hooks)
            if len(self._good) >= REMEMBERED_MAX_COUNT:
                self._good.clear()
            self._good.add(text)


def refuse_broken_hooks(hooks: Mapping[str, Any]) -> None:
    """Raise ApiProblem 400 if one of well-formed `hooks` does not compile, and HooksUnavailable without Deno."""
    if found := hook_problems(without_nulls(hooks)):
        raise ApiProblem(400, problem_body((("hooks", *place_parts(place)), text) for place, text in found))
