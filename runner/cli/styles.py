"""How text reaches the terminal: consoles, and the order, color, and meaning of item states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text

from runner.models import ItemState

STYLES = {
    ItemState.COLLECTED: "green",
    ItemState.NEEDS_REVIEW: "yellow",
    ItemState.UNCERTAIN: "yellow",
    ItemState.FAILED: "red",
    ItemState.REJECTED: "red",
}

MEANINGS = {
    ItemState.COLLECTED: "imported; the results are in {out}/results",
    ItemState.SKIPPED: "unchanged since an earlier import; --again sends them",
    ItemState.NEEDS_REVIEW: "wait for a person to review them; see below",
    ItemState.UNCERTAIN: "might have been imported; see below",
    ItemState.FAILED: "the vendor could not import them; see below",
    ItemState.REJECTED: "rejected locally, not sent; see below",
    ItemState.SUCCEEDED: "imported; the results are not downloaded yet",
    ItemState.PROCESSING: "the vendor is still importing them",
    ItemState.CREATED: "not uploaded yet",
    ItemState.CREATING: "create requested; no answer yet",
    ItemState.QUEUED: "not sent yet",
}
"""What a state means at the end of a run; states are shown in this order."""


def present(by_state: Mapping[ItemState, int]) -> Iterator[tuple[ItemState, int]]:
    """Yield each state that has items, with its count, in the order of MEANINGS."""
    for state in MEANINGS:
        if by_state.get(state):
            yield state, by_state[state]


def console(*, stderr: bool = False) -> Console:
    """Return a console that shows text as it is: no markup, no emoji codes, no highlighting."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def line(screen: Console, text: str | Text = "", *, style: str = "") -> None:
    """Write one line, which the terminal wraps."""
    screen.print(text if isinstance(text, Text) else Text(text, style=style), soft_wrap=True)
