"""Doctor: is everything there that a run needs, and if not, what to do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, BulkheadError, LedgerLocked, SchemaNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.local.resources import Resources

FREE_DISK_BYTES = 1 << 30
TOLERABLE_SKEW_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding: `detail` says what was seen, `hint` what to do where it is not well."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None


async def examine(resources: Resources, *, schema_ids: Iterable[str]) -> list[Check]:
    """Check key, schemas, clock, ledger and disk; nothing is created at the vendor."""
    checks = await _vendor(resources)
    if all(check.ok for check in checks):
        checks += [await _schema(resources, schema_id) for schema_id in sorted(set(schema_ids))]
    return [*checks, await _ledger(resources), _disk(resources.settings.own_directory)]


async def _vendor(resources: Resources) -> list[Check]:
    url = resources.settings.api_url
    try:
        client = await resources.client()
        probe = await client.probe()
        await client.list_page(limit=1, offset=0)
    except AuthRefused as error:
        return [Check(name="license key", ok=False, detail=str(error), hint="check DROMO_LICENSE_KEY and --api-url")]
    except BulkheadError as error:
        return [Check(name="vendor", ok=False, detail=f"{url}: {error}", hint=error.hint or "check --api-url")]
    checks = [Check(name="license key", ok=True, detail=f"accepted by {url}")]
    if probe.server_time is not None:
        skew_s = (probe.server_time - resources.clock.now()).total_seconds()
        checks.append(_clock(skew_s))
    return checks


def _clock(skew_s: float) -> Check:
    return Check(
        name="clock",
        ok=abs(skew_s) <= TOLERABLE_SKEW_S,
        detail=f"the vendor's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's",
        hint=None if abs(skew_s) <= TOLERABLE_SKEW_S else "set this machine's clock, by NTP for example",
    )


async def _schema(resources: Resources, schema_id: str) -> Check:
    try:
        schema = await (await resources.client()).schema(schema_id)
    except SchemaNotFound:
        hint = "check the schema id in bulkhead.toml or --schema-id"
        return Check(name=f"schema {schema_id}", ok=False, detail="the vendor does not have it", hint=hint)
    except BulkheadError as error:
        return Check(name=f"schema {schema_id}", ok=False, detail=str(error), hint=error.hint)
    return Check(name=f"schema {schema_id}", ok=True, detail=f"exists: {schema.get('name') or 'without a name'}")


async def _ledger(resources: Resources) -> Check:
    path = resources.settings.ledger
    try:
        ledger = await resources.ledger(write=True)
        await ledger.reconciled_to(resources.endpoint)
    except LedgerLocked as error:
        return Check(name="ledger", ok=True, detail=f"{path}: in use: {error}")
    except BulkheadError as error:
        return Check(name="ledger", ok=False, detail=f"{path}: {error}", hint=error.hint)
    return Check(name="ledger", ok=True, detail=f"{path} can be written")


def _disk(directory: Path) -> Check:
    existing = next(parent for parent in [directory, *directory.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    return Check(
        name="disk",
        ok=free >= FREE_DISK_BYTES and writable,
        detail=f"{free / 1e9:.1f} GB free at {existing}",
        hint=None if free >= FREE_DISK_BYTES else "free some space: results and ledger are written there",
    )
