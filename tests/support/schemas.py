"""Saved schemas for a vendor in a separate process."""

from __future__ import annotations

import json
from pathlib import Path

CUSTOMERS = {
    "id": "customers",
    "name": "Customers",
    "fields": [
        {"key": "name", "label": "Full Name", "type": "string", "validators": [{"validate": "required"}]},
        {"key": "email", "label": "Email", "type": "email"},
    ],
    "settings": {},
}
STRICT = {**CUSTOMERS, "id": "strict", "name": "Strict", "settings": {"invalidDataBehavior": "BLOCK_SUBMIT"}}


def saved_schemas(directory: Path) -> Path:
    """Write the schemas `customers`, and `strict`, which sends invalid rows to review, into a directory."""
    directory.mkdir(exist_ok=True)
    for schema in (CUSTOMERS, STRICT):
        (directory / f"{schema['id']}.json").write_text(json.dumps(schema))
    return directory
