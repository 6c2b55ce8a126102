"""What is wrong with a schema's hooks before any import: their form, and whether they compile."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.hooks.errors import HookFailed
from sandbox.hooks.limits import HookLimits
from sandbox.hooks.process import HookProcess
from sandbox.hooks.sources import Hooks, form_problems

_COMPILE_S = 5.0


def hook_problems(
    hooks: Mapping[str, Any], *, call_s: float = _COMPILE_S, program: Path | None = None
) -> list[tuple[str, str]]:
    """(path, sentence) of every hook that could not be run, in the schema's order; nothing is imported.

    Evaluates each source under the same walls as an import, without calling it. Raises HooksUnavailable where there
    are hooks but no Deno.
    """
    problems = list(form_problems(hooks))
    if problems:
        return problems
    found = Hooks.of(hooks).all()
    if not found:
        return []
    with HookProcess(limits=HookLimits(call_s=call_s), program=program) as process:
        for hook in found:
            try:
                process.call(hook.path, {"op": "check", "source": hook.source})
            except HookFailed as failed:
                problems.append((failed.path, failed.sentence))
                if failed.reason != "compile":
                    break
    return problems
