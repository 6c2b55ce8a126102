"""Bulkhead: a bulk runner for Dromo Headless imports, as a library.

`Bulkhead` runs batches, `RunSpec` says what to run, and `Settings` how; `examples/library.py` is an example.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner._version import __version__

if TYPE_CHECKING:
    from runner.bulkhead import BatchStatus, Bulkhead, RunSpec
    from runner.config.routes import Route, Routes
    from runner.config.settings import Settings
    from runner.errors import BulkheadError
    from runner.local.outcome import BatchOutcome, ExitCode
    from runner.models import Batch, BatchState, Item, ItemState
    from runner.sources import SourceSpec, source_spec


_HOMES = {
    "runner.bulkhead": ("BatchStatus", "Bulkhead", "RunSpec"),
    "runner.errors": ("BulkheadError",),
    "runner.models": ("Batch", "BatchState", "Item", "ItemState"),
    "runner.local.outcome": ("BatchOutcome", "ExitCode"),
    "runner.config.routes": ("Route", "Routes"),
    "runner.config.settings": ("Settings",),
    "runner.sources": ("SourceSpec", "source_spec"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "BatchOutcome",
    "BatchState",
    "BatchStatus",
    "Bulkhead",
    "BulkheadError",
    "ExitCode",
    "Item",
    "ItemState",
    "Route",
    "Routes",
    "RunSpec",
    "Settings",
    "SourceSpec",
    "__version__",
    "source_spec",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `bulkhead --version` needs none of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
