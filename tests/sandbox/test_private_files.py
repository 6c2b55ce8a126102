"""Who can read what the sandbox keeps, under several umasks."""

import json
import os
import stat
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UMASKS = [0o000, 0o022, 0o077]


@contextmanager
def sandbox(data, umask=0o022):
    """Yield the API's address of a sandbox that keeps its data, and a list that has its warnings in the end."""
    program = "import os, sys; os.umask(int(sys.argv.pop(1))); from sandbox.__main__ import main; sys.exit(main())"
    options = [
        "--port",
        "0",
        "--data",
        str(data),
        "--processing-s",
        "0.1",
        "--workers",
        "1",
        "--poll-quota",
        "100000/1s",
    ]
    command = [sys.executable, "-c", program, str(umask), *options]
    warnings = []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        try:
            yield process.stdout.readline().split()[-1], warnings
        finally:
            process.terminate()
            warnings.extend(process.stderr.read().splitlines())


def call(method, url, body=None):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {} if "/_storage/" in url else {"X-Dromo-License-Key": "k", "Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(url, data=data, method=method, headers=headers), timeout=30
    ) as response:
        return json.loads(response.read() or b"null")


def ended(url):
    for _ in range(20_000):
        found = call("GET", url)
        if found["status"] not in ("PENDING", "RUNNING"):
            return found
    raise AssertionError(f"still {found['status']}")


def reviewed(base_url):
    """Import a file that needs a review, open its page, and finish another import."""
    settings = {"invalidDataBehavior": "BLOCK_SUBMIT"}
    fields = [{"key": "age", "label": "Age", "type": "number"}]
    for content in (b"Age\nold\n", b"Age\n3\n"):
        made = call(
            "POST",
            f"{base_url}/headless/imports/",
            {"fields": fields, "settings": settings, "original_filename": "a.csv"},
        )
        call("PUT", made["upload"], content)
        found = ended(f"{base_url}/headless/imports/{made['id']}/")
        if found.get("review_url"):
            with urllib.request.urlopen(found["review_url"], timeout=30) as page:
                page.read()
    return found["status"]


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_everything_that_is_kept_is_for_its_owner(tmp_path, umask):
    data = tmp_path / "new/data"
    with sandbox(data, umask) as (base_url, warnings):
        assert reviewed(base_url) == "SUCCESSFUL"
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in (data.parent, data, *data.rglob("*"))}
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if not path.is_dir()} == {0o600}
    assert len(found) > 8
    assert warnings == []


@pytest.mark.parametrize("which", ["directory", "file"])
def test_data_that_others_can_read_gives_a_warning_with_the_command(tmp_path, which):
    data = tmp_path / "my data"
    with sandbox(data) as (base_url, _):
        assert call("GET", f"{base_url}/headless/imports/")["count"] == 0
    wide = data if which == "directory" else next(path for path in data.iterdir() if path.is_file())
    wide.chmod(wide.stat().st_mode | 0o044)
    with sandbox(data) as (_, warnings):
        pass
    [warning] = warnings
    assert warning.endswith(f"; run: chmod -R go-rwx '{data}'")
    os.system(warning.partition("run: ")[2])
    with sandbox(data) as (_, warnings):
        pass
    assert warnings == []
