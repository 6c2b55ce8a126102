"""`on_finish` gets summary.json and no secrets, and nothing that it does can hold up a run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from runner.notify.command import run_command

DOCUMENT = b'{"batch_id": "b-1"}\n'
SLOW = "import time; time.sleep(300)"


async def ran(
    program: str,
    *,
    document: bytes = DOCUMENT,
    secrets: tuple[str, ...] = (),
    stop: asyncio.Event | None = None,
    limit_s: float = 60.0,
    output_within_s: float = 60.0,
) -> str | None:
    """Run a Python program as the command; return its failure as one text."""
    failure = await run_command(
        [sys.executable, "-S", "-c", program],
        document,
        secrets=secrets,
        stop=stop or asyncio.Event(),
        limit_s=limit_s,
        end_within_s=0.2,
        output_within_s=output_within_s,
    )
    return failure and ": ".join(filter(None, failure))


async def ends(pid: int) -> bool:
    """Wait for the end of a process; return False if it does not end."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(end, ended.set)
    try:
        async with asyncio.timeout(20):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        asyncio.get_running_loop().remove_reader(end)
        os.close(end)
    return True


async def test_the_command_gets_the_summary_and_its_success_is_no_news(tmp_path: Path) -> None:
    got = tmp_path / "got"
    assert await ran(f"import sys; open({str(got)!r}, 'wb').write(sys.stdin.buffer.read())") is None
    assert got.read_bytes() == DOCUMENT


async def test_words_reach_the_program_as_they_are_without_a_shell(tmp_path: Path) -> None:
    got = tmp_path / "got"
    program = f"import sys; open({str(got)!r}, 'w').write(repr(sys.argv[1:]))"
    words = [sys.executable, "-S", "-c", program, "$HOME; touch x", "*", "a b"]
    assert await run_command(words, DOCUMENT, stop=asyncio.Event()) is None
    assert got.read_text() == repr(words[4:])


async def test_the_command_has_the_environment_without_key_and_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("canary-license-key", "slack://canary-token")
    monkeypatch.setenv("DROMO_LICENSE_KEY", secrets[0])
    monkeypatch.setenv("bulkhead_notify_urls", "other://canary")
    monkeypatch.setenv("MY_COPY", f"key={secrets[0]}")
    monkeypatch.setenv("MY_URL", secrets[1])
    monkeypatch.setenv("PGHOST", "db")
    got = tmp_path / "got"
    program = f"import os; open({str(got)!r}, 'w').write('\\n'.join(f'{{k}}={{v}}' for k, v in os.environ.items()))"
    assert await ran(program, secrets=secrets) is None
    assert "canary" not in got.read_text()
    assert "PGHOST=db" in got.read_text()


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("import sys; sys.exit(3)", "ended with code 3"),
        ("import sys; print('a'); sys.exit('no \\x1b[2Jtable\\n\\n')", r"ended with code 1: no \x1b[2Jtable"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
        ("import sys; sys.exit('the key is canary-license-key')", "ended with code 1: the key is ***"),
    ],
)
async def test_a_failure_is_a_sentence_with_the_last_line_that_was_written(program: str, trouble: str) -> None:
    assert await ran(program, secrets=("canary-license-key",)) == trouble


@pytest.mark.parametrize("name", ["absent", "", "data.txt"])
async def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.txt").write_text("no program")
    failure = await run_command([str(tmp_path / name)], DOCUMENT, stop=asyncio.Event())
    assert failure is not None
    assert failure.how.startswith("cannot be started: ")


async def test_a_command_that_reads_nothing_is_no_trouble() -> None:
    assert await ran("pass", document=b"x" * 10_000_000) is None


async def test_a_command_that_fills_its_output_is_read_and_only_the_end_is_kept() -> None:
    program = "import sys; sys.stdout.write('x' * 30_000_000); sys.exit('the end')"
    assert await ran(program) == f"ended with code 1: {('x' * 3993 + 'the end')[:199]}…"


async def test_a_child_that_keeps_the_output_open_does_not_hold_the_run_up(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {SLOW!r}])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\nsys.exit(2)"
    )
    assert await ran(program, output_within_s=0.05) == "ended with code 2"
    child = int(pid.read_text())
    os.kill(child, signal.SIGKILL)  # a command may leave a process behind, so it is there
    assert await ends(child)


def ignoring_sigterm(pids: Path) -> str:
    """Return a program that has a child, ignores SIGTERM as the child does, and writes both pids to a pipe."""
    os.mkfifo(pids)
    return (
        "import os, signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {SLOW!r}])\n"
        f"with open({str(pids)!r}, 'w') as pids: pids.write(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(300)"
    )


async def test_the_whole_process_group_is_ended_even_if_it_ignores_sigterm(tmp_path: Path) -> None:
    pids, stop = tmp_path / "pids", asyncio.Event()
    running = asyncio.ensure_future(ran(ignoring_sigterm(pids), stop=stop))
    leader, child = map(int, (await asyncio.to_thread(pids.read_text)).split())
    stop.set()
    assert await running == "was ended, as you asked"
    assert await ends(leader)
    assert await ends(child)


async def test_a_cancelled_run_leaves_no_command_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    running = asyncio.ensure_future(ran(ignoring_sigterm(pids)))
    leader, child = map(int, (await asyncio.to_thread(pids.read_text)).split())
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert await ends(leader)
    assert await ends(child)


async def test_a_command_that_takes_too_long_is_ended() -> None:
    assert await ran(SLOW, limit_s=0.05) == "was ended after 1 s"


async def test_no_thread_of_it_keeps_the_process_from_ending() -> None:
    assert await ran(SLOW, limit_s=0.05) is not None
    assert not [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
