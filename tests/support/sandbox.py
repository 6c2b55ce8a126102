"""A sandbox server for a test, and a client of its control plane."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from sandbox.app import SandboxServer
from sandbox.runs import default_engine

LICENSE_KEY = "test-license-key"
CUSTOMERS = {
    "id": "customers",
    "name": "Customers",
    "fields": [
        {"key": "name", "label": "Full Name", "type": "string", "validators": [{"validate": "required"}]},
        {"key": "email", "label": "Email", "type": "email", "validators": [{"validate": "unique"}]},
        {"key": "credit", "label": "Credit Limit", "type": "number", "alternateMatches": ["Limit"]},
    ],
    "settings": {},
}


class RunningSandbox:
    """A started server with one HTTP session that sends no header of its own."""

    def __init__(self, server: SandboxServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.base_url = server.base_url

    async def api(
        self, method: str, path: str, *, json: object = None, key: str | None = LICENSE_KEY
    ) -> tuple[int, Any]:
        """Call the API with a path such as "/headless/imports/"; return status and decoded body."""
        headers = {"X-Dromo-License-Key": key} if key else {}
        async with self.session.request(method, self.base_url + path, json=json, headers=headers) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def control(self, method: str, path: str, *, json: object = None) -> Any:
        """Call the control plane with a path such as "/counters"; return the decoded body. Raises on a refusal."""
        async with self.session.request(method, self.server.control_url + path, json=json) as response:
            response.raise_for_status()
            return await response.json() if response.status != 204 else None

    async def set_faults(self, *rules: Mapping[str, Any]) -> None:
        await self.control("POST", "/faults", json=list(rules))

    async def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = await self.control("GET", "/counters")
        return counters

    async def create(self, **body: Any) -> dict[str, Any]:
        """Create an import of the customers schema, by default of a file."""
        source = {} if "initial_data" in body else {"original_filename": "customers.csv"}
        schema = {} if "fields" in body else {"schema_id": "customers"}
        status, answer = await self.api("POST", "/headless/imports/", json={**schema, **source, **body})
        assert status == 201, answer
        created: dict[str, Any] = answer
        return created

    async def put(self, url: str, data: Any, *, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        async with self.session.put(_exactly(url), data=data, headers=headers) as response:
            return response.status, await response.text()

    async def ended(self, import_id: str) -> dict[str, Any]:
        """Return the full import after its end; the sandbox's clock jumps there, so nothing waits."""
        while True:
            await self.control("POST", "/clock", json={"advance_s": 60})
            status, found = await self.api("GET", f"/headless/imports/{import_id}/")
            assert status == 200, found
            if found["status"] not in {"AWAITING_UPLOAD", "PENDING", "RUNNING"}:
                return dict(found)
            await asyncio.sleep(0.02)

    async def rows(self, import_id: str) -> Any:
        """Return the decoded result of a successful import."""
        status, answer = await self.api("GET", f"/headless/imports/{import_id}/url/")
        assert status == 200, answer
        async with self.session.get(_exactly(answer["presigned_url"])) as response:
            response.raise_for_status()
            return await response.json()


@asynccontextmanager
async def running_sandbox(**options: Any) -> AsyncIterator[RunningSandbox]:
    """Start a SandboxServer with the customers schema; `options` are the server's own.

    Imports run in this process, which saves the start of a worker, unless `workers` or `limits` ask for processes.
    """
    if not options.keys() & {"workers", "limits"}:
        options = {"engine": default_engine, **options}
    async with (
        SandboxServer(**{"schemas": [CUSTOMERS], **options}) as server,
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
    ):
        yield RunningSandbox(server, session)


def _exactly(url: str) -> URL:
    return URL(url, encoded=True)
