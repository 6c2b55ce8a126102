"""How text reaches the terminal: consoles, log lines, and the order, color, and meaning of item states."""

from __future__ import annotations

import logging
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from runner.cli.terminal import unguarded, visible
from runner.formatting import shown
from runner.masking import FORMS, cut
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
    ItemState.SKIPPED: "unchanged, or left out by filters; --again sends what was collected",
    ItemState.NEEDS_REVIEW: "wait for a person to review them; see below",
    ItemState.UNCERTAIN: "might have been imported; see below",
    ItemState.FAILED: "the vendor could not import them; see below",
    ItemState.REJECTED: "rejected locally, not sent; see below",
    ItemState.SUCCEEDED: "imported; the results are not downloaded yet",
    ItemState.PROCESSING: "the vendor is still importing them",
    ItemState.PACKED: "in a pack whose import has not ended",
    ItemState.CREATED: "not uploaded yet",
    ItemState.CREATING: "create sent; no response yet",
    ItemState.QUEUED: "not sent yet",
}
"""What a state means at the end of a run; states are shown in this order."""

NO_FILES = "No file was found; look at the source, and at --include, --exclude, and --min-age."


def present(by_state: Mapping[ItemState, int]) -> Iterator[tuple[ItemState, int]]:
    """Yield each state that has items, with its count, in the order of MEANINGS."""
    for state in MEANINGS:
        if by_state.get(state):
            yield state, by_state[state]


class VisibleConsole(Console):
    """A console that makes all texts visible, and writes control sequences only of its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """Return a console that shows text as it is: no markup, no emoji codes, no highlighting."""
    stream = unguarded(sys.stderr if stderr else sys.stdout)
    return VisibleConsole(file=stream, stderr=stderr, markup=False, emoji=False, highlight=False)


def line(screen: Console, text: str | Text = "", *, style: str = "") -> None:
    """Write one line, which the terminal wraps."""
    screen.print(text if isinstance(text, Text) else Text(text, style=style), soft_wrap=True)


def prose(screen: Console, text: str, *, lead: str | Text = "", style: str = "") -> None:
    """Write a sentence after `lead`; on a terminal, break it between words and align it with its beginning.

    A `lead` that is a Text has a style of its own.
    """
    begin = lead if isinstance(lead, Text) else Text(lead, style=style)
    parts = [text]
    if screen.is_terminal and screen.width > begin.cell_len + _NARROWEST:
        room = screen.width - begin.cell_len
        parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    for number, part in enumerate(parts):
        line(screen, (begin if number == 0 else Text(" " * begin.cell_len)) + Text(part, style=style))


_NARROWEST = 20
"""Columns that a sentence needs after its lead to be wrapped between words."""

_SILENCED = "stamina"
"""A library that logs each retry. The runner's own log says what is retried and why."""

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


_LOG_LINE_CHARS = 2000


def log_line(record: logging.LogRecord) -> str:
    """Return a record of the log as one line, without secrets."""
    fields = {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
    line = " ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())])
    return shown(FORMS(cut(line, _LOG_LINE_CHARS)))


class ConsoleLog(logging.Handler):
    """Writes records to a console, each after the local time if it is `timed`."""

    def __init__(self, console: Console, *, timed: bool) -> None:
        super().__init__()
        self._console = console
        self._timed = timed

    def emit(self, record: logging.LogRecord) -> None:
        at = time.strftime("%H:%M:%S ", time.localtime(record.created)) if self._timed else ""
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self._console.print(Text(at + log_line(record), style=style), soft_wrap=True)


@contextmanager
def logging_to(console: Console, *, verbose: bool, also: logging.Handler | None = None) -> Iterator[None]:
    """Show the runner's log while the block runs: all of it when verbose, else errors only. Libraries log warnings.

    `also` gets the same records.
    """
    logging.getLogger(_SILENCED).addHandler(logging.NullHandler())
    logging.getLogger(_SILENCED).propagate = False
    logger, libraries = logging.getLogger("runner"), logging.getLogger()
    handlers = [ConsoleLog(console, timed=verbose), *([also] if also else [])]
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO if verbose else logging.ERROR)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
        libraries.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            libraries.removeHandler(handler)
        logger.level, logger.propagate = before
