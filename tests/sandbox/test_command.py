"""`python -m sandbox` as a separate process."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.__main__ import main
from sandbox.data_dir import locked_data_dir
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


def refusal(capsys, *options):
    """What a sandbox that does not start says, in this process."""
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "0", *options])
    return capsys.readouterr().err


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
        assert "export DROMO_LICENSE_KEY=any" in process.stdout.read()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_it_ends_with_its_parents_pipe_when_asked_to():
    with sandbox_process("--exit-with-parent") as (process, _):
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(10) == 0


def test_two_files_with_the_same_schema_id_are_refused_with_their_names(capsys, tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(CUSTOMERS))
    sentence = f"sandbox: {tmp_path}/b.json has the same schema id as {tmp_path}/a.json: customers"
    assert sentence in refusal(capsys, "--schemas", str(tmp_path))


def test_it_starts_with_the_schemas_and_the_key_it_is_given(tmp_path):
    (tmp_path / "customers.json").write_text(json.dumps(CUSTOMERS))
    with sandbox_process("--schemas", str(tmp_path), "--license-key", "right", "--speed", "60") as (_, base_url):
        (schema,) = answer(f"{base_url}/schemas/", key="right")
        assert schema["id"] == "customers"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            answer(f"{base_url}/schemas/", key="wrong")
        assert answer(base_url.replace("/api/v1", "/_sandbox/health"))["speed"] == 60


def test_a_sandbox_that_other_machines_can_reach_says_so_and_takes_names():
    options = ["--host", "0.0.0.0", "--allow-host", "box.lan", "--allow-host", "box.example"]
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        port = int(process.stdout.readline().partition("0.0.0.0:")[2].partition("/")[0])
        for name, status in (("box.lan", 200), ("box.example:1", 200), ("box", 421)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/_sandbox/health", headers={"Host": name})
            assert connection.getresponse().status == status
            connection.close()
        process.terminate()
        assert process.stderr.read().startswith("sandbox: warning: other machines can reach this sandbox.")


def test_the_key_can_come_from_stdin_and_is_then_in_no_argument_and_no_variable():
    pipe = subprocess.PIPE
    command = [*COMMAND, "--license-key-stdin", "--exit-with-parent"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        process.stdin.write("secret-key\n")
        process.stdin.flush()
        base_url = process.stdout.readline().split()[-1]
        assert answer(f"{base_url}/schemas/", key="secret-key") == []
        with pytest.raises(urllib.error.HTTPError, match="403"):
            answer(f"{base_url}/schemas/", key="wrong")
        for source in ("cmdline", "environ"):
            assert b"secret-key" not in Path(f"/proc/{process.pid}/{source}").read_bytes()
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_bad_option_is_a_sentence_and_exit_code_2():
    assert "sandbox: " in refused("--schemas", "/no/such/directory")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--create-quota", "often"], "argument --create-quota: not a rate such as 20/60s or 20/minute: 'often'"),
        (["--schemas", "/no/such"], "--schemas needs a directory with one JSON file per schema"),
        (["--speed", "0"], "argument --speed: the clock's speed must be positive and at most 1000000"),
        (["--processing-s", "-1"], "argument --processing-s: not a number of seconds: '-1'"),
        (["--processing-s", "nan"], "argument --processing-s: not a number of seconds: 'nan'"),
        (["--port", "99999"], "argument --port: not a port from 0 to 65535: '99999'"),
        (["--port", "http"], "argument --port: not a port from 0 to 65535: 'http'"),
        (["--keep", "0"], "argument --keep: not a whole number from 1: '0'"),
        (["--workers", "all"], "argument --workers: not a whole number from 1: 'all'"),
        (["--worker-memory", "10"], "argument --worker-memory: a worker needs at least 256 MB of memory"),
        (["--hook-hosts", "http://x"], "argument --hook-hosts: 'http://x' is not a host or host:port that hooks can"),
        (["--allow-host", "x:80"], "argument --allow-host: not a host name without a port: 'x:80'"),
        (["--license-key-stdin"], "--license-key-stdin needs the license key as the first line of stdin"),
        (["--data", "/dev/null"], "/dev/null is not a directory; --data names one"),
        (["--data", "/dev/null/x"], "/dev/null/x cannot be used: Not a directory"),
    ],
)
def test_a_bad_option_is_named_with_what_is_wrong_with_it(capsys, options, sentence):
    assert sentence in refusal(capsys, *options)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON: line 1, column 2: "),
        ("[]", "is not a schema: expected an object with an id"),
        ('{"id": ' + "[" * 300 + "]" * 300 + "}", "is nested deeper than 200 levels"),
        ('{"name": "without an id"}', "is not a schema: expected an object with an id"),
        (
            '{"id": "x", "name": "x", "fields": []}',
            "is not a valid schema: fields: Expected a non-empty list of fields.",
        ),
        (
            '{"id": "x", "name": "x", "fields": [{"key": "a"}, {"key": "b", "type": "nix"}]}',
            'is not a valid schema: fields[1].type: "nix" is not a valid choice.',
        ),
    ],
)
def test_a_schema_file_that_is_none_is_named_with_the_place(capsys, tmp_path, text, sentence):
    (tmp_path / "broken.json").write_text(text)
    assert f"{tmp_path / 'broken.json'} {sentence}" in refusal(capsys, "--schemas", str(tmp_path))


def test_a_port_that_is_taken_is_named_with_what_to_do(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = f"sandbox: cannot listen on 127.0.0.1, port {port}: Address already in use; --port names another\n"
        assert refusal(capsys, "--port", str(port)) == sentence


def test_a_directory_that_another_sandbox_uses_is_named_with_what_to_do(capsys, tmp_path):
    with locked_data_dir(tmp_path):
        assert f"another sandbox uses {tmp_path}; --data names another" in refusal(capsys, "--data", str(tmp_path))


def test_saved_schemas_that_the_vendor_would_refuse_are_warned_about(tmp_path):
    for name in ("customers", "clients"):
        (tmp_path / f"{name}.json").write_text(json.dumps({**CUSTOMERS, "id": name}))
    with sandbox_process("--schemas", str(tmp_path)) as (process, base_url):
        assert len(answer(f"{base_url}/schemas/")) == 2
        warning = 'the saved schemas clients, customers have the same name, "Customers"; the vendor refuses a name'
        assert process.stderr.readline().startswith(f"sandbox: warning: {warning}")
