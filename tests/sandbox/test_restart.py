"""`python -m sandbox --data` killed with SIGKILL in the middle of its work: nothing that was answered is lost."""

import http.client
import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.sandbox import CUSTOMERS

ROOT = Path(__file__).parents[2]
ANSWERS_BEFORE_THE_KILL = 25
LARGE_EVERY = 6
LARGE_ROWS = 40_000
REFUSED_EVERY = 3
WAITING = {"AWAITING_UPLOAD", "PENDING", "RUNNING"}


class Life:
    """One process of the sandbox, from its start to its kill."""

    def __init__(self, process, base_url):
        self.process = process
        self.base_url = base_url
        self.origin = base_url.removesuffix("/api/v1")

    def call(self, method, path, body=None):
        url = path if path.startswith("http") else self.base_url + path
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if "/_storage/" in url else {"X-Dromo-License-Key": "k"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            text = response.read()
        return json.loads(text) if text else None

    def control(self, method, path, body=None):
        return self.call(method, f"{self.origin}/_sandbox{path}", body)

    def here(self, url):
        """Return a URL of an earlier process with this one's port."""
        parts = urlsplit(url)
        return f"{self.origin}{parts.path}?{parts.query}"


@contextmanager
def life(directory):
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--data", str(directory), "--create-quota", "9999/60s"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--processing-s", "0.2"], stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    ) as process:
        line = process.stdout.readline()
        try:
            assert line, process.stderr.read()
            yield Life(process, line.split()[-1])
        finally:
            process.kill()


class Receiver(http.server.ThreadingHTTPServer):
    """Receives webhooks and remembers their imports; refuses some, which must be retried."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Hearing)
        self.heard = set()
        self.count = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Hearing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.count += 1
        refused = self.server.count % REFUSED_EVERY == 0
        if not refused:
            self.server.heard.add(told["data"]["id"])
        self.send_response(503 if refused else 200)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def receiver():
    with Receiver() as running:
        yield running
        running.shutdown()


class Client(threading.Thread):
    """Creates and uploads until the server has ended, and remembers every answer."""

    def __init__(self, running, number, *, schema_id):
        super().__init__()
        self.running = running
        self.schema_id = schema_id
        self.number = number
        self.created = {}
        self.uploaded = {}
        self.enough = threading.Event()

    def run(self):
        try:
            while True:
                self.step()
        except (OSError, http.client.HTTPException):
            self.enough.set()

    def step(self):
        name = f"file-{self.number}-{len(self.created)}"
        body = {"schema_id": self.schema_id, "original_filename": f"{name}.csv"}
        made = self.running.call("POST", "/headless/imports/", body)
        self.created[made["id"]] = made["upload"]
        if len(self.created) % 5:
            names = [name] * (LARGE_ROWS if len(self.created) % LARGE_EVERY == 0 else 1)
            self.running.call("PUT", made["upload"], "\n".join(["Full Name", *names]).encode())
            self.uploaded[made["id"]] = names
        if len(self.created) >= ANSWERS_BEFORE_THE_KILL:
            self.enough.set()


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_nothing_that_was_answered_is_lost_by_a_kill(tmp_path, kills):
    created, uploaded = {}, {}
    with receiver() as hearing:
        for number in range(kills):
            with life(tmp_path) as running:
                if number == 0:
                    running.call("POST", "/schemas/", {"name": "New", "fields": [{"key": "a"}]})
                    customers = running.call("POST", "/schemas/", {key: CUSTOMERS[key] for key in ("name", "fields")})
                    running.control("POST", "/webhooks", {"url": f"http://127.0.0.1:{hearing.server_port}/"})
                client = Client(running, number, schema_id=customers["id"])
                client.start()
                assert client.enough.wait(120)
                running.process.kill()
                client.join(120)
            created |= client.created
            uploaded |= client.uploaded
        with life(tmp_path) as running:
            finish(running, created, uploaded)
            check(running, created, uploaded)
            check_webhooks(running, created, hearing)


def finish(running, created, uploaded):
    """Upload what is missing, and wait until all imports have ended."""
    for import_id in set(created) - set(uploaded):
        running.call("PUT", running.here(created[import_id]), b"Full Name\nlate\n")
    for _ in range(3000):
        running.control("POST", "/clock", {"advance_s": 60})
        listed = running.call("GET", "/headless/imports/?limit=1000")["results"]
        if not any(one["status"] in WAITING for one in listed if one["id"] in created):
            return
        time.sleep(0.01)


def check(running, created, uploaded):
    assert [schema["name"] for schema in running.call("GET", "/schemas/")] == ["New", "Customers"]
    assert len(running.control("GET", "/webhooks")) == 1
    listed = running.call("GET", "/headless/imports/?limit=1000")["results"]
    statuses = {one["id"]: one["status"] for one in listed}
    assert {statuses[import_id] for import_id in created} == {"SUCCESSFUL"}
    counters = running.control("GET", "/counters")
    assert set(created) <= set(counters["created_ids"])
    for import_id, names in uploaded.items():
        url = running.call("GET", f"/headless/imports/{import_id}/url/")["presigned_url"]
        assert running.call("GET", url) == [{"name": name} for name in names]
        assert counters["ran"][counters["content"][import_id]] == [import_id]


def check_webhooks(running, created, hearing):
    """Check that webhooks reported every end, some after a restart or after a refusal."""
    for _ in range(3000):
        if set(created) <= hearing.heard:
            return
        running.control("POST", "/clock", {"advance_s": 5})
        time.sleep(0.01)
    raise AssertionError(f"never told: {len(set(created) - hearing.heard)}")
