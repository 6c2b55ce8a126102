"""The process that runs hooks with drivers that misbehave: programs that replace Deno."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.hooks import HookFailed, HookLimits
from sandbox.hooks.process import HookProcess
from tests.support.processes import Watched, children_of

PREAMBLE = "import sys; read = sys.stdin.buffer.read; write = sys.stdout.buffer.write\n"
ROOT = Path(__file__).parents[2]
ENDLESS = """
from sandbox.hooks.deno import HookLimits
from sandbox.hooks.process import HookProcess
with HookProcess(limits=HookLimits()) as process:
    process.call("a", {"op": "check", "source": "() => 1"})
    print("begun", flush=True)
    process.call("a", {"op": "check", "source": "(() => { while (true) {} })()"})
"""
READ = "read(int.from_bytes(read(4), 'big'))\n"


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A program that runs the Python text in `driver.py` in its directory."""
    program = tmp_path / "deno"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "{tmp_path}/driver.py"\n')
    program.chmod(0o755)
    return program


def failure_of(program: Path, text: str, *, limits: HookLimits | None = None) -> HookFailed:
    (program.parent / "driver.py").write_text(PREAMBLE + text)
    with (
        HookProcess(limits=limits or HookLimits(call_s=5), program=program) as process,
        pytest.raises(HookFailed) as caught,
    ):
        process.call("rowHooks[0]", {"op": "rows", "filler": "x" * (1 << 20)})
    return caught.value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"write(b'\xff\xff\xff\xff')", "size"),
        (r"write(b'\0\0\0\2[]')", "ended"),
        (r"write(b'\0\0\0\3{x}')", "ended"),
        (r"write(b'\0\0\0\7{')", "ended"),
        ("sys.exit(0)", "ended"),
        ("import os; os.abort()", "memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "time"),
        ("import time; sys.stdout.flush(); time.sleep(60)", "time"),
    ],
)
def test_a_broken_driver_fails_the_import_with_a_reason(stand_in: Path, text: str, reason: str) -> None:
    limits = HookLimits(call_s=1.0)
    assert failure_of(stand_in, READ + text, limits=limits).reason == reason


def test_a_driver_that_fills_its_output_without_reading_is_stopped(stand_in: Path) -> None:
    text = "while True: write(bytes(1 << 16))"
    assert failure_of(stand_in, text, limits=HookLimits(call_s=1.0)).reason in {"time", "ended"}


def test_signs_of_life_do_not_outlast_the_imports_time(stand_in: Path) -> None:
    text = "import time\nwhile True:\n write(b'\\0\\0\\0\\x0b{\"next\": 1}'); sys.stdout.flush(); time.sleep(0.05)"
    limits = HookLimits(call_s=0.5, import_s=1.0)
    failure = failure_of(stand_in, READ + text, limits=limits)
    assert str(failure) == "rowHooks[0] ran when the 1 seconds for the import's hooks were over."


def test_calls_after_the_imports_time_fail_at_once(stand_in: Path) -> None:
    (stand_in.parent / "driver.py").write_text("import time; time.sleep(60)")
    with HookProcess(limits=HookLimits(import_s=0.0), program=stand_in) as process:
        for _ in range(2):
            with pytest.raises(HookFailed, match="seconds for the import's hooks were over"):
                process.call("rowHooks[0]", {})


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it, and that is Linux's way")
def test_a_hook_that_never_ends_dies_with_the_process_that_runs_it() -> None:
    pytest.importorskip("deno")
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begun\n"
        (deno,) = (Watched(pid) for pid in children_of(owner.pid))
        owner.kill()
    assert deno.ends_within(10)
