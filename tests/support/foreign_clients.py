"""HTTP clients of other people, each with its default settings, as one call that sends a request."""

import asyncio
import json
import shutil
import sys
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import pytest

Send = Callable[[str, str, bytes | None, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
"""Takes a method, a URL, a body, and headers; returns the last answer's status and body. Follows redirects."""

_FETCH = """
const [method, url, headers, body] = JSON.parse(await new Response(input).text());
const bytes = body === null ? undefined : Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
const answer = await fetch(url, { method, headers, body: bytes });
const received = new Uint8Array(await answer.arrayBuffer());
console.log(JSON.stringify([answer.status, btoa(String.fromCharCode(...received))]));
"""


async def aiohttp_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send with aiohttp, which rewrites a URL that it gets as a text."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def requests_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    answer = await asyncio.to_thread(requests.request, method, url, data=body, headers=dict(headers), timeout=30)
    return answer.status_code, answer.content


async def httpx_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    async with httpx.AsyncClient(follow_redirects=True) as client:
        answer = await client.request(method, url, content=body, headers=dict(headers))
        return answer.status_code, answer.content


async def urllib_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)

    def send() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(send)


async def curl_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    lines = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    data = [] if body is None else ["--data-binary", "@-"]
    shown = await _output("curl", "-sSL", "-X", method, *lines, *data, "-w", "\n%{http_code}", url, given=body)
    answer, _, status = shown.rpartition(b"\n")
    return int(status), answer


async def node_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    script = f"import {{ Readable }} from 'node:stream'; const input = Readable.toWeb(process.stdin); {_FETCH}"
    return await _fetched("node", "--input-type=module", "-e", script, sent=(method, url, headers, body))


async def deno_client(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    deno = pytest.importorskip("deno", reason="the extra hooks is not installed")
    script = f"const input = Deno.stdin.readable; {_FETCH}"
    return await _fetched(str(deno.find_deno_bin()), "eval", "--quiet", script, sent=(method, url, headers, body))


CLIENTS: dict[str, Send] = {
    "aiohttp": aiohttp_client,
    "requests": requests_client,
    "httpx": httpx_client,
    "urllib": urllib_client,
    "curl": curl_client,
    "node": node_client,
    "deno": deno_client,
}


async def _fetched(*command: str, sent: tuple[str, str, Mapping[str, str], bytes | None]) -> tuple[int, bytes]:
    method, url, headers, body = sent
    given = json.dumps([method, url, dict(headers), None if body is None else b64encode(body).decode()])
    status, received = json.loads(await _output(*command, given=given.encode()))
    return status, b64decode(received)


async def _output(program: str, *arguments: str, given: bytes | None) -> bytes:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    started = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
        env={"NO_PROXY": "*", "DENO_NO_UPDATE_CHECK": "1"},
    )
    shown, _ = await started.communicate(given)
    assert started.returncode == 0
    return shown
