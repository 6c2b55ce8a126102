"""The options that start a sandbox: declared once, for `python -m sandbox` and for `bulkhead sandbox`."""

import argparse
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sandbox.clock import MAX_SPEED, checked_speed
from sandbox.hooks import HookLimits
from sandbox.hosts import read_host_name
from sandbox.limits import MEGABYTE, MEMORY_BYTES, WorkerLimits
from sandbox.quotas import parse_rate

KEEP_IMPORTS = 100_000
_LAST_PORT = 65_535

Panel = Literal["Server", "Behavior"]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option with a value.

    `flag` is how the command line names it and `name` how Python does, `panel` is its heading in the help. `default`
    is the text that applies if the option is absent (None: nothing applies, and the value is None). `read` turns a
    text into the value and raises ValueError with a sentence. One that is `repeatable` has a list of values.
    """

    flag: str
    metavar: str
    help: str
    panel: Panel
    read: Callable[[str], Any]
    default: str | None = None
    repeatable: bool = False

    @property
    def name(self) -> str:
        """The option as an identifier, such as `license_key`."""
        return self.flag.removeprefix("--").replace("-", "_")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare every option of OPTIONS on `parser`; the namespace then holds their values by `Option.name`."""
    for option in OPTIONS:
        shown = "" if option.default is None else f" [default: {option.default}]"
        parser.add_argument(
            option.flag,
            action="append" if option.repeatable else "store",
            type=_for_argparse(option.read),
            default=option.default,
            metavar=option.metavar,
            help=(option.help + shown).replace("%", "%%"),
        )


def as_arguments(values: Mapping[str, str | Sequence[str] | None]) -> list[str]:
    """Return the arguments for `sandbox.__main__.main` from texts by `Option.name`; None leaves an option out.

    Another command line makes its own options from OPTIONS, such as one typer option for each, and passes on the
    texts as they are.
    """
    flags = {option.name: option.flag for option in OPTIONS}
    return [part for name, given in values.items() for text in _texts(given) for part in (flags[name], text)]


def _texts(given: str | Sequence[str] | None) -> Sequence[str]:
    return [given] if isinstance(given, str) else given or ()


def _for_argparse(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Show the sentence of a ValueError; argparse would replace it with its own."""

    def read_or_refuse(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_or_refuse


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise ValueError(f"not a port from 0 to {_LAST_PORT}: {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"not a whole number from 1: {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise ValueError(f"not a number of seconds: {text!r}")


def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        return checked_speed(float(text))
    raise ValueError(f"the clock's speed must be positive and at most {MAX_SPEED}")


def _worker_limits(text: str) -> WorkerLimits:
    return WorkerLimits(memory_bytes=_positive(text) * MEGABYTE)


def _hook_hosts(text: str) -> tuple[str, ...]:
    return HookLimits(allow_hosts=_names(text)).allow_hosts


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


OPTIONS = (
    Option(
        flag="--port",
        metavar="PORT",
        help="Listen on this port; 0 takes a free one.",
        panel="Server",
        read=_port,
        default="8700",
    ),
    Option(
        flag="--host", metavar="HOST", help="Listen on this address.", panel="Server", read=str, default="127.0.0.1"
    ),
    Option(
        flag="--allow-host",
        metavar="NAME",
        help="Also answer requests to this host name. By default, answer requests to localhost and IP addresses.",
        panel="Server",
        read=read_host_name,
        repeatable=True,
    ),
    Option(
        flag="--license-key",
        metavar="KEY",
        help="Accept only this license key. By default, accept any key that is not empty.",
        panel="Server",
        read=str,
    ),
    Option(
        flag="--schemas",
        metavar="DIR",
        help="Start with the saved schemas in this directory, one JSON file for each.",
        panel="Server",
        read=Path,
    ),
    Option(
        flag="--data",
        metavar="DIR",
        help="Keep everything in this directory, and continue from it at the next start.",
        panel="Server",
        read=Path,
    ),
    Option(
        flag="--keep",
        metavar="N",
        help="Keep the newest N imports, and drop older ones.",
        panel="Server",
        read=_positive,
        default=str(KEEP_IMPORTS),
    ),
    Option(
        flag="--webhook-hosts",
        metavar="HOST,...",
        help="Also send webhooks to these hosts. By default, send them only to this machine.",
        panel="Server",
        read=_names,
    ),
    Option(
        flag="--hook-hosts",
        metavar="HOST,...",
        help="Let the hooks of schemas fetch from these hosts. By default, they reach none.",
        panel="Server",
        read=_hook_hosts,
    ),
    Option(
        flag="--workers",
        metavar="N",
        help="Run this many imports at a time. By default, one for each core.",
        panel="Server",
        read=_positive,
    ),
    Option(
        flag="--worker-memory",
        metavar="MB",
        help="Fail an import that needs more memory than this.",
        panel="Server",
        read=_worker_limits,
        default=str(MEMORY_BYTES // MEGABYTE),
    ),
    Option(
        flag="--create-quota",
        metavar="N/TIME",
        help="Refuse more creates than this.",
        panel="Behavior",
        read=parse_rate,
        default="20/60s",
    ),
    Option(
        flag="--poll-quota",
        metavar="N/TIME",
        help="Refuse more polls of one import than this.",
        panel="Behavior",
        read=parse_rate,
        default="12/60s",
    ),
    Option(
        flag="--speed",
        metavar="FACTOR",
        help="Run the sandbox's clock this many times as fast as real time.",
        panel="Behavior",
        read=_speed,
        default="1",
    ),
    Option(
        flag="--processing-s",
        metavar="SECONDS",
        help="Take this long to process an import after its upload.",
        panel="Behavior",
        read=_seconds,
        default="0.5",
    ),
)
