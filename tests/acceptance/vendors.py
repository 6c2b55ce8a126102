"""Vendors for the command to talk to: servers in processes of their own, and what they saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.support.command import CANARY_KEY
from tests.support.fork_server import ROOT

SANDBOX_SETTINGS = {
    "license_key": CANARY_KEY,
    "create_quota": "10000/60s",
    "poll_quota": "12/60s",
    "pending_s": 0.1,
    "running_s": 0.1,
    "if_none_match": "accept",
}


class _Server:
    """A server that prints its base url as the last word of its first line, and ends with its stdin."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self._process.stdout.readline().decode()
        assert "http://" in line, f"the server did not start: {line!r}"
        self.api_url = line.split()[-1]

    @property
    def origin(self) -> str:
        return self.api_url.removesuffix("/api/v1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(self.origin + path, data, {"Content-Type": "application/json", **named}, method=method)
        with urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def create(self, **body: Any) -> dict[str, Any]:
        """Create an import as somebody else who has the key."""
        made: dict[str, Any] = self.ask("POST", "/api/v1/headless/imports/", body, X_Dromo_License_Key=CANARY_KEY)
        return made


class DrfVendor(_Server):
    """The independent server on Django REST framework; options as on its command line."""

    def __init__(self, **options: Any) -> None:
        given = {"key": CANARY_KEY, "schema": "customers", **options}
        flags = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in given.items()
        ]
        super().__init__("tests.support.drf_server", *flags)

    def oracle(self) -> dict[str, Any]:
        seen: dict[str, Any] = self.ask("GET", "/control/oracle")
        return seen

    def received(self) -> dict[str, list[str]]:
        """SHA-256 of a content -> the imports that received it, once for every time they did."""
        received: dict[str, list[str]] = self.oracle()["received"]
        return received


class SandboxVendor(_Server):
    """The sandbox and its control plane."""

    def __init__(self, *, schemas: Path) -> None:
        super().__init__("sandbox", "--port=0", "--exit-with-parent", f"--schemas={schemas}", "--seed=1")
        self._key = CANARY_KEY

    def reset(self) -> None:
        """Forget all that was; quick, generous, and without faults."""
        self.settings(**SANDBOX_SETTINGS)
        self.ask("POST", "/_sandbox/reset")

    def faults(self, *rules: dict[str, Any]) -> None:
        self.ask("POST", "/_sandbox/faults", list(rules))

    def finish_review(self, import_id: str) -> None:
        self.ask("POST", f"/_sandbox/imports/{import_id}/finish", {})

    def finish_all(self) -> None:
        """Let all imports come to their end, and later ones be quick."""
        self.settings(running_s=0.1)
        self.ask("POST", "/_sandbox/clock", {"advance_s": 700})

    def settings(self, **settings: Any) -> None:
        self.ask("POST", "/_sandbox/settings", settings, X_Dromo_License_Key=self._key)
        self._key = settings.get("license_key", self._key)

    def result_rows(self) -> list[dict[str, Any]]:
        """Every row of the results of imports that succeeded, as somebody else who has the key sees them."""
        found: list[dict[str, Any]] = []
        offset, has_next = 0, True
        while has_next:
            page = self._api(f"?limit=1000&offset={offset}")
            offset, has_next = offset + len(page["results"]), bool(page["next"])
            for one in page["results"]:
                if one["status"] == "SUCCESSFUL":
                    with urlopen(self._api(f"{one['id']}/url/")["presigned_url"], timeout=10) as answer:
                        found += json.loads(answer.read())
        return found

    def _api(self, path: str) -> Any:
        return self.ask("GET", f"/api/v1/headless/imports/{path}", X_Dromo_License_Key=self._key)

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self.ask("GET", "/_sandbox/counters")
        return counters

    def received(self) -> dict[str, list[str]]:
        """SHA-256 of a content -> the imports that received it, once for every time they did."""
        counters = self.counters()
        return {
            sha256: [i for i in ids for _ in range(counters["puts"].get(i, 1))]
            for sha256, ids in counters["ran"].items()
        }
