"""Bodies that are almost valid: documents in which something is replaced, removed, or repeated."""

import copy
import random
from typing import Any

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**63 - 1,
    "",
    " ",
    "\x00",
    "\u202e\U0001f600",
    "../../etc/passwd",
    "x" * 3000,
    "__proto__",
    "(a+)+$",
    "[",
    [],
    {},
    [None],
    [[[[]]]],
    {"": None},
    {"key": "key"},
)


class Bodies:
    """An endless supply of bodies from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def near(self, document: Any) -> Any:
        """Return a copy with one to three changes."""
        changed = {"body": copy.deepcopy(document)}
        for _ in range(self.rng.randint(1, 3)):
            self._change(changed)
        return changed.get("body")

    def junk(self) -> Any:
        return copy.deepcopy(self.rng.choice(JUNK))

    def _change(self, document: dict[str, Any]) -> None:
        places = list(_places(document))
        holder, at = self.rng.choice(places)
        kind = self.rng.random()
        if kind < 0.6:
            holder[at] = self.junk()
        elif kind < 0.75 and holder is not document:
            del holder[at]
        elif kind < 0.9:
            other, there = self.rng.choice(places)
            holder[at] = copy.deepcopy(other[there])
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[at]))
        else:
            holder[str(self.junk())] = self.junk()


def _places(node: Any) -> Any:
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for at, child in items:
        yield node, at
        yield from _places(child)
