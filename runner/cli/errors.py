"""The one place where an error becomes text and an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from runner import errors
from runner.formatting import shown
from runner.local.outcome import ExitCode, exit_code_of

ErrorHook = Callable[[str, str | None, ExitCode], None]
"""Told of an error that ends the command: message, hint, exit code."""


@contextmanager
def reported(*, verbose: bool = False, on_error: ErrorHook | None = None) -> Iterator[None]:
    """Turn whatever leaves the block into a text on stderr and the exit code that belongs to it."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        _abandon_stdout()
        raise typer.Exit(ExitCode.OK) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the last place in which an error can become a sentence
        code = _tell(leading(error), verbose=verbose, on_error=on_error)
        raise typer.Exit(code) from None


def leading(error: BaseException) -> BaseException:
    """Return the error that counts in a group: the first of Bulkhead's own, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [leading(one) for one in error.exceptions]
    return next((one for one in inner if isinstance(one, errors.BulkheadError)), inner[0])


def _tell(error: BaseException, *, verbose: bool, on_error: ErrorHook | None) -> ExitCode:
    if isinstance(error, errors.BulkheadError):
        message, hint, code = str(error), error.hint, exit_code_of(error)
    else:
        message, hint, code = _unexpected(error), "run the command again with -v for the details", ExitCode.UNEXPECTED
    if verbose:
        sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.write(f"error: {_lines(message)}\n")
    if hint:
        sys.stderr.write(f"hint: {_lines(hint)}\n")
    if on_error is not None:
        on_error(message, hint, code)
    return code


def _unexpected(error: BaseException) -> str:
    return f"something unexpected happened ({type(error).__name__}); what the ledger holds is safe"


def _lines(text: str) -> str:
    return "\n  ".join(shown(line) for line in text.splitlines())


def _abandon_stdout() -> None:
    """Let the interpreter flush into nothing: whoever read our output has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
