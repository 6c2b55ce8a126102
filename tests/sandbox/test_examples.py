"""The example inputs end as their names say."""

import json
import tomllib
from pathlib import Path

import pytest

from sandbox.__main__ import load_schemas
from sandbox.engine import run_import

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDERS = {
    "fields": json.loads((EXAMPLES / "schemas/orders.json").read_text()),
    "settings": {"invalidDataBehavior": "INCLUDE_INVALID_ROWS", "passThroughUnmappedColumns": True},
    "hooks": {},
}


def schema_for(path):
    route = path.relative_to(EXAMPLES / "inbox").parts[0]
    saved = {schema["id"]: schema for schema in load_schemas(EXAMPLES / "schemas/saved")}
    return saved.get(route, ORDERS)


def source_of(path):
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return path


@pytest.mark.parametrize(
    ("name", "status", "row_count"),
    [
        ("contacts/fair.txt", "SUCCESSFUL", 2),
        ("contacts/newsletter.ndjson", "SUCCESSFUL", 3),
        ("customers/2026-06/north.csv", "SUCCESSFUL", 6),
        ("customers/2026-06/south.tsv", "SUCCESSFUL", 4),
        ("customers/2026-06/west.csv", "SUCCESSFUL", 3),
        ("customers/2026-07/north.csv", "SUCCESSFUL", 2),
        ("customers/2026-07/east.csv", "NEEDS_REVIEW", 4),
        ("customers/2026-07/walk-in.csv", "NEEDS_REVIEW", 3),
        ("customers/2026-07/damaged.xlsx", "FAILED", None),
        ("orders/q2.csv", "SUCCESSFUL", 4),
        ("orders/q3.xlsx", "SUCCESSFUL", 3),
        ("orders/web-shop.json", "SUCCESSFUL", 3),
    ],
)
def test_an_example_ends_as_promised(name, status, row_count):
    if name == "orders/q3.xlsx":
        pytest.importorskip("python_calamine")
    path = EXAMPLES / "inbox" / name
    outcome = run_import(source_of(path), schema=schema_for(path), filename=path.name)
    assert outcome.status == status
    assert (len(outcome.rows) if outcome.rows is not None else None) == row_count


def test_two_examples_are_for_the_runner_to_refuse():
    july = EXAMPLES / "inbox/customers/2026-07"
    assert (july / "empty.csv").stat().st_size == 0
    assert (july / "agreement.pdf").read_bytes().startswith(b"%PDF")


def test_the_example_routes_name_schemas_that_exist():
    routes = tomllib.loads((EXAMPLES / "bulkhead.toml").read_text())["routes"]
    saved = {schema["id"] for schema in load_schemas(EXAMPLES / "schemas/saved")}
    assert {route["schema_id"] for route in routes if "schema_id" in route} == saved
    assert all((EXAMPLES / route["fields"]).is_file() for route in routes if "fields" in route)
