"""`bulkhead doctor` takes no refusal for an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

import pytest
from pydantic import SecretStr

from runner.config.routes import Route
from runner.config.settings import Settings
from runner.errors import Unavailable
from runner.findings import Level
from runner.local.doctor import examine
from runner.local.resources import Resources
from tests.support.proxy import ConnectProxy
from tests.support.rawserver import RawServer, answer, answering, closed_port_url


@pytest.mark.parametrize(
    ("status", "name", "is_ok"),
    [(200, "license key", True), (401, "license key", False), (404, "vendor", False), (503, "vendor", False)],
)
async def test_the_key_is_ok_only_if_the_vendor_answers_with_a_page(
    status: int, name: str, is_ok: bool, tmp_path: Path
) -> None:
    body = b'{"count": 0, "next": null, "results": []}'
    async with RawServer(answering(answer(status, body, Connection="close"))) as server:
        settings = Settings(api_url=server.url, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
        async with Resources(settings) as resources:
            first = (await examine(resources, schema_ids=()))[0]
    assert (first.name, first.is_ok) == (name, is_ok)


async def test_a_vendor_that_is_down_is_no_proof_of_a_wrong_address(tmp_path: Path) -> None:
    async with RawServer(answering(answer(503, b"", Connection="close"))) as server:
        settings = Settings(api_url=server.url, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
        async with Resources(settings) as resources:
            first = (await examine(resources, schema_ids=()))[0]
    assert first.hint == "check --api-url; if it is right, try again later"


async def test_a_misspelt_name_in_a_route_or_saved_schema_is_a_warning_with_the_nearest_one(tmp_path: Path) -> None:
    body = b'{"id": "s", "name": "S", "fields": [{"key": "a", "lable": "A"}], "settings": {}, "results": []}'
    routes = [Route(name="all", schema_id="s", settings={"maxFilesize": 9, "delimiter": ";"})]
    async with RawServer(answering(answer(200, body, Connection="close"))) as server:
        settings = Settings(api_url=server.url, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
        async with Resources(settings) as resources:
            found = await examine(resources, schema_ids={"s"}, routes=routes)
    warned = {finding.name: finding.detail for finding in found if finding.level is Level.WARN}
    assert warned == {
        "saved schema s": "fields[0].lable is not known; did you mean label?",
        "route all": "settings.maxFilesize is not known; did you mean maxFileSize?; settings.delimiter is documented, "
        "but not in the vendor's OpenAPI file",
    }
    assert not any(finding.level is Level.FAIL for finding in found)


@pytest.mark.parametrize(
    ("place", "track_by", "level"),
    [
        ("ledger.db", None, Level.OK),
        ("dynamodb://table", None, Level.WARN),
        ("dynamodb://table", "list", Level.OK),
    ],
)
async def test_a_route_that_no_webhook_reports_is_a_warning_if_a_run_listens_to_webhooks(
    place: str, track_by: Literal["list"] | None, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(license_key=SecretStr("key"), ledger=place, track_by=track_by, api_url="http://127.0.0.1:1/")
    routes = [Route(name="inline", fields=({"key": "a", "type": "string", "label": "A"},))]
    async with Resources(settings) as resources:
        monkeypatch.setattr(resources, "client", refusing)
        monkeypatch.setattr(resources, "ledger", refusing)
        found = {one.name: one for one in await examine(resources, schema_ids=(), routes=routes)}
    assert found["webhooks of route inline"].level is level
    assert "importIdentifier" in found["webhooks of route inline"].detail


async def refusing(**_options: object) -> NoReturn:
    raise Unavailable("not in this test")


async def test_a_saved_schema_that_silences_its_own_webhook_is_a_warning(tmp_path: Path) -> None:
    body = b'{"id": "s", "name": "S", "fields": [], "settings": {"webhookUrl": "https://h.test/"}, "results": []}'
    async with RawServer(answering(answer(200, body, Connection="close"))) as server:
        settings = Settings(api_url=server.url, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
        async with Resources(settings) as resources:
            found = await examine(resources, schema_ids={"s"}, routes=[Route(name="all", schema_id="s")])
    (finding,) = [one for one in found if one.level is Level.WARN]
    assert (finding.name, "FULL_DATA" in finding.detail) == ("webhooks of route all", True)


async def test_a_proxy_variable_that_is_not_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://jo:secret@proxy.example:3128")
    body = b'{"count": 0, "next": null, "results": []}'
    async with RawServer(answering(answer(200, body, Connection="close"))) as server:
        address = server.url.replace("127.0.0.1", "0.0.0.0")
        settings = Settings(api_url=address, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
        async with Resources(settings) as resources:
            found = {one.name: one for one in await examine(resources, schema_ids=())}
    assert found["proxy"].detail == "HTTPS_PROXY is set and not used; the vendor answers without it (see --proxy)"


async def test_a_vendor_that_is_out_of_reach_while_a_proxy_variable_is_set_names_the_line_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://jo:secret@proxy.example:3128")
    address = closed_port_url().replace("127.0.0.1", "0.0.0.0")
    settings = Settings(api_url=address, license_key=SecretStr("key"), ledger=tmp_path / "ledger.db")
    async with Resources(settings) as resources:
        found = (await examine(resources, schema_ids=()))[0]
    assert (found.name, found.level) == ("vendor", Level.FAIL)
    assert "HTTPS_PROXY is set" in found.detail
    assert found.hint == 'give Bulkhead the address of the proxy: export BULKHEAD_PROXY="$HTTPS_PROXY"'


async def test_a_proxy_that_refuses_is_no_question_of_the_license_key(tmp_path: Path) -> None:
    async with ConnectProxy(refuses=407) as proxy:
        settings = Settings(license_key=SecretStr("key"), ledger=tmp_path / "ledger.db", proxy=proxy.url)
        async with Resources(settings) as resources:
            found = (await examine(resources, schema_ids=()))[0]
    assert (found.name, found.level) == ("vendor", Level.FAIL)
    assert "needs a user and a password" in found.detail
