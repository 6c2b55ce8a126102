"""`bulkhead sandbox`: a local sandbox of the vendor's API, in this terminal until Ctrl-C."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

HELP = "Run a sandbox of the vendor's API on this machine, to try Bulkhead without an account."


def sandbox_function() -> Callable[..., None]:
    """Return the command; its options are those that the sandbox declares for itself."""
    from sandbox.options import OPTIONS, as_arguments

    def sandbox(**values: str | None) -> None:
        from sandbox.__main__ import main

        raise typer.Exit(main(as_arguments(values)))

    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[
                str | None,
                typer.Option(option.flag, metavar=option.metavar, help=option.help, rich_help_panel=option.panel),
            ],
        )
        for option in OPTIONS
    ]
    sandbox.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    sandbox.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    sandbox.__doc__ = HELP
    return sandbox
