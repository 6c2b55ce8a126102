"""How a whole run reaches the vendor: through a proxy, with an authority of one's own, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import BatchOutcome, Bulkhead, Routes, RunSpec, source_spec
from runner.config.settings import Settings
from runner.dromo.proxy import Proxy
from runner.local.outcome import ExitCode
from runner.models import BatchState, ItemState
from tests.support.certificates import Authority
from tests.support.proxy import ConnectProxy
from tests.support.rawserver import RawServer, answer, answering, closed_port_url
from tests.support.sandbox import RunningSandbox

ELSEWHERE = "198.51.100.7"
"""An address of a network that does not exist (RFC 5737): only a proxy can connect to it."""


def one_file() -> RunSpec:
    """Return what imports one file, in the working directory of the test."""
    inbox = Path("in")
    inbox.mkdir()
    (inbox / "a.csv").write_text("name\nA\n")
    return RunSpec(source=source_spec(str(inbox)), routes=Routes.single(schema_id="customers"))


async def run(settings: Settings, **changes: object) -> BatchOutcome:
    spec = one_file()
    async with Bulkhead(settings.model_copy(update=changes)) as bulkhead:
        return await bulkhead.run(spec)


async def test_a_run_behind_a_proxy_imports_its_files(box: RunningSandbox, settings: Settings) -> None:
    async with ConnectProxy(box.base_url) as proxy:
        outcome = await run(settings, api_url=f"http://{ELSEWHERE}/api/v1", proxy=Proxy.parse(proxy.url))
    assert outcome.by_state == {ItemState.COLLECTED: 1}
    posts = [line for line in proxy.asked if line.startswith("POST ")]
    assert posts == [f"POST http://{ELSEWHERE}/api/v1/headless/imports/ HTTP/1.1"]


async def test_a_run_against_a_sandbox_on_this_machine_uses_no_proxy(settings: Settings) -> None:
    outcome = await run(settings, proxy=Proxy.parse(closed_port_url()))
    assert outcome.by_state == {ItemState.COLLECTED: 1}


async def test_a_run_that_cannot_verify_the_certificate_ends_at_once_and_says_what_to_set(
    settings: Settings, tmp_path: Path
) -> None:
    async with RawServer(answering(answer(200)), tls=Authority(tmp_path).server("127.0.0.1")) as server:
        outcome = await run(settings, api_url=f"{server.url}/api/v1")
    assert (outcome.state, outcome.exit_code) == (BatchState.PAUSED, ExitCode.FATAL)
    assert outcome.by_state.keys() <= {ItemState.QUEUED}
    assert "the certificate of 127.0.0.1 cannot be verified" in outcome.reason
    assert "--ca-file" in outcome.reason
    assert not any(peer.head_text for peer in server.peers)


async def test_a_run_that_a_proxy_refuses_ends_at_once_without_its_password(settings: Settings) -> None:
    async with ConnectProxy(refuses=407) as proxy:
        through = Proxy.parse(f"http://jo:secret@{proxy.address}")
        outcome = await run(settings, api_url=f"https://{ELSEWHERE}/api/v1", proxy=through)
    assert outcome.exit_code is ExitCode.FATAL
    assert f"the proxy http://****@{proxy.address} does not accept the user and password" in outcome.reason
    assert "secret" not in outcome.reason


async def test_a_run_that_gives_up_names_a_proxy_variable_that_it_does_not_use(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    address = closed_port_url().replace("127.0.0.1", "0.0.0.0")
    outcome = await run(settings, api_url=f"{address}/api/v1", give_up_after=0.1)
    assert outcome.exit_code is ExitCode.TRY_AGAIN
    assert "https_proxy is set, but Bulkhead uses only the proxy of --proxy" in outcome.reason
