"""Schemathesis finds no answer of the sandbox that contradicts the vendor's OpenAPI description."""

import json
import random
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.openapi import description, with_refusals
from tests.support.sandbox import CUSTOMERS

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ROOT = Path(__file__).parents[2]
HEADERS = {"X-Dromo-License-Key": "k"}
EXAMPLES = 30
KNOWN_SHARE = 0.7
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    ("get", "/headless/imports/"),
    ("post", "/headless/imports/"),
    ("get", "/headless/imports/{id}/"),
    ("get", "/headless/imports/{id}/url/"),
    ("delete", "/headless/imports/{id}/"),
    ("get", "/schemas/"),
    ("post", "/schemas/"),
    ("get", "/schemas/{id}/"),
    ("put", "/schemas/{id}/"),
    ("delete", "/schemas/{id}/"),
]
LIKELY_FIELD = {
    "key": {"type": "string", "pattern": "^[a-z]{1,8}$"},
    "type": {"enum": ["string", "number", "email", "date"]},
    "validators": {"type": "array", "items": {"enum": [{"validate": "required"}, {"validate": "unique"}]}},
}
OF_A_FILE = {"schema_id": {"enum": ["customers"]}, "original_filename": {"type": "string", "pattern": "^[a-z]{1,8}$"}}
OF_ROWS = {"initial_data": {"type": "array", "items": {"type": "object"}}}
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    schemas = tmp_path_factory.mktemp("schemas")
    (schemas / "customers.json").write_text(json.dumps(CUSTOMERS))
    manners = ["--create-quota", "1000000/60s", "--poll-quota", "1000000/60s", "--processing-s", "0", "--seed", "1"]
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--schemas", str(schemas), *manners]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


HOOK_LISTS = ("columnHooks", "rowHooks", "bulkRowHooks", "rowDeleteHooks", "stepHooks")


def likely(node):
    """Return the description with bodies that are often valid, and without hooks.

    The original allows any type, any combination of keys, any text as a hook, and unknown keys.
    """
    if isinstance(node, list):
        return [likely(child) for child in node]
    if not isinstance(node, dict):
        return node
    found = {key: likely(child) for key, child in node.items()}
    properties = found.get("properties", {})
    if "alternateMatches" in properties:
        found["properties"] = properties | LIKELY_FIELD
    elif "rowHooks" in properties:
        return {"type": "object", "properties": {name: {"type": "array", "maxItems": 0} for name in HOOK_LISTS}}
    elif "initial_data" in properties:
        return {"oneOf": [likely_create(properties, OF_A_FILE), likely_create(properties, OF_ROWS)]}
    elif {"name", "fields"} <= set(properties):
        found["required"] = ["name", "fields"]
    return found


def likely_create(properties, source):
    common = {key: properties[key] for key in ("settings", "hooks", "import_metadata")}
    inline = {"fields": properties["fields"]} if "initial_data" in source else {}
    given = source | inline
    return {
        "type": "object",
        "properties": common | given,
        "required": list(given),
        "additionalProperties": False,
    }


@pytest.fixture(scope="module")
def described():
    return schemathesis.openapi.from_dict(likely(with_refusals(description(lenient=True))))


def call(base_url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(base_url + path, data=data, headers=HEADERS), timeout=10
    ) as found:
        return json.load(found)


def ended_import(base_url):
    """The id of an import that has a result."""
    body = {"schema_id": "customers", "initial_data": [{"name": "Ada"}]}
    import_id = call(base_url, "/headless/imports/", body)["id"]
    while call(base_url, f"/headless/imports/{import_id}/")["status"] != "SUCCESSFUL":
        pass
    return import_id


def saved_schema(base_url):
    return call(base_url, "/schemas/", {"name": str(uuid.uuid4()), "fields": CUSTOMERS["fields"]})["id"]


def ask(base_url, described, method, path, *, mode, ids):
    """Send generated requests, most of them for things that exist, and return the classes of status received."""
    rng = random.Random(path)
    seen = set()

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @BOUNDED
    def asked(case):
        if "{id}" in path and rng.random() < KNOWN_SHARE:
            case.path_parameters = {"id": rng.choice(ids)}
        response = case.call_and_validate(base_url=base_url, headers=HEADERS, checks=CHECKS)
        seen.add(response.status_code // 100)

    asked()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_answer_contradicts_the_description(base_url, described, method, path, mode):
    new = saved_schema if path.startswith("/schemas/") else ended_import
    ids = [new(base_url) for _ in range(3)]
    seen = ask(base_url, described, method, path, mode=mode, ids=ids)
    assert seen <= {2, 4}
    assert 2 in seen or mode is GenerationMode.NEGATIVE


def test_a_contradiction_would_be_found(base_url):
    wrong = with_refusals(description(lenient=True))
    wrong["components"]["schemas"]["HeadlessImport"]["properties"]["created_date"] = {"type": "integer"}
    ended_import(base_url)
    with pytest.raises(schemathesis.errors.FailureGroup, match="violates schema"):
        ask(
            base_url,
            schemathesis.openapi.from_dict(wrong),
            "get",
            "/headless/imports/",
            mode=GenerationMode.POSITIVE,
            ids=[],
        )
