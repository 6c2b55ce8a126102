"""Commands and notifications: what ends them before anything is sent, and what files and options say."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from runner.cli.app import build
from runner.cli.arguments import RunArguments
from runner.cli.notifications import SKIPPED, _drained
from runner.events import BatchFinished
from runner.findings import Level
from runner.models import BatchState
from runner.notify import Notifier
from runner.notify.doctor import notification_findings
from runner.notify.message import Message
from tests.support.notified import TOKEN, Receivers, running_receivers
from tests.support.working_directory import load

Ended = tuple[int, str]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with running_receivers() as receivers:
        yield receivers


@pytest.fixture
def bulkhead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run a command in this process, in an empty directory; return its exit code and all that it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DROMO_LICENSE_KEY", "canary-license-key")

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            build(arguments)([*arguments], prog_name="bulkhead")
        written = capfd.readouterr()
        return int(ended.value.code or 0), written.out + written.err

    return run


def test_an_unusable_url_ends_the_command_before_anything_is_done(
    bulkhead: Callable[..., Ended], tmp_path: Path
) -> None:
    code, text = bulkhead("run", ".", "--schema-id", "s", "--notify", f"slack://{TOKEN}")
    assert code == 2
    assert "error: notify_urls: slack://**** (flag): apprise cannot use this URL" in text
    assert TOKEN not in text
    assert not list(tmp_path.iterdir())


def test_so_does_a_missing_extra(
    bulkhead: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    code, text = bulkhead("track", "--notify", "json://127.0.0.1:1")
    assert code == 2
    assert "error: the notify extra is not installed" in text
    assert "pip install '.[notify]'" in text
    assert not list(tmp_path.iterdir())


def test_a_command_that_cannot_start_is_told_of_and_a_found_file_notifies_nobody(
    bulkhead: Callable[..., Ended], receivers: Receivers, tmp_path: Path
) -> None:
    toml = f'on_finish = ["touch", "planted"]\nschema_id = "s"\n[notify]\nurls = ["{receivers.url("file")}"]\n'
    (tmp_path / "bulkhead.toml").write_text(toml)
    code, text = bulkhead("run", "absent")
    assert code == 3
    assert receivers.got == {}
    for name in ("notify_urls", "on_finish"):
        assert f"notice: {name} of bulkhead.toml in the working directory is not used" in text
    assert "add --config bulkhead.toml" in text
    assert TOKEN not in text
    assert bulkhead("run", "absent", "--config", "bulkhead.toml")[0] == 3
    (message,) = receivers.got["file"]
    assert message["message"].startswith("Bulkhead ended with exit code 3: absent does not exist")
    assert not (tmp_path / "planted").exists()


def test_a_trial_in_the_sandbox_alarms_nobody_but_whom_its_options_name(
    bulkhead: Callable[..., Ended], receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_NOTIFY_URLS", receivers.url("on-call"))
    monkeypatch.setenv("BULKHEAD_ON_FINISH", "touch loaded")
    code, text = bulkhead("run", "absent", "--sandbox", "--schema-id", "s")
    assert code == 3
    assert "notify_urls (environment BULKHEAD_NOTIFY_URLS) is not used with --sandbox" in text
    assert "on_finish (environment BULKHEAD_ON_FINISH) is not used with --sandbox" in text
    assert receivers.got == {}
    bulkhead("run", "absent", "--sandbox", "--schema-id", "s", "--notify", receivers.url("me"))
    assert [message["title"] for message in receivers.got["me"]] == ["Sandbox: Bulkhead: could not run, exit code 3"]


async def test_ctrl_c_at_the_end_skips_what_is_not_sent_yet() -> None:
    gate, screen = threading.Event(), Console(file=io.StringIO(), width=100)
    service = Hanging(gate)
    notifier = Notifier([service], tell=lambda text, _: screen.print(text))
    notifier.take(
        BatchFinished(batch_id="b-1", state=BatchState.COMPLETE, by_state={}, exit_code=0, reason="all is done")
    )
    ending = asyncio.ensure_future(_drained(notifier, screen))
    await asyncio.to_thread(service.is_sending.wait)
    os.kill(os.getpid(), signal.SIGINT)
    await ending
    gate.set()
    assert screen.file.getvalue().splitlines() == [SKIPPED, "hanging is not notified: it was skipped"]  # type: ignore[attr-defined]


class Hanging:
    """A service that answers when a gate opens."""

    label = "hanging"

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate
        self.is_sending = threading.Event()

    def send(self, message: Message) -> str | None:
        self.is_sending.set()
        self._gate.wait()
        return None


def test_the_command_to_copy_shows_no_url() -> None:
    args = RunArguments(source=".", notify=[f"slack://{TOKEN}"])
    words = ["run", ".", "--notify", f"slack://{TOKEN}", f"--notify=slack://{TOKEN}", "--json"]
    shown = args.shown(words)
    assert shown == ["run", ".", "--notify", "slack://****", "--notify=slack://****", "--json"]


class TestDoctor:
    """`bulkhead doctor` says what is set up, and sends nothing unless asked."""

    @staticmethod
    def findings(tmp_path: Path, *, send_test: bool = False, **flags: object) -> list[tuple[Level, str]]:
        found = asyncio.run(notification_findings(load(tmp_path, **flags), send_test=send_test))
        assert TOKEN not in str(found)
        return [(finding.level, f"{finding.detail} {finding.hint or ''}".strip()) for finding in found]

    def test_nothing_set_up_is_fine(self, tmp_path: Path) -> None:
        assert self.findings(tmp_path) == [(Level.OK, "not set up")]

    def test_services_are_named_with_their_occasions_and_nothing_is_sent(
        self, tmp_path: Path, receivers: Receivers
    ) -> None:
        flags = {"notify_urls": [receivers.url("good"), f"ntfys://{TOKEN}"], "notify_on": ["paused"]}
        host = f"127.0.0.1:{receivers.server_port}"
        assert self.findings(tmp_path, **flags) == [
            (Level.OK, f"JSON ({host}), ntfy; on paused; no message was sent"),
        ]
        assert receivers.got == {}

    def test_a_test_message_goes_to_each_url(self, tmp_path: Path, receivers: Receivers) -> None:
        flags = {"notify_urls": [receivers.url("good"), receivers.url("bad")]}
        (_, good), (level, bad) = self.findings(tmp_path, send_test=True, **flags)
        assert good.endswith("accepted a test message")
        assert level is Level.FAIL
        assert "did not accept a test message: Failed to send" in bad
        assert receivers.got["good"][0]["title"] == "Bulkhead: test"

    def test_a_url_or_an_extra_that_is_missing_is_a_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.findings(tmp_path, send_test=True)[0][0] is Level.FAIL
        assert self.findings(tmp_path, notify_urls=[f"nonsense://{TOKEN}"])[0][0] is Level.FAIL
        monkeypatch.setitem(sys.modules, "apprise", None)
        level, text = self.findings(tmp_path, notify_urls=["json://x"])[0]
        assert level is Level.FAIL
        assert "pip install '.[notify]'" in text

    def test_a_program_is_looked_for_and_not_run(self, tmp_path: Path) -> None:
        program = tmp_path / "load.sh"
        program.write_text("#!/bin/sh\ntouch ran\n")
        (level, text) = self.findings(tmp_path, on_finish=str(program))[0]
        assert (level, "is not a program that can be run" in text) == (Level.FAIL, True)
        program.chmod(0o700)
        assert self.findings(tmp_path, on_finish=f"{program} --all") == [
            (Level.OK, f"{program} --all; it was not run"),
        ]
        assert not (tmp_path / "ran").exists()

    def test_a_file_that_was_found_is_a_warning_with_the_remedy(self, tmp_path: Path) -> None:
        toml = f'[notify]\nurls = ["slack://{TOKEN}"]\n'
        ((level, text),) = self.findings(tmp_path, toml=toml)
        assert level is Level.WARN
        assert text.endswith("add --config bulkhead.toml")
