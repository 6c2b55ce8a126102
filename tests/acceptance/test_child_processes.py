"""Child processes import nothing from the working directory and never see the license key, whatever starts them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.command import CANARY_AWS_KEY, CANARY_KEY, Command
from tests.support.processes import children_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched as Linux shows them")

PASSED_ON = {"PATH", "HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE", "LD_LIBRARY_PATH", "LC_CTYPE", "LC_ALL"}
OF_DENO = {"DENO_DIR", "DENO_NO_UPDATE_CHECK", "DENO_NO_PACKAGE_JSON", "NO_COLOR", "LANG", "TZ"}
NAMES = (
    *("threading", "json", "asyncio", "tempfile", "pickle", "encodings"),
    *("orjson", "pydantic", "aiohttp", "deno", "quickjs", "python_calamine"),
    *("sandbox", "runner", "lambdas", "tests"),
    *("sitecustomize", "usercustomize"),
)
STAND_IN = """
import os
with open(os.path.join({home!r}, "executed.txt"), "a") as file:
    file.write(__file__ + " " + repr(dict(os.environ)) + chr(10))
print("stand-in", __file__, dict(os.environ))
raise SystemExit("a stand-in was executed")
"""
ROW_HOOK = """async ({row}) => ({row: {...row, name: {...row.name, value: row.name.value.toUpperCase()}}, index: 0})"""
SCHEMA = {
    "id": "people",
    "name": "People",
    "fields": [{"key": "name", "label": "Name"}],
    "settings": {},
    "hooks": {"rowHooks": [ROW_HOOK]},
}


@pytest.fixture(params=["modules", pytest.param("folders", marks=pytest.mark.slow)])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A working directory with files to import, and a stand-in for every module that a child process may import."""
    home = tmp_path / "home"
    (home / "schemas").mkdir(parents=True)
    (home / "schemas" / "people.json").write_text(json.dumps(SCHEMA))
    (home / "inbox").mkdir()
    for name in ("ada", "grace", "mary"):
        (home / "inbox" / f"{name}.csv").write_text(f"Name\n{name}\n")
    code = STAND_IN.format(home=str(home))
    for name in NAMES:
        if request.param == "modules":
            (home / f"{name}.py").write_text(code)
        else:
            (home / name).mkdir()
            (home / name / "__init__.py").write_text(code)
            (home / name / "__main__.py").write_text(code)
    return home


def installed(home: Path) -> Command:
    """Return the `bulkhead` command as pip installs it: a script in a folder of its own."""
    script = home.parent / "bin" / "bulkhead"
    script.parent.mkdir()
    script.write_text("import sys\nfrom runner.__main__ import main\nsys.exit(main())\n")
    command = Command(
        home,
        api_url="http://127.0.0.1:1/api/v1",
        BULKHEAD_LICENSE_KEY=CANARY_KEY,
        AWS_SECRET_ACCESS_KEY=CANARY_AWS_KEY,
        HTTPS_PROXY=f"http://user:{CANARY_KEY}@proxy.example",
        PYTHONSTARTUP=str(home / "json.py"),
        DENO_AUTH_TOKENS=CANARY_KEY,
    )
    command.program = [str(script)]
    return command


@contextmanager
def watched_children() -> Iterator[dict[str, dict[str, str]]]:
    """Collect the environment of every process that a child of this process starts, by its command line."""
    seen: dict[str, dict[str, str]] = {}
    done = threading.Event()
    before = set(children_of(os.getpid()))

    def watch() -> None:
        while not done.wait(0.02):
            for parent in set(children_of(os.getpid())) - before:
                with suppress(OSError):
                    seen.update(started_by(parent))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def started_by(pid: int) -> dict[str, dict[str, str]]:
    """Return command line and environment of the descendants of a process that have left its program."""
    found: dict[str, dict[str, str]] = {}
    own = command_line(pid)
    for child in children_of(pid):
        with suppress(OSError):
            line = command_line(child)  # read first: a process that has not called exec yet shows its parent's
            variables = Path(f"/proc/{child}/environ").read_bytes().decode().split("\0")
            if line and line != own:
                found[line] = dict(variable.split("=", 1) for variable in variables if variable)
            found.update(started_by(child))
    return found


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def assert_clean(home: Path, children: dict[str, dict[str, str]], *, kinds: tuple[str, ...]) -> None:
    executed = home / "executed.txt"
    assert not executed.exists(), executed.read_text()
    for kind in kinds:
        assert [line for line in children if kind in line], f"no {kind} among {list(children)}"
    for line, variables in children.items():
        assert CANARY_KEY not in line
        assert set(variables) <= (OF_DENO if "main.mjs" in line else PASSED_ON), line


def test_run_with_the_embedded_sandbox_and_the_check(planted: Path) -> None:
    bulkhead = installed(planted)
    with watched_children() as children:
        options = ("--schema-id", "people", "--sandbox-schemas", "schemas", "--out", "out", "--check")
        bulkhead("run", "inbox", "--sandbox", *options).expect(0)
    assert json.loads(next((planted / "out").rglob("ada.csv*.json")).read_text()) == [{"name": "ADA"}]
    assert_clean(planted, children, kinds=("sandbox.__main__", "sandbox.worker", "runner.check", "main.mjs"))


def test_the_sandbox_as_a_command_and_check_and_run_against_it(planted: Path) -> None:
    bulkhead = installed(planted)
    with watched_children() as children, bulkhead.start("sandbox", "--port", "0", "--schemas", "schemas") as sandbox:
        assert sandbox.until_lines(1)
        url = sandbox.lines[0].decode().split()[-1]
        there = ("--schema-id", "people", "--api-url", url)
        bulkhead("check", "inbox", *there, "--jobs", "1", "--report", "report.html").expect(0)
        bulkhead("run", "inbox", *there, "--out", "out", "--check").expect(0)
        sandbox.send(signal.SIGTERM)
        sandbox.wait().expect(0)
    assert_clean(planted, children, kinds=("sandbox.worker", "runner.check", "main.mjs"))
