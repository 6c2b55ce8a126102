"""Helpers for tests of the check: an outcome, a route with its schema, and engines that misbehave."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.check.predictions import FileCheck
from runner.check.read_outcome import OutcomeReader
from runner.check.schemas import BoundRoute
from runner.check.worker import WorkerSetup
from runner.config.routes import Route
from runner.sources import source_spec

FIELDS: tuple[dict[str, Any], ...] = (
    {"key": "no", "label": "Customer No", "validators": [{"validate": "required"}, {"validate": "unique"}]},
    {"key": "email", "label": "E-Mail", "type": "email"},
    {
        "key": "plan",
        "label": "Plan",
        "type": "select",
        "selectOptions": [{"label": "Free", "value": "free"}, {"label": "Team", "value": "team"}],
    },
)
MESSAGES = {
    "email": "This is not an email address.",
    "select": "This is not one of the options.",
    "unique": "This value occurs more than once.",
    "required": "A value is required.",
    "max": "This number is larger than {max}.",
}


@dataclass(frozen=True)
class Ended:
    """An engine's outcome."""

    status: str = "SUCCESSFUL"
    errors: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def bound_route(name: str = "all", *, fields: Any = FIELDS, **settings: Any) -> BoundRoute:
    route = Route(name=name, fields=tuple(fields), settings=settings)
    return BoundRoute(route=route, schema={"fields": list(fields), "settings": settings, "hooks": {}})


def cell_error(row: int, key: str, message: str, value: str) -> dict[str, Any]:
    return {"type": "VALIDATION", "rowIndex": row, "fieldKey": key, "message": message, "value": value}


def with_cells(*errors: dict[str, Any], rows: int = 10, status: str = "SUCCESSFUL", **metadata: Any) -> Ended:
    """Return the outcome of an import with these invalid cells and all columns mapped."""
    headers = ["Customer No", "E-Mail", "Plan"]
    keys = ["no", "email", "plan"]
    mapped = {
        key: {"fileHeader": name, "fileHeaderIndex": at}
        for at, (key, name) in enumerate(zip(keys, headers, strict=True))
    }
    about = {"totalRows": rows, "invalidRows": len({error["rowIndex"] for error in errors}), "errors": list(errors)}
    about |= {"errorCount": len(errors), "rawHeaders": headers, "fields": mapped, "warnings": []}
    return Ended(status, list(errors) if status == "NEEDS_REVIEW" else [], about | metadata)


def read(outcome: Ended, *, source: str = "a.csv", samples: bool = True, bound: BoundRoute | None = None) -> FileCheck:
    return OutcomeReader(bound or bound_route(), MESSAGES, samples=samples).read(outcome, source=source, size_bytes=1)


def setup_of(run: Any, directory: Path, *, memory_bytes: int = 2 << 30) -> WorkerSetup:
    return WorkerSetup(
        run=run,
        messages=MESSAGES,
        source=source_spec(str(directory)),
        routes=(bound_route(),),
        endpoint="here",
        filename_tag=True,
        samples=True,
        memory_bytes=memory_bytes,
    )


def moody_engine(source: Any, **_: Any) -> Ended:
    """Misbehave in the way that the file's name says."""
    path = Path(source).resolve()
    name = path.name
    if name.startswith("kill"):
        os._exit(9)
    if name.startswith("hang"):
        started = path.parent / "started"
        if started.exists():
            started.write_bytes(b"at work")
        time.sleep(600)
    if name.startswith("core"):
        return Ended("FAILED", [{"message": str(resource.getrlimit(resource.RLIMIT_CORE))}])
    if name.startswith("talk"):
        os.write(2, b"\x1b[2Jwhat a file holds")
        os.write(1, b"\x1b[2Jwhat a file holds")
    if name.startswith("raise"):
        raise RuntimeError("what a file holds")
    if name.startswith("memory"):
        bytearray(8 << 30)
    return Ended(metadata={"totalRows": 1})
