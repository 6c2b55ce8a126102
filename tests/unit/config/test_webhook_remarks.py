"""A route whose imports no webhook could report is named, with what to change."""

from __future__ import annotations

from typing import Any

import pytest

from runner.config.routes import Route
from runner.config.webhook_remarks import WebhookUse, webhook_findings
from runner.findings import Level

INLINE: dict[str, Any] = {"fields": ({"key": "a"},)}
SAVED: dict[str, Any] = {"schema_id": "s"}
URL = {"webhookUrl": "https://h.test/"}
BOTH = {**URL, "needsReviewWebhookUrl": "https://h.test/"}
SYNC = {"backendSyncMode": "FULL_DATA"}
MANAGED, PER_IMPORT = WebhookUse(), WebhookUse(per_import=True)


def said(
    definition: dict[str, Any], settings: dict[str, Any], use: WebhookUse, saved: dict[str, Any] | None = None
) -> str:
    route = Route(name="r", **definition, settings=settings)
    found = webhook_findings([route], use=use, saved=None if saved is None else {"s": saved})
    assert all((one.name, one.level, bool(one.hint)) == ("webhooks of route r", Level.WARN, True) for one in found)
    return "; ".join(one.detail for one in found)


@pytest.mark.parametrize(
    ("definition", "settings", "expected"),
    [
        (INLINE, {}, "importIdentifier"),
        (INLINE, {"importIdentifier": ""}, "importIdentifier"),
        (INLINE, {"importIdentifier": None}, "importIdentifier"),
        (INLINE, {"importIdentifier": "people", "developmentMode": True}, "developmentMode"),
        (SAVED, {"developmentMode": True}, "developmentMode"),
        (SAVED, {**URL, "backendSyncMode": "DISABLED"}, "webhookUrl: never called"),
        (INLINE, {**URL, "importIdentifier": "people"}, "webhookUrl: never called"),
        (INLINE, {**BOTH, "importIdentifier": "people"}, "webhookUrl and needsReviewWebhookUrl: never called"),
        (INLINE, {**URL, "backendSync": False, "importIdentifier": "people"}, "webhookUrl: never called"),
    ],
)
def test_a_route_that_no_webhook_reports_is_named(
    definition: dict[str, Any], settings: dict[str, Any], expected: str
) -> None:
    assert expected in said(definition, settings, MANAGED)


@pytest.mark.parametrize(
    ("definition", "settings"),
    [
        (INLINE, {"importIdentifier": "people"}),
        (INLINE, {"importIdentifier": "people", **URL, **SYNC}),
        (INLINE, {"importIdentifier": "people", **URL, "backendSync": True}),
        (INLINE, {"importIdentifier": "people", "webhookUrl": None}),
        (SAVED, {}),
        (SAVED, URL),
        (SAVED, {"developmentMode": False}),
    ],
)
def test_a_route_that_a_webhook_may_report_is_not_named(definition: dict[str, Any], settings: dict[str, Any]) -> None:
    assert said(definition, settings, MANAGED) == ""


def test_the_settings_of_a_saved_schema_count_where_the_route_says_nothing() -> None:
    assert "webhookUrl: never called" in said(SAVED, {}, MANAGED, saved=URL)
    assert "webhookUrl: never called" in said(SAVED, URL, MANAGED, saved={})
    assert "developmentMode" in said(SAVED, {}, MANAGED, saved={"developmentMode": True})
    assert said(SAVED, {}, MANAGED, saved={**URL, **SYNC}) == ""
    assert said(SAVED, {"webhookUrl": None}, MANAGED, saved=URL) == ""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"backendSyncMode": "DISABLED"}, "the stack's webhook is never called: backendSyncMode is DISABLED"),
        ({"backendSyncMode": "MAPPINGS_ONLY"}, "backendSyncMode is MAPPINGS_ONLY"),
        (BOTH, "the stack's webhook is never called: the route names other URLs"),
        ({**URL, "backendSyncMode": "DISABLED"}, "webhookUrl: never called"),
    ],
)
def test_a_route_that_silences_the_webhook_of_its_imports_is_named(settings: dict[str, Any], expected: str) -> None:
    assert expected in said(INLINE, settings, PER_IMPORT)


@pytest.mark.parametrize("settings", [{}, SYNC, URL, {"developmentMode": True}, {"backendSync": False}])
def test_an_import_that_names_its_webhook_needs_no_identifier(settings: dict[str, Any]) -> None:
    assert said(INLINE, settings, PER_IMPORT) == ""


def test_managed_webhooks_that_nothing_listens_to_are_no_reason_to_warn() -> None:
    unused = WebhookUse(is_needed=False)
    (finding,) = webhook_findings([Route(name="r", **INLINE)], use=unused)
    assert (finding.level, finding.hint) == (Level.OK, None)
    assert "importIdentifier" in finding.detail
    (finding,) = webhook_findings([Route(name="r", **INLINE, settings=URL)], use=unused)
    assert finding.level is Level.WARN
    assert "importIdentifier" not in (finding.hint or "")
