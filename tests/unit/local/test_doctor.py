"""`bulkhead doctor` takes no refusal for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.config.routes import Route
from runner.config.settings import Settings
from runner.findings import Level
from runner.local.doctor import examine
from runner.local.resources import Resources
from tests.support.rawserver import RawServer, answer, answering


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
