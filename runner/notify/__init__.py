"""Notifications about runs: listens to their events, sends messages by apprise, and runs the command `on_finish`.

Imports the root nouns, `config`, `manifest`, `sources`, and the outcome and the outages of `local`. Nothing that runs a
batch knows this package: a `Notifier` takes the events of a run as any listener does. Whatever goes wrong here becomes
a sentence, never an exit code.
"""

from runner.notify.notifier import Notifier

__all__ = ["Notifier"]
