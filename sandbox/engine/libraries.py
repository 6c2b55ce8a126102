"""The optional libraries: each is imported when a file or a schema first needs it."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sandbox.engine.errors import MissingLibraryError


@cache
def is_installed(module: str) -> bool:
    return find_spec(module) is not None


def library(module: str, *, package: str, purpose: str) -> Any:
    """Return the imported `module`. Raises MissingLibraryError if `package` is not installed."""
    if not is_installed(module):
        raise MissingLibraryError(f"This sandbox {purpose} only if {package} is installed (the sandbox extra).")
    return import_module(module)
