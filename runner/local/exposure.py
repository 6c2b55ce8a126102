"""Exposure: which files of a ledger others may read, although `ledger_mode` does not allow it."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runner.events import Notice
from runner.ledger.location import LedgerTable

if TYPE_CHECKING:
    from runner.config.settings import Settings

_OWN_DIRECTORY = ".bulkhead"


def exposed(settings: Settings) -> Notice | None:
    """Return a warning that names the command to run, None if others can read nothing."""
    command = settings.ledger_mode.closing(_paths(settings))
    if command is None:
        return None
    return Notice(
        code="readable_by_others",
        message="permissions let others on this machine read the ledger's files, which the setting ledger_mode = "
        f"{settings.ledger_mode} does not allow; run: {command}",
    )


def _paths(settings: Settings) -> Iterator[Path]:
    directory, store = settings.own_directory, settings.quota_store
    yield directory if directory.name == _OWN_DIRECTORY else directory / "lists"
    if isinstance(settings.ledger, LedgerTable):
        return
    yield from _beside(settings.ledger)
    yield from _beside(store)


def _beside(file: Path) -> Iterator[Path]:
    """Yield a file, what SQLite and locks keep beside it, and copies of it."""
    name, stem = glob.escape(file.name), glob.escape(file.stem)
    for pattern in (f"{name}*", f"{stem}-kept-*"):
        yield from sorted(file.parent.glob(pattern))
