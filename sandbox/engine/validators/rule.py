"""A rule: what every validator is to the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.engine.batch import Batch, Part

ERROR_LEVEL = "error"

Broken = Callable[[Part, Batch], Sequence[int]]
Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A validator of one field; `broken` returns the rows of a part of the field that break it."""

    name: str
    message: str
    level: str
    broken: Broken

    @property
    def is_error(self) -> bool:
        return self.level == ERROR_LEVEL
