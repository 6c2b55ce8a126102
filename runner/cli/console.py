"""The consoles of the command line: what is written to them is neither markup nor wrapped."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes no text for markup, emoji or something to highlight."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def line(screen: Console, text: str | Text = "", *, style: str = "") -> None:
    """Write one line as it is."""
    screen.print(text if isinstance(text, Text) else Text(text, style=style), soft_wrap=True)
