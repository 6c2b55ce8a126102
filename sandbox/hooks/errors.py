"""Errors of hooks: the extra is missing, or a hook failed its import."""

from typing import Literal

Reason = Literal["threw", "shape", "compile", "time", "memory", "size", "ended"]


class HooksUnavailable(Exception):
    """There are hooks to run, but the program that runs them is not installed."""

    def __init__(self) -> None:
        super().__init__("This schema has hooks; running them needs an extra: pip install '.[hooks]'.")


class HookFailed(Exception):
    """A hook ended its import; the text is the sentence to show.

    `path` names the hook inside the schema's `hooks` ("rowHooks[0]"). `reason`: it threw or rejected, returned a wrong
    shape, does not compile, ran out of time or memory, returned too much, or ended its process.
    """

    def __init__(self, path: str, sentence: str, *, reason: Reason) -> None:
        super().__init__(f"{path} {sentence}")
        self.path = path
        self.reason = reason
        self.sentence = sentence

    def __reduce__(self) -> tuple[type, tuple[str, str, Reason]]:
        """Pickle all parts: imports run in worker processes."""
        return _rebuilt, (self.path, self.sentence, self.reason)  # type: ignore[return-value]


def _rebuilt(path: str, sentence: str, reason: Reason) -> HookFailed:
    return HookFailed(path, sentence, reason=reason)
