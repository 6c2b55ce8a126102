"""The log file of a run: plain lines with timestamps, appended, without secrets."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.errors import leading, told
from runner.cli.progress import Notices, plain_line, repeating
from runner.cli.styles import log_line
from runner.errors import ConfigError
from runner.formatting import shown
from runner.ledger.location import files_of
from runner.masking import FORMS, cut
from runner.permissions import PRIVATE

if TYPE_CHECKING:
    from runner.cli.progress_state import ProgressState
    from runner.config.settings import LoadedSettings
    from runner.events import Event

_LINE_CHARS = 2000


class LogFile:
    """Appends lines to an open file; `now` is the wall clock.

    If the file cannot be written any more, `on_trouble` is told once, and nothing more is written: a run does not fail
    for its log.
    """

    def __init__(self, file: int, *, now: Callable[[], datetime], on_trouble: Callable[[str], None]) -> None:
        self._file = file
        self._now = now
        self._on_trouble = on_trouble
        self._is_broken = False

    def write(self, text: str) -> None:
        """Write the lines of a text, each after the local time with its offset from UTC."""
        if self._is_broken:
            return
        at = self._now().astimezone().isoformat(timespec="seconds")
        lines = "".join(f"{at} {shown(FORMS(cut(line, _LINE_CHARS)))}\n" for line in text.splitlines())
        try:
            self._write_all(lines.encode(errors="backslashreplace"))
        except OSError as error:
            self._is_broken = True
            self._on_trouble(f"the log file cannot be written any more: {error.strerror}; the run continues without it")

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


@contextmanager
def opened(
    path: Path | None, loaded: LoadedSettings, *, now: Callable[[], datetime], on_trouble: Callable[[str], None]
) -> Iterator[LogFile | None]:
    """Open a log file while the block runs, and write the error that ends the block; None if there is no path.

    A new file can be read only by its owner. Raises ConfigError.
    """
    if path is None:
        yield None
        return
    with suppress(RuntimeError):  # it begins with a user that this machine does not have
        path = path.expanduser()
    file = _open(path, loaded)
    log = LogFile(file, now=now, on_trouble=on_trouble)
    try:
        yield log
    except Exception as error:
        message, hint = told(leading(error))
        log.write(f"error: {message}" + (f"\nhint: {hint}" if hint else ""))
        raise
    finally:
        os.close(file)


def _open(path: Path, loaded: LoadedSettings) -> int:
    if _is_taken(path, loaded):
        raise ConfigError(f"--log-file {path}: Bulkhead keeps something else in this file", hint="name another file")
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK
    try:
        file = PRIVATE.open(path, flags)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--log-file {path}: {reason}", hint="name a file in an existing directory") from None
    kind = os.fstat(file).st_mode
    if stat.S_ISREG(kind) or stat.S_ISCHR(kind):
        os.set_blocking(file, True)
        return file
    os.close(file)
    raise ConfigError(f"--log-file {path} is not a file", hint="name a file in an existing directory")


def _is_taken(path: Path, loaded: LoadedSettings) -> bool:
    """Return whether a path is a file of Bulkhead, or one that configures it, by whatever name."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return False
    settings = loaded.settings
    named = (settings.fields_file, settings.settings_file, settings.hooks_file, settings.ca_file, loaded.config_file)
    others = (*files_of(settings.ledger), settings.quota_store, Path(".env"), *named)
    return any(other is not None and other.is_file() and os.path.samestat(found, other.stat()) for other in others)


@asynccontextmanager
async def logging_progress(
    log: LogFile | None, state: ProgressState, *, every_s: float
) -> AsyncIterator[Callable[[Event], None]]:
    """Write the progress of a run to its log file while the block runs; yields what takes the run's events."""
    if log is None:
        yield lambda _: None
        return

    notices = Notices()

    def take(event: Event) -> None:
        state.take(event)
        if (sentence := notices.new_in(event)) is not None:
            log.write(sentence)

    async with repeating(lambda: log.write(plain_line(state)), every_s=every_s):
        yield take


class LogFileHandler(logging.Handler):
    """Writes log records to a log file."""

    def __init__(self, log: LogFile) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(f"{record.levelname.lower()}: {log_line(record)}")
