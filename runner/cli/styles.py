"""How the states of items are shown: their order, colour and meaning at the end of a run."""

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
    ItemState.COLLECTED: "imported; the rows lie in {out}/results",
    ItemState.SKIPPED: "unchanged since they were imported; --again sends them anyway",
    ItemState.NEEDS_REVIEW: "wait for a person, see below",
    ItemState.UNCERTAIN: "may or may not have been imported, see below",
    ItemState.FAILED: "the vendor could not import them, see below",
    ItemState.REJECTED: "refused here; nothing of them was sent",
    ItemState.SUCCEEDED: "imported; the result is still to be fetched",
    ItemState.PROCESSING: "still at the vendor",
    ItemState.CREATED: "still to be uploaded",
    ItemState.CREATING: "sent, the answer is still to be recorded",
    ItemState.QUEUED: "still to be sent",
}
"""In the order in which states are shown."""


def present(by_state: Mapping[ItemState, int]) -> Iterator[tuple[ItemState, int]]:
    """Yield the states that have items, with how many, in the order in which they are shown."""
    for state in MEANINGS:
        if by_state.get(state):
            yield state, by_state[state]


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes no text for markup, emoji or something to highlight."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def line(screen: Console, text: str | Text = "", *, style: str = "") -> None:
    """Write one line as it is."""
    screen.print(text if isinstance(text, Text) else Text(text, style=style), soft_wrap=True)
