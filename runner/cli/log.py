"""Log lines on stderr: a sentence and its fields, above the live progress if there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from runner.formatting import shown

_KEPT_SILENT = "stamina"
"""A library that logs each retry. The runner's own log says what is retried and why."""

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class ConsoleLog(logging.Handler):
    """Writes records to a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        line = " ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())])
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self._console.print(Text(shown(line), style=style), soft_wrap=True)


@contextmanager
def logging_to(console: Console, *, verbose: bool) -> Iterator[None]:
    """Show the runner's log while the block runs: all of it when verbose, else errors only."""
    logging.getLogger(_KEPT_SILENT).addHandler(logging.NullHandler())
    logger = logging.getLogger("runner")
    handler = ConsoleLog(console)
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO if verbose else logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
