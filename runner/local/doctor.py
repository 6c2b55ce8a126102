"""Doctor: checks that everything that a run needs is there, and says what to do if not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.route_remarks import name_findings, remarks_of_routes, remarks_of_saved
from runner.config.webhook_remarks import WebhookUse, webhook_findings
from runner.errors import AuthRefused, BulkheadError, ConnectionBarred, LedgerLocked, SchemaNotFound, TransientError
from runner.findings import fail, ok
from runner.ledger.location import LedgerTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.config.routes import Route
    from runner.config.settings import Settings
    from runner.findings import Finding
    from runner.local.resources import Resources

FREE_DISK_BYTES = 1 << 30
TOLERABLE_SKEW_S = 30.0


async def examine(resources: Resources, *, schema_ids: Iterable[str], routes: Sequence[Route] = ()) -> list[Finding]:
    """Check key, schemas, clock, ledger, disk, names in schemas, and webhooks; nothing is created at the vendor.

    A failed check is a finding; nothing is raised for it.
    """
    found = await _vendor(resources)
    saved: dict[str, Mapping[str, Any]] = {}
    if all(finding.is_ok for finding in found):
        for schema_id in sorted(set(schema_ids)):
            schema, findings = await _schema(resources, schema_id)
            found += findings
            if schema is not None:
                saved[schema_id] = schema.get("settings") or {}
    found += name_findings(remarks_of_routes(routes))
    found += webhook_findings(routes, use=WebhookUse(is_needed=_listens(resources)), saved=saved)
    return [*found, await _ledger(resources), _disk(resources.settings.own_directory)]


async def _vendor(resources: Resources) -> list[Finding]:
    url = resources.settings.api_url
    try:
        client = await resources.client()
        probe = await client.probe()
        await client.list_page(limit=1, offset=0)
    except BulkheadError as error:
        if isinstance(error, AuthRefused) and not isinstance(error, ConnectionBarred):
            return [fail("license key", str(error), "check DROMO_LICENSE_KEY and --api-url")]
        check = "check --api-url"
        if isinstance(error, TransientError):
            check = f"{check}; if it is right, try again later"
        return [fail("vendor", f"{url}: {error}", error.hint or check)]
    found = [ok("license key", f"accepted by {url}"), *_proxy(resources.settings)]
    if probe.server_time is not None:
        found.append(_clock((probe.server_time - resources.clock.now()).total_seconds()))
    return found


def _proxy(settings: Settings) -> list[Finding]:
    """Say how the vendor was reached, if there is a proxy or a variable that names one for other tools."""
    if settings.proxy is not None:
        return [ok("proxy", f"{settings.proxy} is used, but not for this machine")]
    if settings.unused_proxy is None:
        return []
    return [ok("proxy", f"{settings.unused_proxy} is set and not used; the vendor answers without it (see --proxy)")]


def _clock(skew_s: float) -> Finding:
    detail = f"the vendor's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    if abs(skew_s) <= TOLERABLE_SKEW_S:
        return ok("clock", detail)
    return fail("clock", detail, "set this machine's clock, for example with NTP")


def _listens(resources: Resources) -> bool:
    """Tell whether webhooks may move the items of a run."""
    settings = resources.settings
    return isinstance(settings.ledger, LedgerTable) and settings.track_by != "list"


async def _schema(resources: Resources, schema_id: str) -> tuple[Mapping[str, Any] | None, list[Finding]]:
    name = f"schema {schema_id}"
    try:
        schema = await (await resources.client()).schema(schema_id)
    except SchemaNotFound:
        return None, [fail(name, "the vendor does not have it", "check the schema id in bulkhead.toml or --schema-id")]
    except BulkheadError as error:
        return None, [fail(name, str(error), error.hint)]
    exists = ok(name, f"exists: {schema.get('name') or 'without a name'}")
    return schema, [exists, *name_findings(remarks_of_saved(schema_id, schema))]


async def _ledger(resources: Resources) -> Finding:
    path = resources.settings.ledger
    try:
        ledger = await resources.ledger(write=True)
        await ledger.reconciled_to(resources.endpoint)
    except LedgerLocked as error:
        return ok("ledger", f"{path}: in use: {error}")
    except BulkheadError as error:
        return fail("ledger", f"{path}: {error}", error.hint)
    return ok("ledger", f"{path} can be written")


def _disk(directory: Path) -> Finding:
    existing = next(parent for parent in [directory, *directory.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1e9:.1f} GB free at {existing}"
    if free < FREE_DISK_BYTES:
        return fail("disk", detail, "free some space: results and ledger are written there")
    if not os.access(existing, os.W_OK):
        return fail("disk", detail)
    return ok("disk", detail)
