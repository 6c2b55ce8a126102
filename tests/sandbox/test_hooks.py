"""Hooks of schemas in a whole sandbox: a worker runs them, and they reach only the allowed hosts."""

import pytest
from aiohttp import web

from sandbox.app import SandboxServer
from tests.support.sandbox import running_sandbox

pytest.importorskip("deno")

FIELDS = [{"key": "name", "label": "Name"}]


async def ended(box, **hooks):
    made = await box.create(fields=FIELDS, hooks=hooks)
    await box.put(made["upload"], b"Name\nAda\n")
    return await box.ended(made["id"])


async def test_an_import_runs_the_hooks_of_its_schema():
    async with running_sandbox(workers=1) as box:
        found = await ended(box, rowHooks=["(r) => ({row: {name: {value: r.row.name.value + '!'}}})"])
        assert found["status"] == "SUCCESSFUL"
        assert await box.rows(found["id"]) == [{"name": "Ada!"}]


async def test_a_hook_that_throws_fails_its_import_with_its_words():
    async with running_sandbox() as box:
        found = await ended(box, rowHooks=["() => { throw new Error('not today'); }"])
        assert found["status"] == "FAILED"
        assert "not today" in found["import_errors"][0]["message"]


async def test_hooks_fetch_from_the_hosts_that_are_allowed_and_from_no_other(unused_tcp_port):
    async def greet(_request):
        return web.Response(text="fetched")

    app = web.Application()
    app.router.add_get("/", greet)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
        url = f"http://127.0.0.1:{unused_tcp_port}/"
        hook = f"async () => ({{row: {{name: {{value: await (await fetch('{url}')).text()}}}}}})"
        async with running_sandbox(hook_hosts=[f"127.0.0.1:{unused_tcp_port}"], workers=1) as box:
            found = await ended(box, rowHooks=[hook])
            assert await box.rows(found["id"]) == [{"name": "fetched"}]
        async with running_sandbox() as box:
            assert (await ended(box, rowHooks=[hook]))["status"] == "FAILED"
    finally:
        await runner.cleanup()


def test_a_host_that_is_none_is_refused_at_the_start():
    with pytest.raises(ValueError, match="not a host"):
        SandboxServer(hook_hosts=["http://x/"])
