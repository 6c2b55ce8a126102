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
from runner.cli.terminal import visible
from runner.formatting import shown
from runner.local.outcome import ExitCode, exit_code_of
from runner.masking import FORMS, cut

_TRACE_LINE_CHARS = 2000

ErrorHook = Callable[[str, str | None, ExitCode], None]
"""Called with the error that ends the command: message, hint, exit code."""


@contextmanager
def reported(*, verbose: bool = False, on_error: ErrorHook | None = None) -> Iterator[None]:
    """Turn any exception from the block into text on stderr and its exit code.

    Raises typer.Exit; wrong usage (typer.BadParameter) passes, since typer shows it itself.
    """
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        _abandon_stdout()
        raise typer.Exit(ExitCode.OK) from None
    except typer.Abort:
        sys.stderr.write("\nstopped; nothing was done\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
        code = _report(leading(error), verbose=verbose, on_error=on_error)
        raise typer.Exit(code) from None


def leading(error: BaseException) -> BaseException:
    """Return the error of a group to report: the first of Bulkhead's own, or else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [leading(one) for one in error.exceptions]
    return next((one for one in inner if isinstance(one, errors.BulkheadError)), inner[0])


def _report(error: BaseException, *, verbose: bool, on_error: ErrorHook | None) -> ExitCode:
    message, hint = told(error)
    code = exit_code_of(error) if isinstance(error, errors.BulkheadError) else ExitCode.UNEXPECTED
    if verbose:
        sys.stderr.write(_trace(error))
    sys.stderr.write(f"error: {_lines(message)}\n")
    if hint:
        sys.stderr.write(f"hint: {_lines(hint)}\n")
    if on_error is not None:
        on_error(message, hint, code)
    return code


def told(error: BaseException) -> tuple[str, str | None]:
    """Return what a person is told about an error: the sentence, and the hint."""
    if isinstance(error, errors.BulkheadError):
        return str(error), error.hint
    return _unexpected(error), "run the command again with -v for details"


def _unexpected(error: BaseException) -> str:
    return f"unexpected error ({type(error).__name__}); the ledger is safe"


def _trace(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "".join(f"{visible(FORMS(cut(line, _TRACE_LINE_CHARS)))}\n" for line in lines)


def _lines(text: str) -> str:
    return "\n  ".join(shown(line) for line in text.splitlines())


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the final flush succeeds: the reader has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
