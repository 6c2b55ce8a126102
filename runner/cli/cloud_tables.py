"""What the commands about a deployment on AWS show on a terminal."""

from __future__ import annotations

from rich.console import Console

from runner.cli.console import line
from runner.text import shown

_EVENTS = "import_completed, headless_import_needs_review, headless_import_failed"
_WEBHOOK_STEPS = {
    "current": (
        "In the vendor's dashboard, make a webhook with this url for the events",
        f"{_EVENTS}.",
        "Whoever has the url can ring: treat it as a secret.",
    ),
    "next": (
        "It is taken beside the one in use, within five minutes from now. Then:",
        "1. give it to the vendor's dashboard in place of the old one",
        "2. bulkhead webhook-url --rotate{options}",
    ),
    "rotated": ("It is the only one now: within five minutes the old one is refused.",),
}


def print_webhook_url(console: Console, url: str, *, which: str, options: str) -> None:
    """Write the url on a line of its own, and what to do with it."""
    line(console, shown(url), style="bold")
    line(console)
    for sentence in _WEBHOOK_STEPS[which]:
        line(console, sentence.format(options=options))
