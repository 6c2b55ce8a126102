"""Notifications of a real command: what arrives, what the screen says, and that nothing changes the exit code."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SandboxVendor
from tests.support.notified import TOKEN, running_receivers

Work = Callable[..., Workspace]


def test_trouble_with_notifications_is_a_notice_and_stdout_stays_json(sandbox: SandboxVendor, work: Work) -> None:
    home = work(sandbox)
    home.fill(2)
    home.add("empty.csv", b"")
    finish = "sh -c 'cat > summary-copy.json; echo noise; echo no database >&2; exit 9'"
    with running_receivers() as receivers:
        urls = ["--notify", receivers.url("good"), "--notify", receivers.url("bad")]
        ended = home.command(*home.arguments("--json", *urls, "--on-finish", finish, "--log-file", "run.log")).expect(4)

    assert ended.events[-1]["event"] == "batch_finished"
    (message,) = receivers.got["good"]
    assert message["title"] == "Bulkhead: batch finished with exit code 4"
    assert "3 items: 2 collected, 1 rejected." in message["message"]
    assert f"Next: bulkhead status {ended.events[-1]['batch_id']}" in message["message"]
    notices = ended.stderr.decode().splitlines()
    assert "notice: on_finish: sh ended with code 9: no database" in notices
    assert [line.startswith("notice: JSON (127.0.0.1:") and line.endswith("error=500") for line in notices].count(
        True
    ) == 1
    log = (home.home / "run.log").read_text()
    assert "notice: on_finish: sh ended with code 9\n" in log, "the log has no words of other programs"
    assert TOKEN not in ended.text + log
    assert (home.home / "summary-copy.json").read_bytes() == (home.out / "summary.json").read_bytes()
