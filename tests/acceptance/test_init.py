"""`bulkhead init` on a terminal, and the first command that it names, against the sandbox."""

from __future__ import annotations

import stat
from collections.abc import Callable

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import CANARY_KEY
from tests.support.terminal import answered

Work = Callable[..., Workspace]


def test_a_person_answers_three_questions_and_the_first_command_works(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox, DROMO_LICENSE_KEY="")
    mine.command.umask = 0o022
    mine.add("a.csv", b"Full Name,Email\nAda,ada@example.com\n")
    (mine.home / ".gitignore").write_text("bulkhead-out/\n")
    answers = [(b"with the files", "inbox"), (b"not shown): ", CANARY_KEY), (b"Number of the schema", "customers")]
    code, screen = answered(mine.command, ["init"], answers)
    assert code == 0, screen
    assert CANARY_KEY.encode() not in screen
    env = mine.home / ".env"
    assert (env.read_text(), stat.S_IMODE(env.stat().st_mode)) == (f"DROMO_LICENSE_KEY={CANARY_KEY}\n", 0o600)
    assert (mine.home / ".gitignore").read_text() == "bulkhead-out/\n.env\n"
    commands = [line.split() for line in screen.decode().splitlines() if line.startswith("  bulkhead ")]
    assert [words[1:3] for words in commands] == [["plan", "inbox"], ["check", "inbox"], ["run", "inbox"]]
    assert mine.command(*commands[0][1:3], "--json").expect(0).document["items"] == 1
    env.unlink()
