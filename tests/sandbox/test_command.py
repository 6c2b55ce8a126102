"""`python -m sandbox` as a process of its own."""

import json
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sandbox import CUSTOMERS

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sandbox", "--port", "0"]


@contextmanager
def sandbox_process(*options):
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *options], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("sandbox listening on http://127.0.0.1:"), process.stderr.read()
            yield process, line.split()[-1]
        finally:
            process.terminate()


def refused(*options):
    """The one line on stderr of a sandbox that does not start."""
    ran = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr
    return ran.stderr


def answer(url, *, key="k"):
    request = urllib.request.Request(url, headers={"X-Dromo-License-Key": key})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_address_and_ends_cleanly_on_a_signal(number):
    with sandbox_process() as (process, base_url):
        assert base_url.endswith("/api/v1")
        assert answer(f"{base_url}/headless/imports/")["count"] == 0
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_it_ends_with_its_parents_pipe_when_asked_to():
    with sandbox_process("--exit-with-parent") as (process, _):
        process.stdin.close()
        assert process.wait(10) == 0


def test_it_starts_with_the_schemas_and_the_key_it_is_given(tmp_path):
    (tmp_path / "customers.json").write_text(json.dumps(CUSTOMERS))
    with sandbox_process("--schemas", str(tmp_path), "--license-key", "right", "--speed", "60") as (_, base_url):
        (schema,) = answer(f"{base_url}/schemas/", key="right")
        assert schema["id"] == "customers"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            answer(f"{base_url}/schemas/", key="wrong")
        assert answer(base_url.replace("/api/v1", "/_sandbox/health"))["speed"] == 60


@pytest.mark.parametrize(
    "options",
    [
        ["--create-quota", "often"],
        ["--schemas", "/no/such/directory"],
        ["--speed", "0"],
        ["--processing-s", "-1"],
        ["--port", "99999"],
        ["--keep", "0"],
        ["--data", "/dev/null/x"],
    ],
)
def test_a_bad_option_is_a_sentence_and_exit_code_2(options):
    assert "sandbox: " in refused(*options)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "without an id"}', '{"id": "x", "name": "x", "fields": []}'])
def test_a_schema_file_that_is_none_is_named(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    assert "broken.json" in refused("--schemas", str(tmp_path))
