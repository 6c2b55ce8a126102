"""The validators of a displayed text: length and alphabetical. Empty cells pass, and for length also non-text types."""

import re

from sandbox.engine.batch import Batch, Part
from sandbox.engine.validators.rule import Broken, Definition

_NOT_LETTERS = re.compile(r"[^a-zA-Z]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def length(definition: Definition) -> Broken:
    """Require between min and max characters, both inclusive, as JavaScript counts them (UTF-16 units)."""
    low = definition.get("min") or 0
    high = definition.get("max")
    high = float("inf") if high is None else high

    def broken(part: Part, _batch: Batch) -> list[int]:
        if not part.kind.is_texty:
            return []
        rows = zip(part.displayed, part.is_empty, strict=True)
        return [row for row, (text, empty) in enumerate(rows) if not empty and not low <= utf16_length(text) <= high]

    return broken


def bounds_text(definition: Definition) -> str:
    """Return the bounds as a message names them."""
    low, high = definition.get("min"), definition.get("max")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at most {high}" if low is None else f"at least {low}"


def alphabetical(_definition: Definition) -> Broken:
    """Allow only the letters a-z and A-Z."""

    def broken(part: Part, _batch: Batch) -> list[int]:
        rows = zip(part.displayed, part.is_empty, strict=True)
        return [row for row, (text, empty) in enumerate(rows) if not empty and _NOT_LETTERS.search(text)]

    return broken


def utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text) + len(_ASTRAL.findall(text))
