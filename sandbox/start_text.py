"""What a sandbox says at its start: its schemas, what to type in another terminal, and what it keeps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.app import SandboxServer
from sandbox.review.rendering import plain

FIRST_COMMAND = "bulkhead init"
FIRST_WITHOUT_SCHEMAS = "bulkhead run DIRECTORY --fields FILE"
"""What a person can type first: without a saved schema, `init` has none to offer."""

SCHEMAS_SHOWN = 10
_ID_WIDTH = 40


def start_text(server: SandboxServer, *, schemas: Path | None, data: Path | None) -> Iterator[str]:
    """Yield the lines after the address; the server has started."""
    state = server.context.state
    yield ""
    yield from _schemas(state.schemas.all(), schemas=schemas, data=data)
    key = "any" if state.settings.license_key is None else "KEY          # the key of --license-key"
    yield ""
    yield "In another terminal:"
    yield f"  export DROMO_LICENSE_KEY={key}"
    yield f"  export BULKHEAD_API_URL={server.base_url}"
    yield f"  {FIRST_COMMAND if state.schemas.by_id else FIRST_WITHOUT_SCHEMAS}"
    yield ""
    yield f"Imports and open reviews: {server.origin}/"
    if data is None:
        yield "Ctrl-C stops the sandbox. It then forgets everything; to keep it, start with --data DIR."
    else:
        count = sum(1 for _ in state.newest_first())
        yield f"Ctrl-C stops the sandbox. Everything is kept in {data}{_earlier(count)}."


def _earlier(count: int) -> str:
    if not count:
        return ""
    return f", which has {count:,} {'import' if count == 1 else 'imports'}"


def _schemas(saved: list[dict[str, Any]], *, schemas: Path | None, data: Path | None) -> Iterator[str]:
    if not saved:
        yield "No saved schemas. Start with --schemas DIR, or send the fields with each file, as below."
        return
    places = " and ".join(str(place) for place in (schemas, data) if place is not None)
    yield f"Saved schemas from {places}:"
    width = min(max(len(plain(schema["id"])) for schema in saved[:SCHEMAS_SHOWN]), _ID_WIDTH)
    for schema in saved[:SCHEMAS_SHOWN]:
        yield f"  {plain(schema['id']):{width}}  {plain(schema['name'])}, {_fields(schema)}"
    if len(saved) > SCHEMAS_SHOWN:
        yield f"  and {len(saved) - SCHEMAS_SHOWN:,} more"


def _fields(schema: Mapping[str, Any]) -> str:
    count = len(schema["fields"])
    return f"{count:,} {'field' if count == 1 else 'fields'}"
