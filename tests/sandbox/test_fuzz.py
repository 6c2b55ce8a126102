"""Almost valid requests get a documented answer, never a 500, and no import crashes the engine."""

from urllib.parse import quote

import jsonschema
import pytest

from sandbox.api_state import SandboxSettings
from sandbox.quotas import Rate
from tests.support.fuzz import Bodies
from tests.support.openapi import description
from tests.support.sandbox import CUSTOMERS, running_sandbox

IMPORTS = "/headless/imports/"
REQUESTS = 400
REFUSALS = {400, 404}

SCHEMA = {
    "name": "Everything",
    "fields": [
        {
            "key": "name",
            "label": "Name",
            "type": "string",
            "alternateMatches": ["Full name"],
            "validators": [{"validate": "required"}, {"validate": "regex_match", "regex": "^A", "errorMessage": "no"}],
        },
        {"key": "kind", "label": "Kind", "type": ["select", {}], "selectOptions": [{"label": "A", "value": "a"}]},
        {"key": "sum", "label": "Sum", "type": ["number", {"preset": "usd", "min": 0}], "requireMapping": True},
        {"key": "day", "label": "Day", "type": ["date", {"locale": "en-US"}], "manyToOne": False},
    ],
    "settings": {
        "importIdentifier": "x",
        "invalidDataBehavior": "INCLUDE_INVALID_ROWS",
        "maxRecords": 10,
        "maxFileSize": 1000,
        "developmentMode": False,
        "webhookUrl": None,
        "matchingStep": {"fuzzyMatchHeaders": True},
    },
    "hooks": {},
}
INLINE = {key: SCHEMA[key] for key in ("fields", "settings", "hooks")} | {
    "initial_data": [{"name": "Ada", "kind": "A", "sum": "5", "day": "2026-01-02"}, {"name": "Bob", "sum": None}],
    "import_metadata": {"user": {"id": "1", "name": "Jeff"}},
}
OF_A_SCHEMA = {"schema_id": "customers", "original_filename": "a.csv", "settings": SCHEMA["settings"], "hooks": {}}


@pytest.fixture(scope="module", name="description")
def described():
    return description(lenient=True)


@pytest.fixture
async def box(description):
    settings = SandboxSettings(create_quota=Rate(10**6, 60.0), poll_quota=Rate(10**6, 60.0))
    async with running_sandbox(settings=settings, seed=1) as running:
        yield running


def judge(description, template, method, status, answer):
    """Only documented statuses, success in the documented shape, refusals as objects."""
    responses = description["paths"][template][method]["responses"]
    assert str(status) in responses or status in REFUSALS, (method, template, status)
    if status >= 400:
        assert isinstance(answer, dict), answer
        assert answer
    elif status != 204:
        schema = responses[str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, {**schema, "components": description["components"]})


@pytest.mark.parametrize(
    ("method", "template", "documents"),
    [
        ("post", IMPORTS, [INLINE, OF_A_SCHEMA]),
        ("post", "/schemas/", [SCHEMA]),
        ("put", "/schemas/{id}/", [SCHEMA, CUSTOMERS]),
    ],
)
async def test_an_almost_valid_body_is_accepted_or_refused(box, description, caplog, method, template, documents):
    bodies = Bodies(seed=len(template))
    seen = {}
    for number in range(REQUESTS):
        body = bodies.near(documents[number % len(documents)])
        status, answer = await box.api(method.upper(), template.format(id="customers"), json=body)
        judge(description, template, method, status, answer)
        seen[status // 100] = seen.get(status // 100, 0) + 1
        if status == 201 and template == IMPORTS and "initial_data" in body:
            judge(description, f"{IMPORTS}{{id}}/", "get", 200, await box.ended(answer["id"]))
    assert set(seen) == {2, 4}, seen
    assert "crashed" not in caplog.text


async def test_any_path_and_query_gets_a_documented_answer(box, description):
    bodies = Bodies(seed=8)
    for _ in range(REQUESTS // 2):
        found = quote(str(bodies.junk())[:50] or "x", safe="") or "x"
        found = found if found.strip(".") and "%2F" not in found else "x"
        for method, template in (
            ("get", f"{IMPORTS}{{id}}/"),
            ("delete", f"{IMPORTS}{{id}}/"),
            ("get", f"{IMPORTS}{{id}}/url/"),
            ("get", "/schemas/{id}/"),
            ("delete", "/schemas/{id}/"),
        ):
            status, answer = await box.api(method.upper(), template.format(id=found))
            judge(description, template, method, status, answer)
        status, answer = await box.api("GET", f"{IMPORTS}?limit={found}&offset={found}")
        judge(description, IMPORTS, "get", status, answer)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b'"\\ud800"', b"1" * 5000])
@pytest.mark.parametrize("path", [IMPORTS, "/schemas/"])
async def test_a_body_that_is_no_json_is_refused(box, text, path):
    async with box.session.post(box.base_url + path, data=text, headers={"X-Dromo-License-Key": "k"}) as response:
        assert response.status == 400
        assert isinstance(await response.json(), dict)


async def test_the_control_plane_refuses_nonsense_too(box):
    bodies = Bodies(seed=2)
    documents = {
        "webhooks": {"url": "http://127.0.0.1:9/", "events": ["import_completed"]},
        "faults": [{"operation": "list", "kind": "error", "times": 1, "status": 502, "probability": 0.5, "skip": 1}],
        "settings": {"create_quota": "20/60s", "pending_s": 1.5, "if_none_match": "accept", "license_key": None},
        "clock": {"speed": 2, "advance_s": 1},
    }
    for number in range(REQUESTS):
        name = list(documents)[number % len(documents)]
        async with box.session.post(f"{box.server.control_url}/{name}", json=bodies.near(documents[name])) as response:
            assert response.status < 500, (name, await response.text())
