"""`bulkhead check`: which files would succeed, need review, or fail, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.arguments import CheckArguments

if TYPE_CHECKING:
    from runner.check import Engine


def check(args: CheckArguments) -> None:
    """Predict which files would succeed, need review, or fail, and why; nothing is sent."""
    from runner.cli.check_command import check_source

    check_source(args, lambda: _engine(args.hook_hosts))


def _engine(hook_hosts: str | None) -> Engine:
    from runner.check.sandbox_engine import sandbox_engine

    return sandbox_engine([name.strip() for name in (hook_hosts or "").split(",") if name.strip()])
