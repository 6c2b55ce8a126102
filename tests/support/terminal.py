"""The `bulkhead` command on a terminal, and a person who answers its questions."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.command import Command

DEADLINE_S = 20.0


def answered(command: Command, arguments: list[str], answers: list[tuple[bytes, str]]) -> tuple[int, bytes]:
    """Run a command with a terminal, type each answer after its question, and return exit code and screen."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *command.program, *arguments],
        cwd=command.home,
        env={**command.environment, "TERM": "xterm-256color"},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    screen = b""
    seen = 0
    while block := _read(terminal):
        screen += block
        if answers and answers[0][0] in screen[seen:]:
            seen = len(screen)
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    try:
        return process.wait(DEADLINE_S), screen
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(screen) from None


def _read(terminal: int) -> bytes:
    try:
        if not select.select([terminal], [], [], DEADLINE_S)[0]:
            return b""
        return os.read(terminal, 65536)
    except OSError:
        return b""
